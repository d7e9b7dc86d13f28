/**
 * Linear layers, activations, layer norm and gathering, each alone against plain loops, for any kernels: dense-kernels.test.ts runs
 * this on WebAssembly, conformance/webgpu-kernels.test.ts and conformance/gpujs-suite.ts on GPUs.
 */
import { expect, it } from 'vitest';
import type { Activation } from '../contract/config.ts';
import type { Kernels } from '../contract/kernels.ts';
import * as loops from './dumb-loops.ts';
import { randomNumbers } from './random.ts';

export interface DenseKind {
  readonly createKernels: () => Promise<Kernels>;
  /** Rows, features in, features out: where this kind's tiles and blocks begin and end. */
  readonly linearShapes: readonly (readonly [number, number, number])[];
  /** Further numbers of features of a layer norm. */
  readonly normFeatures?: readonly number[];
}

/** The largest distance; NaN when there is one. */
export function worst(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let error = 0;
  // Written so that NaN stays.
  for (let i = 0; i < expected.length; i++) {
    if (!(Math.abs(actual[i]! - expected[i]!) <= error)) error = Math.abs(actual[i]! - expected[i]!);
  }
  return error;
}

export function describeDense({ createKernels, linearShapes, normFeatures = [] }: DenseKind): void {
  const random = randomNumbers(1);

  it.each([[1, 1, 1] as const, [1, 5, 3] as const, [5, 7, 8] as const, ...linearShapes])(
    'linear: %i rows, %i to %i features',
    async (rows, inFeatures, outFeatures) => {
      const kernels = await createKernels();
      const [x, w, b] = [random(rows * inFeatures), random(outFeatures * inFeatures), random(outFeatures)];
      const weights = kernels.loadLinear(
        { shape: [outFeatures, inFeatures], data: w },
        { shape: [outFeatures], data: b },
      );
      const [input, out] = [kernels.allocate(rows, inFeatures), kernels.allocate(rows + 2, outFeatures)];
      kernels.write(input, x);
      kernels.write(out, new Float32Array((rows + 2) * outFeatures).fill(7));
      kernels.linear(out, input, weights, { outRow: 1, activation: 'silu' });
      const all = await kernels.read(out, 0, rows + 2);
      const sums = loops.linear(x, w, b, inFeatures);
      const allowed = 1e-6 * Math.sqrt(inFeatures) + 1e-7 * rows;
      const activated = all.subarray(outFeatures, (rows + 1) * outFeatures);
      expect(worst(activated, sums.map(loops.activations.silu))).toBeLessThan(allowed);
      // The rows around it are as they were.
      expect(all.subarray(0, outFeatures).every(value => value === 7)).toBe(true);
      expect(all.subarray((rows + 1) * outFeatures).every(value => value === 7)).toBe(true);

      const inputRow = Math.floor(rows / 3);
      kernels.linear(out, input, weights, { inputRow, rowCount: rows - inputRow });
      const part = await kernels.read(out, 0, rows - inputRow);
      expect(worst(part, sums.subarray(inputRow * outFeatures))).toBeLessThan(allowed);
      kernels.dispose();
    },
  );

  it('linear without a bias', async () => {
    const kernels = await createKernels();
    const weights = kernels.loadLinear({ shape: [3, 2], data: new Float64Array([1, 2, 3, 4, 5, 6]) }, null);
    const [input, out] = [kernels.allocate(1, 2), kernels.allocate(1, 3)];
    kernels.write(input, Float32Array.of(10, 1));
    kernels.linear(out, input, weights);
    expect([...(await kernels.read(out, 0, 1))]).toEqual([12, 34, 56]);
    kernels.dispose();
  });

  // Absolute error allowed, as a multiple of max(1, |x|).
  it.each(Object.keys(loops.activations) as Activation[])('activation %s on the whole range', async activation => {
    const kernels = await createKernels();
    const weights = kernels.loadLinear({ shape: [1, 1], data: Float32Array.of(1) }, null);
    const rows = 4000;
    const [input, out] = [kernels.allocate(rows, 1), kernels.allocate(rows, 1)];
    for (const scale of [1, 10, 100]) {
      const x = Float32Array.from({ length: rows }, (_, i) => (i / 2000 - 1) * scale);
      kernels.write(input, x);
      kernels.linear(out, input, weights, { activation });
      const expected = Float64Array.from(x, loops.activations[activation]);
      const unit = (values: ArrayLike<number>) =>
        Float64Array.from(values, (value, i) => value / Math.max(1, Math.abs(expected[i]!)));
      expect(worst(unit(await kernels.read(out, 0, rows)), unit(expected))).toBeLessThan(3e-7);
    }
    kernels.dispose();
  });

  it.each([1, 3, 4, 7, 768, ...normFeatures])('addLayerNorm with %i features, in place too', async features => {
    const kernels = await createKernels();
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
    // The sum in one store: with itself, when it is halved, and without a residual.
    const halves = x.map((v, i) => (v + y[i]!) / 2);
    kernels.write(input, halves);
    kernels.addLayerNorm(out, input, input, norm, 1e-5);
    expect(worst(await kernels.read(out, 0, rows), expected)).toBeLessThan(4e-6);
    const sums = halves.map(v => 2 * v);
    kernels.write(input, sums);
    kernels.addLayerNorm(input, input, null, norm, 1e-5);
    expect(worst(await kernels.read(input, 0, rows), expected)).toBeLessThan(4e-6);
    kernels.dispose();
  });

  it('rows of the target that no kernel writes keep what they held', async () => {
    const kernels = await createKernels();
    const [rows, features] = [4, 3];
    const held = Float32Array.from({ length: rows * features }, (_, i) => 100 + i);
    const [input, out] = [kernels.allocate(2, features), kernels.allocate(rows, features)];
    kernels.write(input, random(2 * features));
    const norm = kernels.loadNorm(
      { shape: [features], data: new Float32Array(features).fill(1) },
      { shape: [features], data: new Float32Array(features) },
    );
    kernels.write(out, held);
    kernels.addLayerNorm(out, input, null, norm, 1e-5);
    expect([...(await kernels.read(out, 2, 2))]).toEqual([...held.subarray(2 * features)]);
    kernels.write(out, held);
    kernels.gatherRows(out, input, kernels.loadIndices(Int32Array.of(1)));
    expect([...(await kernels.read(out, 1, 3))]).toEqual([...held.subarray(features)]);
    kernels.dispose();
  });

  it('gatherRows, and row numbers that change between calls', async () => {
    const kernels = await createKernels();
    const [input, out, other] = [kernels.allocate(4, 3), kernels.allocate(3, 3), kernels.allocate(3, 3)];
    const indices = kernels.loadIndices(Int32Array.of(3, 0, 3));
    const values = Float32Array.from({ length: 12 }, (_, i) => i);
    kernels.write(input, values);
    kernels.gatherRows(out, input, indices);
    kernels.writeIndices(indices, Int32Array.of(1, 1, 2)); // the call before may only have been recorded
    kernels.gatherRows(other, input, indices);
    expect([...(await kernels.read(out, 0, 3))]).toEqual([9, 10, 11, 0, 1, 2, 9, 10, 11]);
    expect([...(await kernels.read(other, 0, 3))]).toEqual([3, 4, 5, 3, 4, 5, 6, 7, 8]);
    kernels.dispose();
  });
}
