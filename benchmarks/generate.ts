/**
 * Our side of generation.bench.ts: a process that loads an LED, then generates when asked.
 *
 * A process of its own, so that its peak memory is its own. First line out: {"importSeconds", "loadSeconds"}. Then for each line in, a
 * `GenerateRequest`, a `GenerateAnswer`. peers/huggingface/generate.py speaks the same.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { openLedCheckpoint } from '../runtime/checkpoint/open-node.ts';
import { createBackend } from '../runtime/engine/backend.ts';
import { generate } from '../runtime/generation/generate.ts';
import { type BackendName, createKernelsNamed } from './backends.ts';

export interface GenerateRequest {
  readonly sourceTokens: number;
  /** Exactly so many: the end is forbidden before. */
  readonly newTokens: number;
  readonly beams: number;
}

export interface GenerateAnswer {
  readonly seconds: number;
  /** Of them, until the source was read. */
  readonly encodeSeconds: number;
  /** Of the whole process. */
  readonly cpuSeconds: number;
  /** Largest resident set so far. */
  readonly peakBytes: number;
  /** Ids of the best beam, prompt included. */
  readonly ids: readonly number[];
  readonly score: number;
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
const kernels = await createKernelsNamed(options.backend as BackendName, Number(options.threads));
const checkpoint = await openLedCheckpoint(options.checkpoint!);
const model = await createBackend(kernels).loadLed(checkpoint);
await checkpoint.close();
say({ importSeconds: imported / 1000, loadSeconds: (performance.now() - imported) / 1000 });

for await (const line of createInterface({ input: process.stdin })) {
  say(await answer(JSON.parse(line) as GenerateRequest));
}
kernels.dispose(); // ends its threads

async function answer({ sourceTokens, newTokens, beams }: GenerateRequest): Promise<GenerateAnswer> {
  const cpuBefore = process.cpuUsage();
  const before = performance.now();
  let encoded = before;
  const [sequences] = await generate(model, [sourceOf(sourceTokens)], {
    numBeams: beams,
    minNewTokens: newTokens,
    maxNewTokens: newTokens,
    onProgress({ stage, done }) {
      if (stage === 'encoding' && done === 1) encoded = performance.now();
    },
  });
  const after = performance.now();
  const { user, system } = process.cpuUsage(cpuBefore);
  return {
    seconds: (after - before) / 1000,
    encodeSeconds: (encoded - before) / 1000,
    cpuSeconds: (user + system) / 1e6,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    ids: [...sequences![0]!.ids],
    score: sequences![0]!.score!,
  };
}

/** <s>, something, </s>; the first token is global. */
function sourceOf(length: number): { inputIds: Int32Array; globalAttentionMask: Int32Array } {
  const { vocabSize } = model.config;
  const inputIds = Int32Array.from({ length }, (_, t) => 4 + ((7919 * t) % (vocabSize - 5)));
  inputIds[0] = 0;
  inputIds[length - 1] = 2;
  const globalAttentionMask = new Int32Array(length);
  globalAttentionMask[0] = 1;
  return { inputIds, globalAttentionMask };
}
