/** The question answering checkpoint in the box, over HTTP from beside the page: weights in memory, and the tokenizer. */
import type { Checkpoint } from '../contract/checkpoint.ts';
import { createMemorySource, loadTokenizer, openCheckpointFrom, type Tokenizer } from '../runtime/index.ts';

/** Addresses that the bundler gives to the files; the page needs no other server. */
const addresses = {
  'config.json': new URL('../models/needle-qa/config.json', import.meta.url),
  'model.safetensors': new URL('../models/needle-qa/model.safetensors', import.meta.url),
  'tokenizer.json': new URL('../models/needle-qa/tokenizer.json', import.meta.url),
};

export interface FetchedCheckpoint {
  /** For one backend; whoever loads it closes it. */
  readonly open: () => Promise<Checkpoint>;
  readonly tokenizer: Tokenizer;
}

let fetching: Promise<FetchedCheckpoint> | undefined;

/** Fetches on the first call. */
export function fetchCheckpoint(): Promise<FetchedCheckpoint> {
  fetching ??= fetchAll();
  return fetching;
}

async function fetchAll(): Promise<FetchedCheckpoint> {
  const [configText, weights, tokenizerJson] = await Promise.all([
    fetchFile('config.json').then(response => response.text()),
    fetchFile('model.safetensors').then(response => response.arrayBuffer()),
    fetchFile('tokenizer.json').then(response => response.text()),
  ]);
  const open = () => openCheckpointFrom(configText, createMemorySource(new Uint8Array(weights)));
  return { open, tokenizer: loadTokenizer({ tokenizerJson }) };
}

async function fetchFile(name: keyof typeof addresses): Promise<Response> {
  const response = await fetch(addresses[name]);
  if (!response.ok) throw new Error(`${name}: status ${response.status}`);
  return response;
}
