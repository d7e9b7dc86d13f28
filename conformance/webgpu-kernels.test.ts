/** Every WebGPU kernel alone against plain loops, in both schedules. */
import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../contract/errors.ts';
import { createWebGpuKernels, type WebGpuOptions } from '../gpu/webgpu/index.ts';
import { gpuOfNode } from '../gpu/webgpu/index-node.ts';
import { describeAttention } from '../wasm/attention-suite.ts';
import { describeDense, worst } from '../wasm/dense-suite.ts';
import * as loops from '../wasm/dumb-loops.ts';
import { randomNumbers } from '../wasm/random.ts';
import { deviceOrReason } from './subjects/webgpu-node.ts';

const device = await deviceOrReason();
const missing = device instanceof UnsupportedError;

describe.skipIf(missing).each(['tiled', 'registers'] as const)('schedule %s', schedule => {
  const random = randomNumbers(1);
  const create = (options: WebGpuOptions = {}) =>
    createWebGpuKernels({ device: device as GPUDevice, schedule, ...options });

  describeAttention({ createKernels: create, tolerance: 2e-6 });

  describeDense({
    createKernels: create,
    linearShapes: [
      [7, 383, 20],
      [16, 64, 9],
      [17, 64, 9],
      [65, 48, 132],
      [130, 20, 68],
      [193, 90, 17],
    ],
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
