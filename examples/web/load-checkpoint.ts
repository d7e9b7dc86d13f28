/** The checkpoint in the box on the WebAssembly kernels, and its tokenizer. */
import type { LongformerModel } from '../../contract/model.ts';
import { createBackend, type Tokenizer } from '../../runtime/index.ts';
import { createWasmKernels } from '../../wasm/index.ts';
import { fetchCheckpoint } from '../checkpoint.ts';

export interface LoadedCheckpoint {
  readonly model: LongformerModel;
  readonly tokenizer: Tokenizer;
}

let loading: Promise<LoadedCheckpoint> | undefined;

/** Loads on the first call. */
export function loadCheckpoint(): Promise<LoadedCheckpoint> {
  loading ??= load();
  return loading;
}

async function load(): Promise<LoadedCheckpoint> {
  const { open, tokenizer } = await fetchCheckpoint();
  const checkpoint = await open();
  const model = await createBackend(await createWasmKernels()).loadLongformer(checkpoint);
  await checkpoint.close();
  return { model, tokenizer };
}
