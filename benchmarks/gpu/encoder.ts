/**
 * A whole encoder and its kernels on WebGPU in Node: seconds, tokens per second, TFLOP/s and GB/s by device timestamps.
 *
 * node benchmarks/gpu/encoder.ts [--size base] [--tokens 512,1024,…] [--runs 5] [--weights float32] [--dawn OPTION]… [--json FILE]
 *
 * Refuses to time an adapter on which a case of the oracle fails. pack.sh carries this file to a machine without a network.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { runOracle } from '../../conformance/oracle.ts';
import { conformanceDirectory } from '../../conformance/read-case.ts';
import { buildReport, formatReport } from '../../conformance/report.ts';
import { engineSubject } from '../../conformance/subjects/engine.ts';
import type { EncoderInputs } from '../../contract/model.ts';
import {
  adapterName,
  createWebGpuKernels,
  gpuOfNode,
  openDevice,
  type Timing,
  type WebGpuKernels,
} from '../../gpu/webgpu/index-node.ts';
import { createBackend } from '../../runtime/engine/backend.ts';
import { type Size, syntheticCheckpoint, syntheticConfig } from './synthetic-checkpoint.ts';

const { values: options } = parseArgs({
  options: {
    size: { type: 'string', default: 'base' },
    tokens: { type: 'string', default: '512,1024,2048,4096,8192,16384' },
    runs: { type: 'string', default: '5' },
    weights: { type: 'string', default: 'float32' },
    schedule: { type: 'string', default: 'auto' },
    dawn: { type: 'string', multiple: true, default: [] },
    only: { type: 'string', default: '' },
    json: { type: 'string' },
  },
});
const lengths = options.tokens.split(',').map(Number);
const runs = Number(options.runs);
const weights = options.weights as 'float32' | 'float16';
const schedule = options.schedule as 'auto' | 'tiled' | 'registers';
const say = (line: string): void => void process.stdout.write(`${line}\n`);

// Timestamps in full resolution: Dawn rounds them to 0.1 ms for the sake of web pages.
const gpu = await gpuOfNode(['disable-dawn-features=timestamp_quantization', ...options.dawn]);
const device = await openDevice({ gpu, half: weights === 'float16' });
const adapter = adapterName(device);
say(`adapter: ${adapter}`);

await expectRight();
const config = syntheticConfig(options.size as Size, Math.max(...lengths));
const encoder = await measureEncoder();
const packed = await measurePacked();
const kernels = await measureKernels();
if (options.json) {
  const figures = { adapter, options, encoder, packed, kernels };
  writeFileSync(options.json, `${JSON.stringify(figures, null, 2)}\n`);
}

/** Every case of the oracle on this adapter, before anything is timed. */
async function expectRight(): Promise<void> {
  const precision = weights === 'float16' ? 'float16' : 'float32';
  const subject = engineSubject('webgpu', precision, () => createWebGpuKernels({ device, weights, schedule }));
  const only = options.only === '' ? {} : { only: options.only.split(',') };
  const begin = performance.now();
  const results = await runOracle(conformanceDirectory(), [subject], { tokenizer: false, ...only });
  const report = buildReport(results, (performance.now() - begin) / 1000);
  say(`\n${formatReport(report)}\n`);
  if (report.failed > 0) throw new Error('a wrong answer is not timed');
}

function documentOf(length: number): EncoderInputs {
  const inputIds = Int32Array.from({ length }, (_, t) => 4 + ((7919 * t) % (config.vocabSize - 5)));
  const globalAttentionMask = Int32Array.from({ length }, (_, t) => Number(t === 0));
  return { inputIds, globalAttentionMask };
}

interface Measured {
  readonly tokens: number;
  /** Seconds of each run that counts, in order. */
  readonly seconds: readonly number[];
  readonly best: number;
}

async function measure(documents: readonly EncoderInputs[], kernels: WebGpuKernels): Promise<Measured> {
  const model = await createBackend(kernels).loadLongformer(syntheticCheckpoint(config));
  const seconds: number[] = [];
  for (let run = 0; run <= runs; run++) {
    const begin = performance.now();
    await model.forward(documents, { want: { lastHiddenState: true } });
    if (run > 0) seconds.push((performance.now() - begin) / 1000); // the first one compiles shaders
  }
  model.dispose();
  const tokens = documents.reduce((sum, { inputIds }) => sum + inputIds!.length, 0);
  return { tokens, seconds, best: Math.min(...seconds) };
}

/** Floating-point operations a pass needs at least: projections, feed-forward, attention; global attention with its own projections. */
function flopsOf(tokens: number): number {
  const { layers, hiddenSize: c, intermediateSize, oneSidedWindow } = config;
  const seen = Math.min(tokens, 2 * oneSidedWindow[0]! + 1);
  return layers * tokens * (2 * (4 * c * c + 2 * c * intermediateSize) + 4 * seen * c);
}

async function measureEncoder(): Promise<Measured[]> {
  say('One document, first token global, all rows of the last layer read:');
  say('  tokens     best, s    tokens/s   TFLOP/s');
  const measured: Measured[] = [];
  for (const length of lengths) {
    const own = await createWebGpuKernels({ device, weights, schedule });
    const result = await measure([documentOf(length)], own);
    own.dispose();
    measured.push(result);
    say(row(length, result.best, length / result.best, flopsOf(length) / result.best / 1e12));
  }
  return measured;
}

async function measurePacked(): Promise<Measured & { readonly documents: number }> {
  const count = Math.max(1, Math.floor(Math.min(4096, Math.max(...lengths)) / 128));
  const own = await createWebGpuKernels({ device, weights, schedule });
  const result = await measure(new Array<EncoderInputs>(count).fill(documentOf(128)), own);
  own.dispose();
  say(
    `${count} documents of 128 tokens in one pass: ${result.best.toFixed(4)} s, ${(count / result.best).toFixed(1)} documents/s\n`,
  );
  return { ...result, documents: count };
}

/** Device time of each kernel in the longest pass that is not above 4,096 tokens. */
async function measureKernels(): Promise<Timing[]> {
  const length = Math.max(...lengths.filter(tokens => tokens <= 4096), Math.min(...lengths));
  if (!(await gpu.requestAdapter())!.features.has('timestamp-query')) {
    say('The adapter has no timestamps: kernels were not timed.');
    return [];
  }
  const timed = await createWebGpuKernels({ gpu, weights, schedule, timings: true });
  const model = await createBackend(timed).loadLongformer(syntheticCheckpoint(config));
  await model.forward([documentOf(length)]);
  await timed.takeTimings(); // of the pass that compiled shaders
  await model.forward([documentOf(length)]);
  const timings = await timed.takeTimings();
  timed.dispose();
  const total = timings.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0);
  say(`Kernels of one pass over ${length} tokens, by device timestamps (${(total / 1e6).toFixed(3)} ms together):`);
  say('   calls          ms   share     TFLOP/s        GB/s  kernel');
  for (const { name, calls, nanoseconds, flops, bytes } of timings) {
    const figures = [
      String(calls).padStart(8),
      (nanoseconds / 1e6).toFixed(3).padStart(11),
      `${((100 * nanoseconds) / total).toFixed(1)} %`.padStart(7),
      (flops / nanoseconds / 1e3).toFixed(3).padStart(11),
      (bytes / nanoseconds).toFixed(1).padStart(11),
    ];
    say(`${figures.join(' ')}  ${name}`);
  }
  return timings;
}

function row(tokens: number, best: number, perSecond: number, teraflops: number): string {
  const figures = [String(tokens).padStart(8), best.toFixed(4).padStart(11), perSecond.toFixed(0).padStart(11)];
  return [...figures, teraflops.toFixed(3).padStart(9)].join(' ');
}
