/**
 * Our side of kernels.bench.ts: a process that runs one kernel when asked and says how long it took.
 *
 * First line out: {"library"}. Then for each line in, a `KernelRequest`, a `KernelAnswer`. peers/javascript/gemm.mjs speaks
 * the same, as far as `linear` goes.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import type { DeviceRows } from '../contract/kernels.ts';
import { type BackendName, createKernelsNamed } from './backends.ts';
import { createSimdPeak } from './simd-peak.ts';

export type KernelRequest =
  | { readonly kernel: 'linear'; readonly rows: number; readonly inFeatures: number; readonly outFeatures: number }
  | {
      readonly kernel: 'attention';
      readonly tokens: number;
      readonly heads: number;
      readonly headDim: number;
      readonly oneSidedWindow: number;
    }
  /** The loop that nothing can beat: `seconds` is that of one GFLOP. */
  | { readonly kernel: 'peak' };

export interface KernelAnswer {
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** A few numbers of the result, by which two sides see that they computed the same. */
  readonly probe: readonly number[];
}

/** Run, and the buffer it leaves its result in. */
interface Task {
  run(): void;
  readonly out: DeviceRows;
}

const { values: options } = parseArgs({ options: { backend: { type: 'string', default: 'wasm' } } });
const kernels = await createKernelsNamed(options.backend as BackendName);
const peak = await createSimdPeak(options.backend === 'wasm' ? 'relaxed' : 'baseline');

/** The same numbers on both sides: small, of both signs, and not in step with any dimension. */
const numbers = (count: number, factor: number, modulus: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => ((factor * i) % modulus) / modulus - 0.5);

function rowsOf(rows: number, features: number, factor: number): DeviceRows {
  const buffer = kernels.allocate(rows, features);
  kernels.write(buffer, numbers(rows * features, factor, 1013));
  return buffer;
}

function taskOf(request: Exclude<KernelRequest, { kernel: 'peak' }>): Task {
  if (request.kernel === 'linear') {
    const { rows, inFeatures, outFeatures } = request;
    const input = rowsOf(rows, inFeatures, 7919);
    // The other side's weight is (inFeatures, outFeatures).
    const transposed = numbers(inFeatures * outFeatures, 6007, 997);
    const data = new Float32Array(transposed.length);
    for (let k = 0; k < inFeatures; k++) {
      for (let n = 0; n < outFeatures; n++) data[n * inFeatures + k] = transposed[k * outFeatures + n]!;
    }
    const bias = numbers(outFeatures, 31, 89);
    const weights = kernels.loadLinear(
      { shape: [outFeatures, inFeatures], data },
      { shape: [outFeatures], data: bias },
    );
    const out = kernels.allocate(rows, outFeatures);
    return { run: () => kernels.linear(out, input, weights), out };
  }
  const { tokens, heads, headDim, oneSidedWindow } = request;
  const [query, key, value] = [7919, 6007, 4409].map(factor => rowsOf(tokens, heads * headDim, factor));
  const sequence = kernels.loadSequence({
    documentStarts: Int32Array.of(0),
    attentionMask: new Uint8Array(tokens).fill(1),
    globalIndices: Int32Array.of(0),
  });
  const band = { heads, oneSidedWindow, dilation: new Array<number>(heads).fill(1), causal: false };
  const out = kernels.allocate(tokens, heads * headDim);
  return { run: () => kernels.slidingWindowAttention(out, query!, key!, value!, sequence, band), out };
}

const tasks = new Map<string, Task>();

async function measure(request: KernelRequest): Promise<KernelAnswer> {
  if (request.kernel === 'peak') {
    const seconds = 1 / peak();
    return { seconds, cpuSeconds: seconds, probe: [] };
  }
  const name = JSON.stringify(request);
  const task = tasks.get(name) ?? taskOf(request);
  tasks.set(name, task);
  const cpuBefore = process.cpuUsage();
  const before = performance.now();
  task.run();
  const seconds = (performance.now() - before) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const { out } = task;
  const values = await kernels.read(out, 0, out.rows);
  const probe = Array.from({ length: 32 }, (_, i) => values[Math.floor((i * (values.length - 1)) / 31)]!);
  return { seconds, cpuSeconds: (user + system) / 1e6, probe };
}

const say = (answer: object): void => void process.stdout.write(JSON.stringify(answer) + '\n');

say({ library: options.backend });
for await (const line of createInterface({ input: process.stdin })) say(await measure(JSON.parse(line)));
