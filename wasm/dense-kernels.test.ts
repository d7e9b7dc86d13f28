/** Linear layers, activations, layer norm and gathering, each alone against plain loops, on both builds. */
import { describe, expect, it } from 'vitest';
import type { Activation } from '../contract/config.ts';
import * as loops from './dumb-loops.ts';
import { createWasmKernels } from './index.ts';
import { type Build, instantiate, loadModule } from './instantiate.ts';
import { activationNumbers } from './kernels.ts';
import { randomNumbers } from './random.ts';

const worst = (actual: ArrayLike<number>, expected: ArrayLike<number>): number => {
  expect(actual.length).toBe(expected.length);
  let error = 0;
  // Written so that NaN stays.
  for (let i = 0; i < expected.length; i++)
    if (!(Math.abs(actual[i]! - expected[i]!) <= error)) error = Math.abs(actual[i]! - expected[i]!);
  return error;
};

/** The functions of math.ts need their constants, which lie in the scratch. */
async function instantiateWithScratch(build: Build) {
  const { memory, exports } = await instantiate(await loadModule(build), 2 ** 22);
  memory.grow(Math.ceil(exports.scratchBytes(1, 0, 8) / 65_536));
  exports.setScratch(65_536, 1, 0, 8);
  return { memory, exports };
}

describe.each(['relaxed', 'baseline'] as const)('%s build', build => {
  const random = randomNumbers(1);

  it.each([
    [1, 1, 1],
    [1, 5, 3],
    [5, 7, 8],
    [6, 8, 9],
    [7, 383, 20],
    [13, 385, 8],
    [31, 768, 24],
    [193, 900, 17],
    [4, 12_400, 9],
    [12, 1600, 10],
  ])('linear: %i rows, %i to %i features', async (rows, inFeatures, outFeatures) => {
    const kernels = await createWasmKernels({ build });
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
    kernels.write(out, new Float32Array((rows + 2) * outFeatures).fill(Number.NaN));
    kernels.linear(out, input, weights, { outRow: 1 });
    const all = await kernels.read(out, 0, rows + 2);
    const result = all.subarray(outFeatures, (rows + 1) * outFeatures);
    expect(worst(result, loops.linear(x, w, b, inFeatures))).toBeLessThan(1e-6 * Math.sqrt(inFeatures) + 1e-7 * rows);
    // The rows around it are as they were.
    expect(all.subarray(0, outFeatures).every(Number.isNaN)).toBe(true);
    expect(all.subarray((rows + 1) * outFeatures).every(Number.isNaN)).toBe(true);

    kernels.linear(out, input, weights, { activation: 'silu' });
    const activated = loops.linear(x, w, b, inFeatures).map(loops.activations.silu);
    expect(worst(await kernels.read(out, 0, rows), activated)).toBeLessThan(1e-6 * Math.sqrt(inFeatures) + 1e-7 * rows);

    // Any row alone, or a range, has the same bits.
    for (const [inputRow, rowCount] of [
      [0, 1],
      [rows - 1, 1],
      [Math.floor(rows / 3), rows - Math.floor(rows / 3)],
    ] as const) {
      kernels.linear(out, input, weights, { inputRow, rowCount, outRow: 0 });
      const part = await kernels.read(out, 0, rowCount);
      expect(part).toEqual(result.slice(inputRow * outFeatures, (inputRow + rowCount) * outFeatures));
    }
  });

  it('linear without a bias', async () => {
    const kernels = await createWasmKernels({ build });
    const weights = kernels.loadLinear({ shape: [3, 2], data: new Float64Array([1, 2, 3, 4, 5, 6]) }, null);
    const [input, out] = [kernels.allocate(1, 2), kernels.allocate(1, 3)];
    kernels.write(input, Float32Array.of(10, 1));
    kernels.linear(out, input, weights);
    expect([...(await kernels.read(out, 0, 1))]).toEqual([12, 34, 56]);
  });

  // Absolute error allowed, as a multiple of max(1, |x|); the bounds of assembly/math.ts.
  it.each(Object.keys(activationNumbers) as Activation[])('activation %s on the whole range', async activation => {
    const { memory, exports } = await instantiateWithScratch(build);
    const xs = new Float32Array(memory.buffer, 1024, 8000);
    for (const scale of [1, 10, 100]) {
      const inputs = Float32Array.from(xs, (_, i) => (i / 4000 - 1) * scale);
      inputs[7] = 0;
      xs.set(inputs);
      exports.activations(1024, xs.length, activationNumbers[activation]);
      let error = 0;
      inputs.forEach((x, i) => {
        const expected = loops.activations[activation](x);
        const relative = Math.abs(xs[i]! - expected) / Math.max(1, Math.abs(expected));
        if (!(relative <= error)) error = relative;
      });
      expect(error).toBeLessThan(activation === 'gelu' ? 1e-7 : 3e-7);
    }
  });

  it.each(Object.keys(activationNumbers) as Activation[])('activation %s keeps NaN', async activation => {
    const { memory, exports } = await instantiateWithScratch(build);
    const xs = new Float32Array(memory.buffer, 1024, 8).fill(Number.NaN);
    exports.activations(1024, 8, activationNumbers[activation]);
    expect(xs.every(Number.isNaN)).toBe(true);
  });

  it('exp is good to 1.2e-7 and ends in 0', async () => {
    const { memory, exports } = await instantiateWithScratch(build);
    const xs = new Float32Array(memory.buffer, 1024, 8000);
    const inputs = Float32Array.from(xs, (_, i) => -87 + (175 * i) / 8000);
    xs.set(inputs);
    exports.exponentials(1024, xs.length);
    let error = 0;
    inputs.forEach((x, i) => {
      error = Math.max(error, Math.abs(xs[i]! / Math.exp(x) - 1));
    });
    expect(error).toBeLessThan(1.2e-7);
    xs.set([0, -0, -87.5, -1e30, Number.NEGATIVE_INFINITY, Number.NaN, 200, -88]);
    exports.exponentials(1024, 8);
    expect([...xs.subarray(0, 6)]).toEqual([1, 1, 0, 0, 0, Number.NaN]);
  });

  it.each([1, 3, 4, 7, 768])('addLayerNorm with %i features, in place too', async features => {
    const kernels = await createWasmKernels({ build });
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
    kernels.write(out, new Float32Array(rows * features).fill(Number.NaN));
    kernels.addLayerNorm(out, input, residual, norm, 1e-5);
    const result = await kernels.read(out, 0, rows);
    expect(worst(result, expected)).toBeLessThan(4e-6);
    kernels.addLayerNorm(residual, input, residual, norm, 1e-5);
    expect(await kernels.read(residual, 0, rows)).toEqual(result);
    kernels.write(residual, y);
    kernels.addLayerNorm(input, input, residual, norm, 1e-5);
    expect(await kernels.read(input, 0, rows)).toEqual(result);

    kernels.write(
      input,
      x.map((v, i) => v + y[i]!),
    );
    kernels.addLayerNorm(out, input, null, norm, 1e-5);
    expect(await kernels.read(out, 0, rows)).toEqual(result);
  });

  it('gatherRows', async () => {
    const kernels = await createWasmKernels({ build });
    const [input, out] = [kernels.allocate(4, 3), kernels.allocate(3, 3)];
    kernels.write(
      input,
      Float32Array.from({ length: 12 }, (_, i) => i),
    );
    kernels.gatherRows(out, input, kernels.loadIndices(Int32Array.of(3, 0, 3)));
    expect([...(await kernels.read(out, 0, 3))]).toEqual([9, 10, 11, 0, 1, 2, 9, 10, 11]);
  });
});
