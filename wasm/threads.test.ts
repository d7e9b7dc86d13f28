/** Several threads: the same bits as one, and what happens when one of them ends. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { AbortedError, LongformerError } from '../contract/errors.ts';
import type { BandPattern, DeviceRows, Kernels } from '../contract/kernels.ts';
import { createWasmKernels } from './index.ts';
import { createMemory, instantiateOver, loadModule } from './instantiate.ts';
import { WasmKernels } from './kernels.ts';
import { randomNumbers } from './random.ts';
import { startWorker } from './start-worker-node.ts';
import { type AbortFlag, Pool } from './team.ts';

/** All calls on packed documents; every result one after the other. */
async function everything(kernels: Kernels, lengths: readonly number[], globalIndices: Int32Array, causal: boolean) {
  const random = randomNumbers(lengths.length);
  const [heads, hiddenSize] = [3, 48];
  const length = lengths.reduce((sum, n) => sum + n, 0);
  const documentStarts = Int32Array.from(lengths.keys(), i => lengths.slice(0, i).reduce((sum, n) => sum + n, 0));
  const attentionMask = new Uint8Array(length).fill(1);
  attentionMask[length - 1] = 0;
  const sequence = kernels.loadSequence({ documentStarts, attentionMask, globalIndices });
  const band: BandPattern = { heads, oneSidedWindow: 9, dilation: [1, 2, 3], causal };
  const rows = (count: number, features: number): DeviceRows => {
    const handle = kernels.allocate(count, features);
    kernels.write(handle, random(count * features));
    return handle;
  };
  const linear = (outFeatures: number, inFeatures: number) =>
    kernels.loadLinear(
      { shape: [outFeatures, inFeatures], data: random(outFeatures * inFeatures, 0.2) },
      { shape: [outFeatures], data: random(outFeatures) },
    );
  const [states, query, key, value, out] = [0, 1, 2, 3, 4].map(() => rows(length, hiddenSize)) as [
    DeviceRows,
    DeviceRows,
    DeviceRows,
    DeviceRows,
    DeviceRows,
  ];
  const square = linear(hiddenSize, hiddenSize);
  const wide = rows(length, 75);
  const norm = kernels.loadNorm({ shape: [48], data: random(48) }, { shape: [48], data: random(48) });
  const results: Float32Array[] = [];
  const keep = async (handle: DeviceRows, count = handle.rows): Promise<void> => {
    results.push((await kernels.read(handle, 0, count)) as Float32Array);
  };

  kernels.linear(query, states, square);
  kernels.linear(wide, states, linear(75, hiddenSize), { activation: 'gelu' });
  await keep(wide);
  kernels.addLayerNorm(states, query, states, norm, 1e-5);
  await keep(states);
  kernels.slidingWindowAttention(out, query, key, value, sequence, band);
  const global = kernels.loadIndices(globalIndices);
  const globalQuery = kernels.allocate(globalIndices.length, hiddenSize);
  kernels.gatherRows(globalQuery, query, global);
  kernels.globalAttention(out, globalQuery, states, square, square, sequence, heads, causal, global);
  await keep(out);

  const some = kernels.loadIndices(Int32Array.from({ length: Math.floor(length / 7) }, (_, i) => 7 * i));
  const [someQueries, someOut] = [rows(some.length, hiddenSize), rows(some.length, hiddenSize)];
  kernels.gatherRows(someQueries, query, some);
  kernels.slidingWindowAttention(someOut, someQueries, key, value, sequence, band, some);
  await keep(someOut);

  const last = lengths.length - 1;
  const globals = globalIndices.filter(row => row >= documentStarts[last]!).length;
  const tokens = lengths[last]!;
  const local = rows(heads * tokens, globals + 19);
  kernels.slidingWindowProbabilities(local, query, key, sequence, band, last);
  await keep(local);
  const globalOut = rows(Math.max(1, heads * globals), tokens);
  if (globals > 0) kernels.globalProbabilities(globalOut, globalQuery, states, square, sequence, heads, causal, last);
  await keep(globalOut, heads * globals);
  return results;
}

const inputs: [string, number[], Int32Array, boolean][] = [
  ['one document', [500], Int32Array.of(0, 17), false],
  ['one short document', [3], Int32Array.of(0), false],
  ['packed', [30, 1, 250, 77, 5], Int32Array.of(0, 31, 32, 300, 361), true],
  ['half of it global', [120], Int32Array.from({ length: 50 }, (_, i) => 2 * i), false],
];

describe.each(['relaxed', 'baseline'] as const)('threads of the %s build', build => {
  it.each(inputs)('have the bits of one thread: %s', async (_, lengths, globals, causal) => {
    const one = await createWasmKernels({ build });
    const expected = await everything(one, lengths, globals, causal);
    for (const threads of [2, 3]) {
      const kernels = await createWasmKernels({ build, threads });
      // Again and again: what depends on who came first would differ now and then.
      for (let run = 0; run < 5; run++) expect(await everything(kernels, lengths, globals, causal)).toEqual(expected);
      kernels.dispose();
    }
  });
});

/** A pool whose workers the test can end. */
async function createPool(
  threads: number,
  start = startWorker,
  abortFlag: AbortFlag | null = null,
): Promise<{ kernels: WasmKernels; pool: Pool }> {
  const module = await loadModule('baseline', undefined, true);
  const memory = createMemory(2 ** 28, true);
  const exports = await instantiateOver(module, memory);
  const pool = new Pool({ module, memory, abortFlag }, exports, threads, start);
  await pool.ready();
  return { kernels: new WasmKernels('wasm-baseline-threads', memory, exports, 2 ** 28, pool), pool };
}

describe('a lost worker', () => {
  const run = (kernels: Kernels) => everything(kernels, [300], Int32Array.of(0), false);

  it('is reported by the next call, replaced, and the result after that is right', async () => {
    const expected = await run(await createWasmKernels({ build: 'baseline' }));
    const { kernels, pool } = await createPool(2);
    expect(await run(kernels)).toEqual(expected);
    pool.workers[0]!.terminate();
    await new Promise(resolve => setTimeout(resolve, 100));
    const error = await run(kernels).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(LongformerError);
    expect((error as LongformerError).code).toBe('E_ABORTED');
    expect(await run(kernels)).toEqual(expected);
    await pool.ready();
    expect(await run(kernels)).toEqual(expected);
    kernels.dispose();
  });

  it('in mid-run is noticed', async () => {
    const expected = await run(await createWasmKernels({ build: 'baseline' }));
    const { kernels, pool } = await createPool(3);
    for (let round = 0; round < 4; round++) {
      pool.workers[0]!.terminate(); // takes effect while the run goes on
      const result = await run(kernels).catch((cause: unknown) => cause);
      if (result instanceof Error) expect(result).toBeInstanceOf(LongformerError);
      else expect(result).toEqual(expected);
      await new Promise(resolve => setTimeout(resolve, 50));
      await run(kernels).catch(() => {});
      expect(await run(kernels)).toEqual(expected);
    }
    kernels.dispose();
  });

  it('is not what a chunk of more than a second is', async () => {
    const { kernels } = await createPool(2);
    // This thread takes the short document, another one the long one, in which everybody sees everybody.
    const [short, tokens, headDim] = [2000, 16_000, 64];
    const [query, out] = [0, 1].map(() => kernels.allocate(tokens, headDim)) as [DeviceRows, DeviceRows];
    kernels.write(query, new Float32Array(tokens * headDim));
    const sequence = kernels.loadSequence({
      documentStarts: Int32Array.of(0, short),
      attentionMask: new Uint8Array(tokens).fill(1),
      globalIndices: Int32Array.of(),
    });
    const everybody = { heads: 1, oneSidedWindow: tokens, dilation: [1], causal: false };
    kernels.slidingWindowAttention(out, query, query, query, sequence, everybody);
    expect((await kernels.read(out, tokens - 1, 1)).every(value => value === 0)).toBe(true);
    kernels.dispose();
  });

  it('that never finishes its chunk does not hang the call', async () => {
    let thieves = 1;
    const { kernels, pool } = await createPool(2, (start, onEnd) => {
      if (thieves-- <= 0) return startWorker(start, onEnd);
      const worker = new Worker(thief, { eval: true, workerData: start.shared });
      return { ready: once(worker, 'message').then(() => {}), terminate: () => void worker.terminate() };
    });
    let error: unknown;
    let milliseconds = 0;
    for (let round = 0; round < 100 && error === undefined; round++) {
      const begin = performance.now();
      await run(kernels).catch((cause: unknown) => {
        error = cause;
      });
      milliseconds = performance.now() - begin;
    }
    expect(error).toBeInstanceOf(LongformerError);
    expect(milliseconds).toBeLessThan(2500); // 900, and what else the machine does
    await pool.ready();
    expect(await run(kernels)).toEqual(await run(await createWasmKernels({ build: 'baseline' })));
    kernels.dispose();
  });
});

describe('an abort by another thread', () => {
  const run = (kernels: Kernels) => everything(kernels, [300], Int32Array.of(0), false);

  it.each([1, 2, 3])('lets %i threads begin nothing, until the flag is 0 again', async threads => {
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const expected = await run(await createWasmKernels({ build: 'baseline' }));
    const kernels = await createWasmKernels({ build: 'baseline', threads, abortFlag: flag });
    flag[0] = 1;
    await expect(run(kernels)).rejects.toThrow(AbortedError);
    flag[0] = 0;
    expect(await run(kernels)).toEqual(expected);
    kernels.dispose();
  });

  it('ends a long call in its middle; the same threads go on with the next one', async () => {
    const flag = new Int32Array(new SharedArrayBuffer(8));
    const { kernels, pool } = await createPool(2, startWorker, flag);
    const expected = await run(kernels);
    const workers = pool.workers;
    // 35 G operations, into rows that are all NaN.
    const [rows, inFeatures, outFeatures] = [8192, 512, 4096];
    const weight = { shape: [outFeatures, inFeatures], data: new Float32Array(outFeatures * inFeatures) };
    const [input, out] = [kernels.allocate(rows, inFeatures), kernels.allocate(rows, outFeatures)];
    kernels.write(input, new Float32Array(rows * inFeatures));
    kernels.write(out, new Float32Array(rows * outFeatures).fill(Number.NaN));
    const weights = kernels.loadLinear(weight, null);

    const other = new Worker(aborter, { eval: true, workerData: flag });
    await once(other, 'message');
    other.postMessage('go');
    expect(() => kernels.linear(out, input, weights)).toThrow(AbortedError);
    expect((Math.floor(performance.timeOrigin + performance.now()) % 1e9) - flag[1]!).toBeLessThan(400);
    const isDone = (value: number, i: number): boolean => i % outFeatures === 0 && !Number.isNaN(value);
    const done = (await kernels.read(out, 0, rows)).filter(isDone).length;
    expect(done).toBeGreaterThan(0);
    expect(done).toBeLessThan(rows);

    flag[0] = 0;
    expect(await run(kernels)).toEqual(expected);
    expect(pool.workers).toBe(workers);
    await other.terminate();
    kernels.dispose();
  });
});

/** Sets the flag 50 ms after it was told to, when the other thread computes and no timer of its own could fire; says when. */
const aborter = `
const { parentPort, workerData: flag } = require('node:worker_threads');
parentPort.on('message', () => setTimeout(() => {
  flag[1] = Math.floor(performance.timeOrigin + performance.now()) % 1e9;
  Atomics.store(flag, 0, 1);
}, 50));
parentPort.postMessage('ready');`;

/** Takes chunks as a worker does (team.ts: the ticket is number 1) and does nothing with them. */
const thief = `
const { parentPort, workerData: shared } = require('node:worker_threads');
parentPort.postMessage('ready');
for (;;) {
  const ticket = Atomics.load(shared, 1);
  if ((ticket & 0xffff) < shared[5]) Atomics.compareExchange(shared, 1, ticket, ticket + 1);
}`;
