/** The front door: `import { pipeline } from 'longformer'`. docs/api.md tells what there is. */
export type { LedConfig, LedHead, LongformerConfig, LongformerHead } from '../contract/config.ts';
export {
  AbortedError,
  CheckpointError,
  type CheckpointReason,
  type Complaint,
  ConfigError,
  DeviceError,
  type DeviceReason,
  type ErrorCode,
  HubError,
  type HubReason,
  IoError,
  LongformerError,
  MemoryError,
  ShapeError,
  TokenizerError,
  UnsupportedError,
  ValueRangeError,
} from '../contract/errors.ts';
export type { GeneratedSequence, GenerationOptions } from '../contract/generation.ts';
export type {
  EncoderInputs,
  EncoderOutputs,
  ForwardOptions,
  LayerAttentions,
  LedForwardOptions,
  LedInputs,
  LedOutputs,
  LedWant,
  Want,
} from '../contract/model.ts';
export type { Tensor } from '../contract/tensor.ts';
export type { CheckpointFiles } from '../runtime/checkpoint/open.ts';
export type { GenerateOptions } from '../runtime/generation/generate.ts';
export type { TaskOptions } from '../runtime/tasks/documents.ts';
export type { FeatureExtractionOptions } from '../runtime/tasks/feature-extraction.ts';
export type { Filling, FillMaskOptions } from '../runtime/tasks/fill-mask.ts';
export type { GlobalAttention, TokenSpan } from '../runtime/tasks/global-attention.ts';
export type { ChoiceInput, RankedChoice } from '../runtime/tasks/multiple-choice.ts';
export type { Answer, QuestionAnsweringOptions, QuestionInput } from '../runtime/tasks/question-answering.ts';
export type { WriteOptions } from '../runtime/tasks/summarization.ts';
export type {
  ClassificationInput,
  LabelScore,
  TextClassificationOptions,
} from '../runtime/tasks/text-classification.ts';
export type {
  Aggregation,
  EntityGroup,
  TokenClassificationOptions,
  TokenLabel,
} from '../runtime/tasks/token-classification.ts';
export type { EncodeOptions, Encoding, Tokenizer, TokenizerOptions } from '../runtime/tokenizer/index.ts';
export { type Device, type DeviceOptions, deviceNames } from './devices.ts';
export type { FileProgress, HubOptions } from './hub/hub-options.ts';
export * from './led-models.ts';
export type { Pretrained, PretrainedOptions } from './load.ts';
export type { ModelSource } from './model-source.ts';
export * from './models.ts';
export { type Fillings, type Pipeline, pipeline, type TaskCalls, type TaskName } from './pipeline.ts';
