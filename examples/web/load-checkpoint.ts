/** The checkpoint in the box, over HTTP from beside the page: model on the WebAssembly kernels, and its tokenizer. */
import type { LongformerModel } from '../../contract/model.ts';
import {
  createBackend,
  createMemorySource,
  loadTokenizer,
  openCheckpointFrom,
  type Tokenizer,
} from '../../runtime/index.ts';
import { createWasmKernels } from '../../wasm/index.ts';

/** Addresses that the bundler gives to the files; the page needs no other server. */
const addresses = {
  'config.json': new URL('../../models/needle-qa/config.json', import.meta.url),
  'model.safetensors': new URL('../../models/needle-qa/model.safetensors', import.meta.url),
  'tokenizer.json': new URL('../../models/needle-qa/tokenizer.json', import.meta.url),
};

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
  const [configText, weights, tokenizerJson] = await Promise.all([
    fetchFile('config.json').then(response => response.text()),
    fetchFile('model.safetensors').then(response => response.arrayBuffer()),
    fetchFile('tokenizer.json').then(response => response.text()),
  ]);
  const checkpoint = await openCheckpointFrom(configText, createMemorySource(new Uint8Array(weights)));
  const model = await createBackend(await createWasmKernels()).loadLongformer(checkpoint);
  await checkpoint.close();
  return { model, tokenizer: loadTokenizer({ tokenizerJson }) };
}

async function fetchFile(name: keyof typeof addresses): Promise<Response> {
  const response = await fetch(addresses[name]);
  if (!response.ok) throw new Error(`${name}: status ${response.status}`);
  return response;
}
