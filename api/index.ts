/** The front door: `import { pipeline } from 'longformer'`. docs/api.md tells what there is. */
export * from '../contract/errors.ts';
export type { Tensor } from '../contract/tensor.ts';
export type { GlobalAttention, TokenSpan } from '../runtime/tasks/global-attention.ts';
export { type Device, deviceNames } from './devices.ts';
export type { FileProgress, HubOptions } from './hub/hub-options.ts';
export type { Pretrained, PretrainedOptions } from './load.ts';
export type { ModelSource } from './model-source.ts';
export * from './models.ts';
export { type Fillings, type Pipeline, pipeline, type TaskCalls, type TaskName } from './pipeline.ts';
