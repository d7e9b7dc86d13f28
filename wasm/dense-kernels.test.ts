/** Linear layers, activations, layer norm and gathering, each alone against plain loops, on both builds. */
import { describe, expect, it } from 'vitest';
import type { Activation } from '../contract/config.ts';
import { describeDense } from './dense-suite.ts';
import * as loops from './dumb-loops.ts';
import { createWasmKernels } from './index.ts';
import { type Build, instantiate, loadModule } from './instantiate.ts';
import { activationNumbers } from './kernels.ts';
import { randomNumbers } from './random.ts';

/** The functions of math.ts need their constants, which lie in the scratch. */
async function instantiateWithScratch(build: Build) {
  const { memory, exports } = await instantiate(await loadModule(build), 2 ** 22);
  memory.grow(Math.ceil(exports.scratchBytes(1, 0, 8) / 65_536));
  exports.setScratch(65_536, 1, 0, 8);
  return { memory, exports };
}

describe.each(['relaxed', 'baseline'] as const)('%s build', build => {
  describeDense({
    createKernels: () => createWasmKernels({ build }),
    linearShapes: [
      [6, 8, 9],
      [7, 383, 20],
      [13, 385, 8],
      [31, 768, 24],
      [193, 900, 17],
      [4, 12_400, 9],
      [12, 1600, 10],
    ],
  });

  it.each([
    [5, 7, 8],
    [31, 768, 24],
    [193, 900, 17],
    [4, 12_400, 9],
    [12, 1600, 10],
  ])(
    'linear: of %i rows, %i to %i features, any alone, or a range, has the same bits',
    async (rows, inFeatures, outFeatures) => {
      const random = randomNumbers(2);
      const kernels = await createWasmKernels({ build });
      const weights = kernels.loadLinear(
        { shape: [outFeatures, inFeatures], data: random(outFeatures * inFeatures) },
        { shape: [outFeatures], data: random(outFeatures) },
      );
      const [input, out] = [kernels.allocate(rows, inFeatures), kernels.allocate(rows, outFeatures)];
      kernels.write(input, random(rows * inFeatures));
      kernels.linear(out, input, weights);
      const whole = await kernels.read(out, 0, rows);
      for (let inputRow = 0; inputRow < rows; inputRow += 13) {
        for (const rowCount of [1, 2, 7, rows - inputRow].filter(count => inputRow + count <= rows)) {
          kernels.linear(out, input, weights, { inputRow, rowCount, outRow: 0 });
          const part = await kernels.read(out, 0, rowCount);
          expect(part).toEqual(whole.slice(inputRow * outFeatures, (inputRow + rowCount) * outFeatures));
        }
      }
    },
  );

  // Absolute error allowed, as a multiple of max(1, |x|); the bounds of assembly/math.ts.
  it.each(Object.keys(activationNumbers) as Activation[])(
    'activation %s alone on the whole range',
    async activation => {
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
    },
  );

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
});
