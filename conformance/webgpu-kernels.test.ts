/** Every WebGPU kernel alone against plain loops, in both schedules. */
import { describe, expect, it } from 'vitest';
import type { Activation } from '../contract/config.ts';
import { UnsupportedError } from '../contract/errors.ts';
import { createWebGpuKernels, type WebGpuOptions } from '../gpu/webgpu/index.ts';
import { gpuOfNode } from '../gpu/webgpu/index-node.ts';
import { describeAttention } from '../wasm/attention-suite.ts';
import * as loops from '../wasm/dumb-loops.ts';
import { randomNumbers } from '../wasm/random.ts';
import { deviceOrReason } from './subjects/webgpu-node.ts';

const device = await deviceOrReason();
const missing = device instanceof UnsupportedError;

const worst = (actual: ArrayLike<number>, expected: ArrayLike<number>): number => {
  expect(actual.length).toBe(expected.length);
  let error = 0;
  // Written so that NaN stays.
  for (let i = 0; i < expected.length; i++) {
    if (!(Math.abs(actual[i]! - expected[i]!) <= error)) error = Math.abs(actual[i]! - expected[i]!);
  }
  return error;
};

describe.skipIf(missing).each(['tiled', 'registers'] as const)('schedule %s', schedule => {
  const random = randomNumbers(1);
  const create = (options: WebGpuOptions = {}) =>
    createWebGpuKernels({ device: device as GPUDevice, schedule, ...options });

  describeAttention({ createKernels: create, tolerance: 2e-6 });

  it.each([
    [1, 1, 1],
    [1, 5, 3],
    [5, 7, 8],
    [7, 383, 20],
    [16, 64, 9],
    [17, 64, 9],
    [65, 48, 132],
    [130, 20, 68],
    [193, 90, 17],
  ])('linear: %i rows, %i to %i features', async (rows, inFeatures, outFeatures) => {
    const kernels = await create();
    const x = random(rows * inFeatures);
    const w = random(outFeatures * inFeatures);
    const b = random(outFeatures);
    const weights = kernels.loadLinear(
      { shape: [outFeatures, inFeatures], data: w },
      { shape: [outFeatures], data: b },
    );
    const input = kernels.allocate(rows, inFeatures);
    const out = kernels.allocate(rows + 2, outFeatures);
    kernels.write(input, x);
    kernels.write(out, new Float32Array((rows + 2) * outFeatures).fill(7));
    kernels.linear(out, input, weights, { outRow: 1, activation: 'silu' });
    const all = await kernels.read(out, 0, rows + 2);
    const expected = loops.linear(x, w, b, inFeatures).map(loops.activations.silu);
    const allowed = 1e-6 * Math.sqrt(inFeatures) + 1e-7 * rows;
    expect(worst(all.subarray(outFeatures, (rows + 1) * outFeatures), expected)).toBeLessThan(allowed);
    // The rows around it are as they were.
    expect(all.subarray(0, outFeatures).every(value => value === 7)).toBe(true);
    expect(all.subarray((rows + 1) * outFeatures).every(value => value === 7)).toBe(true);

    const inputRow = Math.floor(rows / 3);
    kernels.linear(out, input, weights, { inputRow, rowCount: rows - inputRow, outRow: 0 });
    const part = await kernels.read(out, 0, rows - inputRow);
    const unactivated = loops.linear(x.subarray(inputRow * inFeatures), w, b, inFeatures);
    expect(worst(part, unactivated)).toBeLessThan(allowed);
    kernels.dispose();
  });

  it('linear with the large tile of data-centre GPUs', async () => {
    const kernels = await create();
    const [rows, inFeatures, outFeatures] = [2048 + 5, 20, 2048 + 4];
    const [x, w, b] = [random(rows * inFeatures), random(outFeatures * inFeatures), random(outFeatures)];
    const weights = kernels.loadLinear(
      { shape: [outFeatures, inFeatures], data: w },
      { shape: [outFeatures], data: b },
    );
    const [input, out] = [kernels.allocate(rows, inFeatures), kernels.allocate(rows, outFeatures)];
    kernels.write(input, x);
    kernels.linear(out, input, weights);
    expect(worst(await kernels.read(out, 0, rows), loops.linear(x, w, b, inFeatures))).toBeLessThan(1e-5);
    kernels.dispose();
  });

  it('linear with weights in several buffers, and without a bias', async () => {
    const [inFeatures, outFeatures] = [15, 1030];
    const [x, w] = [random(2 * inFeatures), random(outFeatures * inFeatures)];
    const whole = await create();
    const split = await create({ mostBindingBytes: 4 * 2 * outFeatures }); // the output just fits
    for (const kernels of [whole, split]) {
      const weights = kernels.loadLinear({ shape: [outFeatures, inFeatures], data: w }, null);
      const [input, out] = [kernels.allocate(2, inFeatures), kernels.allocate(2, outFeatures)];
      kernels.write(input, x);
      kernels.linear(out, input, weights);
      const expected = loops.linear(x, w, new Float32Array(outFeatures), inFeatures);
      expect(worst(await kernels.read(out, 0, 2), expected)).toBeLessThan(5e-6);
    }
    const count = ({ statistics }: typeof whole): number => statistics.buffers;
    expect(count(split) - count(whole)).toBe(9 - 1); // 16 numbers a column: 128 columns in a buffer
    whole.dispose();
    split.dispose();
  });

  // Absolute error allowed, as a multiple of max(1, |x|); the bounds of kernels/math.ts.
  it.each(Object.keys(loops.activations) as Activation[])('activation %s on the whole range', async activation => {
    const kernels = await create();
    const weights = kernels.loadLinear({ shape: [1, 1], data: Float32Array.of(1) }, null);
    const rows = 4000;
    const [input, out] = [kernels.allocate(rows, 1), kernels.allocate(rows, 1)];
    for (const scale of [1, 10, 100]) {
      const x = Float32Array.from({ length: rows }, (_, i) => (i / 2000 - 1) * scale);
      kernels.write(input, x);
      kernels.linear(out, input, weights, { activation });
      const actual = await kernels.read(out, 0, rows);
      let error = 0;
      x.forEach((value, i) => {
        const expected = loops.activations[activation](value);
        const relative = Math.abs(actual[i]! - expected) / Math.max(1, Math.abs(expected));
        if (!(relative <= error)) error = relative;
      });
      expect(error).toBeLessThan(3e-7);
    }
    kernels.dispose();
  });

  it.each([1, 3, 4, 7, 768])('addLayerNorm with %i features, in place too', async features => {
    const kernels = await create();
    const rows = 3;
    const [x, y, gamma, beta] = [random(rows * features), random(rows * features), random(features), random(features)];
    const expected = new Float64Array(rows * features);
    for (let t = 0; t < rows; t++) {
      const row = Array.from({ length: features }, (_, f) => x[t * features + f]! + y[t * features + f]!);
      const mean = row.reduce((sum, v) => sum + v, 0) / features;
      const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / features;
      row.forEach((v, f) => {
        expected[t * features + f] = ((v - mean) / Math.sqrt(variance + 1e-5)) * gamma[f]! + beta[f]!;
      });
    }
    const norm = kernels.loadNorm({ shape: [features], data: gamma }, { shape: [features], data: beta });
    const [input, residual, out] = [0, 1, 2].map(() => kernels.allocate(rows, features)) as [never, never, never];
    kernels.write(input, x);
    kernels.write(residual, y);
    kernels.addLayerNorm(out, input, residual, norm, 1e-5);
    const result = await kernels.read(out, 0, rows);
    expect(worst(result, expected)).toBeLessThan(4e-6);
    kernels.addLayerNorm(residual, input, residual, norm, 1e-5);
    expect(await kernels.read(residual, 0, rows)).toEqual(result);
    kernels.write(residual, y);
    kernels.addLayerNorm(input, input, residual, norm, 1e-5);
    expect(await kernels.read(input, 0, rows)).toEqual(result);
    const doubled = x.map((v, i) => (v + y[i]!) / 2);
    kernels.write(input, doubled);
    kernels.addLayerNorm(out, input, input, norm, 1e-5);
    expect(worst(await kernels.read(out, 0, rows), expected)).toBeLessThan(4e-6);
    kernels.write(
      input,
      doubled.map(v => 2 * v),
    );
    kernels.addLayerNorm(input, input, null, norm, 1e-5);
    expect(worst(await kernels.read(input, 0, rows), expected)).toBeLessThan(4e-6);
    kernels.dispose();
  });

  it('global attention in several chunks of tokens, and its probabilities', async () => {
    const kernels = await create();
    const random = randomNumbers(7);
    const [tokens, heads, hiddenSize] = [2100, 2, 8];
    const globals = Int32Array.from({ length: 40 }, (_, s) => 50 * s + 3); // x heads: too many to fold
    const attentionMask = Uint8Array.from({ length: tokens }, (_, t) => Number(t % 7 !== 0 || t % 50 === 3));
    const sequence = kernels.loadSequence({ documentStarts: Int32Array.of(0), attentionMask, globalIndices: globals });
    const square = [hiddenSize, hiddenSize];
    const scale = 2 / Math.sqrt(hiddenSize); // scores of a few units: float32 can err no more than the bounds below
    const [wk, wv] = [random(hiddenSize ** 2, scale), random(hiddenSize ** 2, scale)] as const;
    const [bk, bv] = [random(hiddenSize), random(hiddenSize)] as const;
    const projections = (
      [
        [wk, bk],
        [wv, bv],
      ] as const
    ).map(([data, bias]) => kernels.loadLinear({ shape: square, data }, { shape: [hiddenSize], data: bias }));
    const x = random(tokens * hiddenSize);
    const q = random(globals.length * hiddenSize, 2);
    const [states, query] = [kernels.allocate(tokens, hiddenSize), kernels.allocate(globals.length, hiddenSize)];
    const out = kernels.allocate(globals.length, hiddenSize);
    const probabilities = kernels.allocate(heads * globals.length, tokens);
    kernels.write(states, x);
    kernels.write(query, q);
    const rows = kernels.loadIndices(globals.map((_, s) => s));
    kernels.globalAttention(out, query, states, projections[0]!, projections[1]!, sequence, heads, false, rows);
    kernels.globalProbabilities(probabilities, query, states, projections[0]!, sequence, heads, false, 0);
    const [key, value] = [loops.linear(x, wk, bk, hiddenSize), loops.linear(x, wv, bv, hiddenSize)];
    const keys = Array.from(attentionMask, (seen, t) => (seen ? t : -1));
    const expected = new Float64Array(globals.length * hiddenSize);
    const expectedProbabilities = new Float64Array(heads * globals.length * tokens);
    for (let head = 0; head < heads; head++) {
      for (const s of globals.keys()) {
        const own = loops.probabilitiesOf(q, s, key, keys, head, heads, hiddenSize);
        loops.addValues(expected, s, value, keys, own, head, heads, hiddenSize);
        expectedProbabilities.set(own, (head * globals.length + s) * tokens);
      }
    }
    expect(worst(await kernels.read(out, 0, globals.length), expected)).toBeLessThan(4e-6);
    const actual = await kernels.read(probabilities, 0, heads * globals.length);
    expect(worst(actual, expectedProbabilities)).toBeLessThan(2e-6);
    kernels.dispose();
  });

  it('gatherRows, and row numbers that change between calls', async () => {
    const kernels = await create();
    const [input, out] = [kernels.allocate(4, 3), kernels.allocate(3, 3)];
    const indices = kernels.loadIndices(Int32Array.of(3, 0, 3));
    kernels.write(
      input,
      Float32Array.from({ length: 12 }, (_, i) => i),
    );
    kernels.gatherRows(out, input, indices);
    const other = kernels.allocate(3, 3);
    kernels.writeIndices(indices, Int32Array.of(1, 1, 2)); // after the call that was only recorded
    kernels.gatherRows(other, input, indices);
    expect([...(await kernels.read(out, 0, 3))]).toEqual([9, 10, 11, 0, 1, 2, 9, 10, 11]);
    expect([...(await kernels.read(other, 0, 3))]).toEqual([3, 4, 5, 3, 4, 5, 6, 7, 8]);
    kernels.dispose();
  });
});

describe.skipIf(missing)('a device with no more than every device has', () => {
  const least = missing ? null : openLeast();
  async function openLeast(): Promise<GPUDevice> {
    const adapter = await (await gpuOfNode()).requestAdapter();
    return await adapter!.requestDevice(); // 16 KiB of workgroup memory, 256 invocations, 8 buffers, 128 MiB of a buffer
  }

  describeAttention({
    createKernels: async () => createWebGpuKernels({ device: (await least)!, schedule: 'tiled' }),
    tolerance: 2e-6,
  });
});
