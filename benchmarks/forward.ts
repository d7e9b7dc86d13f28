/**
 * Our side of encoder.bench.ts: a process that loads a checkpoint, then times forward passes when asked.
 *
 * A process of its own, so that its peak memory is its own. First line out: {"importSeconds", "loadSeconds", "loadCpuSeconds"}. Then for each
 * line in, a `ForwardRequest`, a `ForwardAnswer`. peers/huggingface/forward.py speaks the same.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import type { EncoderInputs, EncoderOutputs, Want } from '../contract/model.ts';
import { openCheckpoint } from '../runtime/checkpoint/open-node.ts';
import { createBackend } from '../runtime/engine/backend.ts';
import { type BackendName, createKernelsNamed } from './backends.ts';

/** all: hidden states of every layer; last: those of the last layer; head: only what the head gives. */
export type Wanted = 'all' | 'last' | 'head';

export interface ForwardRequest {
  /** Length of each document. */
  readonly tokens: readonly number[];
  /** Documents that go through the model at a time. */
  readonly batch: number;
  readonly want: Wanted;
}

export interface ForwardAnswer {
  readonly seconds: number;
  /** Of the whole process: with one thread per core, what nobody else on the machine can add to. */
  readonly cpuSeconds: number;
  /** Largest resident set so far. */
  readonly peakBytes: number;
  readonly residentBytes: number | null;
  /** A few numbers of the last document, by which two sides see that they computed the same. */
  readonly probe: readonly number[];
}

const { values: options } = parseArgs({
  options: {
    checkpoint: { type: 'string' },
    backend: { type: 'string', default: 'wasm' },
    threads: { type: 'string', default: '1' },
  },
});
const say = (answer: object): void => void process.stdout.write(JSON.stringify(answer) + '\n');

const imported = performance.now(); // counted from the start of the process
const cpuImported = process.cpuUsage();
const kernels = await createKernelsNamed(options.backend as BackendName, Number(options.threads));
const checkpoint = await openCheckpoint(options.checkpoint!);
const model = await createBackend(kernels).loadLongformer(checkpoint);
await checkpoint.close();
const { user, system } = process.cpuUsage(cpuImported);
const loadSeconds = (performance.now() - imported) / 1000;
say({ importSeconds: imported / 1000, loadSeconds, loadCpuSeconds: (user + system) / 1e6 });

for await (const line of createInterface({ input: process.stdin })) {
  say(await forward(JSON.parse(line) as ForwardRequest));
}
kernels.dispose(); // ends its threads

async function forward({ tokens, batch, want }: ForwardRequest): Promise<ForwardAnswer> {
  const documents = tokens.map(documentOf);
  // Hidden states are looked at and dropped, as they come: layer by layer.
  const wanted: Want = want === 'head' ? {} : { lastHiddenState: true };
  const withLayers: Want = want === 'all' ? { ...wanted, hiddenStates: () => {} } : wanted;
  const cpuBefore = process.cpuUsage();
  const before = performance.now();
  let outputs: EncoderOutputs[] = [];
  for (let first = 0; first < documents.length; first += batch) {
    outputs = await model.forward(documents.slice(first, first + batch), { want: withLayers });
  }
  const seconds = (performance.now() - before) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return {
    seconds,
    cpuSeconds: (user + system) / 1e6,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    residentBytes: residentBytes(),
    probe: probeOf(outputs.at(-1)!, want),
  };
}

/** <s>, something, </s>; the first token is global. */
function documentOf(length: number, document: number): EncoderInputs {
  const { vocabSize } = model.config;
  const inputIds = Int32Array.from({ length }, (_, t) => 4 + ((7919 * t + 31 * document) % (vocabSize - 5)));
  inputIds[0] = 0;
  inputIds[length - 1] = 2;
  const globalAttentionMask = new Int32Array(length);
  globalAttentionMask[0] = 1;
  return { inputIds, globalAttentionMask };
}

function probeOf({ logits, lastHiddenState }: EncoderOutputs, want: Wanted): number[] {
  if (want === 'head') return [...logits!.data];
  const { data } = lastHiddenState!;
  return Array.from({ length: 32 }, (_, i) => data[Math.floor((i * (data.length - 1)) / 31)]!);
}

/** Resident set now; null where /proc is missing. */
function residentBytes(): number | null {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024;
  } catch {
    return null;
  }
}
