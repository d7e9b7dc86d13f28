/** Every kernel on gpu.js alone against plain loops, for any device: browser-gpujs.test.ts runs this on WebGL2, gpujs.test.ts on Dawn. */
import { describe, expect, it } from 'vitest';
import { MemoryError } from '../contract/errors.ts';
import { createGpuJsKernels, type Device } from '../gpu/gpujs/index.ts';
import { describeAttention } from '../wasm/attention-suite.ts';
import { describeDense, worst } from '../wasm/dense-suite.ts';
import * as loops from '../wasm/dumb-loops.ts';
import { randomNumbers } from '../wasm/random.ts';
import { describeFullAttention } from './full-attention-suite.ts';

/** A device that has memory for the results of `left` more programs. */
function withoutMemory(device: Device): { readonly device: Device; left: number } {
  const state = { left: Number.POSITIVE_INFINITY, device };
  const run: Device['run'] = (...call) => {
    if (state.left-- > 0) return device.run(...call);
    throw new MemoryError({ where: 'test', name: 'run', expected: 'memory', got: 'none' });
  };
  const get = (_: Device, name: keyof Device): unknown => {
    const value = name === 'run' ? run : device[name];
    return typeof value === 'function' ? value.bind(device) : value;
  };
  state.device = new Proxy(device, { get: get as never });
  return state;
}

/** small: a device on which few scores may exist at once, so that attention is cut into chunks. */
export function describeGpuJs(device: Device, small: Device): void {
  const random = randomNumbers(1);
  const createKernels = () => createGpuJsKernels({ device });

  describeAttention({ createKernels, tolerance: 2e-6 });
  describe('in chunks', () => {
    expect(small.mostScores).toBeLessThan(10_000);
    describeAttention({ createKernels: () => createGpuJsKernels({ device: small }), tolerance: 2e-6 });
  });
  describeFullAttention({ name: 'gpujs', tolerance: 2e-6, createKernels });

  describeDense({
    createKernels,
    linearShapes: [
      [17, 64, 9],
      [65, 48, 132],
      [3, 3072, 20],
      [1, 40_000, 2], // more blocks than gpu.js lets a loop run by default
    ],
    normFeatures: [1500],
  });

  it('linear without a bias, with the vocabulary of RoBERTa: wider than a texture may be', async () => {
    const kernels = await createKernels();
    const [rows, inFeatures, outFeatures] = [3, 2, 50_265];
    const [x, w] = [random(rows * inFeatures), random(outFeatures * inFeatures)];
    const weights = kernels.loadLinear({ shape: [outFeatures, inFeatures], data: w }, null);
    const [input, out] = [kernels.allocate(rows, inFeatures), kernels.allocate(rows, outFeatures)];
    kernels.write(input, x);
    kernels.linear(out, input, weights);
    const expected = loops.linear(x, w, new Float32Array(outFeatures), inFeatures);
    expect(worst(await kernels.read(out, 1, 2), expected.subarray(outFeatures))).toBeLessThan(1e-6);
    kernels.dispose();
  });

  it('rows: more than a texture may have, written and read in parts', async () => {
    const kernels = await createKernels();
    const [rows, features] = [40_000, 3];
    const [input, out] = [kernels.allocate(rows, features), kernels.allocate(rows, features)];
    const values = Float32Array.from({ length: rows * features }, (_, i) => i);
    kernels.write(input, values);
    kernels.write(input, Float32Array.of(-1, -2, -3, -4, -5, -6), 20_001);
    values.set([-1, -2, -3, -4, -5, -6], 3 * 20_001);
    const indices = Int32Array.from({ length: rows }, (_, i) => (7 * i) % rows);
    kernels.gatherRows(out, input, kernels.loadIndices(indices));
    const [first, count] = [11_111, 5000];
    const expected = [...indices.subarray(first, first + count)].flatMap(row => [
      ...values.subarray(3 * row, 3 * row + 3),
    ]);
    expect(worst(await kernels.read(out, first, count), expected)).toBe(0);
    expect(worst(await kernels.read(input, 0, rows), values)).toBe(0);
    kernels.dispose();
  });

  it('every kernel leaves as many stores as it found, also when the GPU has no memory for a part of it', async () => {
    const failing = withoutMemory(device);
    const kernels = await createGpuJsKernels({ device: failing.device });
    const [tokens, features, heads] = [6, 4, 2];
    const rows = (count: number, width = features) => {
      const handle = kernels.allocate(count, width);
      kernels.write(handle, random(count * width));
      return handle;
    };
    const weights = kernels.loadLinear({ shape: [features, features], data: random(features ** 2) }, null);
    const norm = kernels.loadNorm(
      { shape: [features], data: random(features) },
      { shape: [features], data: random(features) },
    );
    const roles = {
      documentStarts: Int32Array.of(0, 4),
      attentionMask: new Uint8Array(tokens).fill(1),
      globalIndices: Int32Array.of(1, 4),
    };
    const sequence = kernels.loadSequence(roles);
    const [x, out, few, wide] = [rows(tokens), rows(tokens), rows(2), rows(2 * tokens, 12)] as const;
    const [one, two] = [kernels.loadIndices(Int32Array.of(3)), kernels.loadIndices(Int32Array.of(0, 2))];
    const band = { heads, oneSidedWindow: 1, dilation: [1, 2], causal: false };
    const own = { heads, groups: 2, keyCount: 3, groupDocuments: null, causal: true };
    const cross = {
      heads,
      groups: 2,
      keyCount: 0,
      groupDocuments: kernels.loadIndices(Int32Array.of(0, 1)),
      causal: false,
    };
    const calls: (() => void)[] = [
      () => kernels.linear(out, x, weights),
      () => kernels.linear(out, x, weights, { outRow: 1, rowCount: 2 }),
      () => kernels.addLayerNorm(x, x, out, norm, 1e-5),
      () => kernels.addLayerNorm(out, few, null, norm, 1e-5),
      () => kernels.slidingWindowAttention(out, x, x, x, sequence, band),
      () => kernels.slidingWindowAttention(out, few, x, x, sequence, band, two),
      () => kernels.slidingWindowProbabilities(wide, x, x, sequence, band, 0),
      () => kernels.globalAttention(out, few, x, weights, weights, sequence, heads, false, two),
      () => kernels.globalProbabilities(wide, few, x, weights, sequence, heads, false, 0),
      () => kernels.fullAttention(out, few, x, x, null, own),
      () => kernels.fullProbabilities(wide, few, x, null, own, 1),
      () => kernels.fullAttention(out, few, x, x, sequence, cross),
      () => kernels.fullProbabilities(wide, few, x, sequence, cross, 1),
      () => kernels.gatherRows(out, x, one),
      () => kernels.write(out, random(features), 2),
      () => kernels.writeIndices(two, Int32Array.of(2, 3)),
    ];
    calls[4]!(); // the numbers of the dilation stay
    const { stores, bytes } = kernels.statistics;
    for (const [i, call] of calls.entries()) {
      call();
      expect(kernels.statistics, `call ${i}`).toMatchObject({ stores, bytes });
    }
    await kernels.read(out, 0, 1);
    for (const [i, call] of calls.entries()) {
      for (let runs = 0; ; runs++) {
        failing.left = runs;
        try {
          call();
          break;
        } catch (error) {
          expect(error).toBeInstanceOf(MemoryError);
          expect(kernels.statistics, `call ${i}, after ${runs} runs`).toMatchObject({ stores, bytes });
        }
      }
    }
    kernels.dispose();
  });

  describe('loops longer than gpu.js makes them by default', () => {
    it('a window and global keys of more than 1000 columns each', async () => {
      const kernels = await createKernels();
      const [tokens, heads, hiddenSize] = [2300, 1, 4];
      const globalIndices = Int32Array.from({ length: 1100 }, (_, s) => 2 * s);
      const attentionMask = new Uint8Array(tokens).fill(1);
      const roles = { documentStarts: Int32Array.of(0), attentionMask, globalIndices };
      const band = { heads, oneSidedWindow: 1050, dilation: [1], causal: false };
      const [q, k, v] = [2, 2, 1].map(scale => random(tokens * hiddenSize, scale)) as [never, never, never];
      const [query, key, value] = [q, k, v].map(data => {
        const rows = kernels.allocate(tokens, hiddenSize);
        kernels.write(rows, data);
        return rows;
      }) as [never, never, never];
      const rows = [1, 1101, 2299];
      const queries = kernels.allocate(3, hiddenSize);
      const indices = kernels.loadIndices(Int32Array.from(rows));
      kernels.gatherRows(queries, query, indices);
      const out = kernels.allocate(3, hiddenSize);
      kernels.slidingWindowAttention(out, queries, key, value, kernels.loadSequence(roles), band, indices);
      const expected = new Float64Array(3 * hiddenSize);
      rows.forEach((row, i) => {
        const keys = loops.localKeys(row, 0, roles, band);
        expect(keys.length).toBe(1100 + 2101);
        const own = loops.probabilitiesOf(q, row, k, keys, 0, heads, hiddenSize);
        loops.addValues(expected, i, v, keys, own, 0, heads, hiddenSize);
      });
      expect(worst(await kernels.read(out, 0, 3), expected)).toBeLessThan(2e-6);
      kernels.dispose();
    });

    it('global attention of 1050 tokens over 1200, and its probabilities', async () => {
      const kernels = await createKernels();
      const [tokens, heads, hiddenSize] = [1200, 1, 4];
      const globals = Int32Array.from({ length: 1050 }, (_, s) => s + 1);
      const attentionMask = Uint8Array.from({ length: tokens }, (_, t) => Number(t !== 0 && t < 1150));
      const sequence = kernels.loadSequence({
        documentStarts: Int32Array.of(0),
        attentionMask,
        globalIndices: globals,
      });
      const square = [hiddenSize, hiddenSize];
      const scale = 2 / Math.sqrt(hiddenSize);
      const [wk, wv] = [random(hiddenSize ** 2, scale), random(hiddenSize ** 2, scale)] as const;
      const [bk, bv] = [random(hiddenSize), random(hiddenSize)] as const;
      const load = (data: Float32Array, bias: Float32Array) =>
        kernels.loadLinear({ shape: square, data }, { shape: [hiddenSize], data: bias });
      const projections = [load(wk, bk), load(wv, bv)] as const;
      const [x, q] = [random(tokens * hiddenSize), random(globals.length * hiddenSize, 2)];
      const [states, query] = [kernels.allocate(tokens, hiddenSize), kernels.allocate(globals.length, hiddenSize)];
      kernels.write(states, x);
      kernels.write(query, q);
      const out = kernels.allocate(tokens, hiddenSize);
      kernels.write(out, new Float32Array(tokens * hiddenSize).fill(7));
      const outRows = kernels.loadIndices(globals);
      kernels.globalAttention(out, query, states, ...projections, sequence, heads, false, outRows);
      const probabilities = kernels.allocate(heads * globals.length, tokens);
      kernels.globalProbabilities(probabilities, query, states, projections[0], sequence, heads, false, 0);
      const [key, value] = [loops.linear(x, wk, bk, hiddenSize), loops.linear(x, wv, bv, hiddenSize)];
      const keys = Array.from(attentionMask, (seen, t) => (seen ? t : -1));
      const result = await kernels.read(out, 0, tokens);
      expect(result.subarray(0, hiddenSize).every(each => each === 7)).toBe(true);
      for (const s of [0, 550, 1049]) {
        const expected = new Float64Array(hiddenSize);
        for (let head = 0; head < heads; head++) {
          const own = loops.probabilitiesOf(q, s, key, keys, head, heads, hiddenSize);
          loops.addValues(expected, 0, value, keys, own, head, heads, hiddenSize);
          const [row] = [await kernels.read(probabilities, head * globals.length + s, 1)];
          expect(worst(row, own)).toBeLessThan(2e-6);
        }
        const row = globals[s]!;
        expect(worst(result.subarray(row * hiddenSize, (row + 1) * hiddenSize), expected)).toBeLessThan(4e-6);
      }
      kernels.dispose();
    });
  });
}
