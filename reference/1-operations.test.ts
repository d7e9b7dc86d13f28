import { describe, expect, it } from 'vitest';
import type { Tensor64 } from '../contract/tensor.ts';
import { activations, erf, gatherRows, layerNorm, linear, sliceRows, softmax } from './1-operations.ts';

const tensor = (shape: number[], values: number[]): Tensor64 => ({ shape, data: Float64Array.from(values) });

describe('linear', () => {
  it('multiplies by the transposed weight and adds the bias', () => {
    const input = tensor([1, 2], [1, 2]);
    const weight = tensor([3, 2], [1, 0, 0, 1, 10, 100]); // each row of the weight makes one output
    expect([...linear(input, weight, tensor([3], [0.5, 0, 0])).data]).toEqual([1.5, 2, 210]);
  });

  it('says which shape it expected', () => {
    expect(() => linear(tensor([1, 2], [1, 2]), tensor([1, 3], [1, 2, 3]), null)).toThrow(
      'linear: "weight" expected shape (1, 2), got (1, 3).',
    );
  });
});

describe('layerNorm', () => {
  it('gives mean 0 and variance 1, then gamma and beta', () => {
    const output = layerNorm(tensor([1, 2], [3, 5]), tensor([2], [1, 2]), tensor([2], [0, 10]), 0);
    expect([...output.data]).toEqual([-1, 12]); // mean 4, variance 1 (divided by 2, not by 1)
  });
});

describe('softmax', () => {
  it('turns scores into probabilities', () => {
    const scores = Float64Array.of(0, Math.log(3), Number.NEGATIVE_INFINITY);
    softmax(scores);
    expect(scores[0]).toBeCloseTo(0.25, 15);
    expect(scores[1]).toBeCloseTo(0.75, 15);
    expect(scores[2]).toBe(0);
  });

  it('gives zeros, not NaN, when there is nothing to attend to', () => {
    const scores = Float64Array.of(Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY);
    softmax(scores);
    expect([...scores]).toEqual([0, 0]);
  });

  it('does not overflow', () => {
    const scores = Float64Array.of(10_000, 10_000);
    softmax(scores);
    expect([...scores]).toEqual([0.5, 0.5]);
  });
});

describe('activations', () => {
  // Values of the error function to 16 digits: Abramowitz and Stegun, table 7.1, and DLMF 7.
  it.each([
    [0, 0],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [-2, -0.9953222650189527],
    [3, 0.9999779095030014],
    [7, 1],
  ])('erf(%d) = %d', (x, expected) => {
    expect(Math.abs(erf(x) - expected)).toBeLessThan(5e-16);
  });

  it.each([
    ['gelu', 1, 0.8413447460685429],
    ['gelu', -1, -0.15865525393145707],
    ['geluTanh', 1, 0.8411919906082768],
    ['quickGelu', 1, 0.8457957659328212],
    ['relu', -1, 0],
    ['relu2', 3, 9],
    ['relu6', 7, 6],
    ['silu', 1, 0.7310585786300049],
    ['mish', 1, 0.8650983882673103],
    ['tanh', 1, 0.7615941559557649],
    ['sigmoid', 0, 0.5],
    ['linear', -3, -3],
  ] as const)('%s(%d) = %d', (name, x, expected) => {
    expect(activations[name](x)).toBeCloseTo(expected, 14);
  });
});

describe('rows', () => {
  const input = tensor([3, 2], [0, 1, 2, 3, 4, 5]);
  it('gathers and slices copies', () => {
    expect([...gatherRows(input, [2, 0]).data]).toEqual([4, 5, 0, 1]);
    expect([...sliceRows(input, 1, 1).data]).toEqual([2, 3]);
  });
});
