/** What tests of whole models on WebGPU load and ask. */
import type { Kernels } from '../contract/kernels.ts';
import type { EncoderInputs, EncoderOutputs, LedModel, LongformerModel } from '../contract/model.ts';
import { openCheckpoint, openLedCheckpoint } from '../runtime/checkpoint/open-node.ts';
import { createBackend } from '../runtime/engine/backend.ts';
import { conformanceDirectory } from './read-case.ts';

/** A small model of the oracle. */
export async function load(kernels: Kernels, name = 'encoder-2-layers'): Promise<LongformerModel> {
  const checkpoint = await openCheckpoint(`${conformanceDirectory()}/models/${name}`);
  try {
    return await createBackend(kernels).loadLongformer(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

/** Packed documents with and without global tokens. */
export const documents: EncoderInputs[] = [1, 7, 40, 9].map((length, document) => ({
  inputIds: Int32Array.from({ length }, (_, t) => (t === 0 ? 0 : 3 + ((7 * t + 5 * document) % 28))),
  globalAttentionMask: Int32Array.from({ length }, (_, t) => Number(document % 2 === 1 && t % 5 === 0)),
}));

/** Everything a pass handed out. */
export const numbers = (outputs: EncoderOutputs[]): number[] =>
  outputs.flatMap(output => Object.values(output).flatMap(tensor => [...tensor.data]));

/** An LED of the oracle that writes. */
export async function loadLed(kernels: Kernels): Promise<LedModel> {
  const checkpoint = await openLedCheckpoint(`${conformanceDirectory()}/models/led-lm`);
  try {
    return await createBackend(kernels).loadLed(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

/** The device, with some ways of the test's own. */
export const deviceWith = (device: GPUDevice, ways: Partial<GPUDevice>): GPUDevice =>
  new Proxy(device, {
    get(target, name) {
      const value: unknown = Reflect.get(ways, name) ?? Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
