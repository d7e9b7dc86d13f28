/** The layouts the shaders read, on examples small enough to check by eye. */
import { describe, expect, it } from 'vitest';
import { boundsOf, firstGlobals, halfBits, packLinear, packSequence } from './pack.ts';

const bitsOf = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0]!;

describe('packLinear', () => {
  const weight = { shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) };
  const bias = { shape: [3], data: Float32Array.of(7, 8, 9) };

  it('transposes, fills columns up to 4, and ends with the bias', () => {
    const blocks: [number, number[]][] = [];
    packLinear(weight, bias, 0, 3, false, (block, at) => blocks.push([at, [...block]]));
    expect(blocks).toEqual([
      [0, [1, 3, 5, 0, 2, 4, 6, 0]],
      [32, [7, 8, 9, 0]],
    ]);
  });

  it('takes some columns, without a bias, in float16', () => {
    const blocks: [number, number[]][] = [];
    packLinear(weight, null, 1, 2, true, (block, at) => blocks.push([at, [...block]]));
    expect(blocks).toEqual([
      [0, [0x4200, 0x4500, 0, 0, 0x4400, 0x4600, 0, 0]],
      [16, [0, 0, 0, 0]],
    ]);
  });

  it('refuses what float16 cannot hold', () => {
    const large = { shape: [1, 1], data: Float32Array.of(70_000) };
    expect(() => packLinear(large, null, 0, 1, true, () => {})).toThrow(
      'webgpu.loadLinear: "weight" expected numbers within ±65504 (float16), got 70000.\n  Hint: load these weights as float32.',
    );
  });
});

describe('halfBits', () => {
  it.each([
    [0, 0],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [65_504, 0x7bff],
    [2 ** -14, 0x0400],
    [2 ** -24, 0x0001],
    [2 ** -25, 0], // a tie, to even
    [1.5 * 2 ** -24, 0x0002],
    [1 + 2 ** -11, 0x3c00], // a tie, to even
    [1 + 3 * 2 ** -11, 0x3c02],
    [2047.5, 0x6800], // carries into the exponent
  ])('%d', (value, bits) => {
    expect(halfBits(bitsOf(value))).toBe(bits);
  });
});

describe('packSequence', () => {
  it('has the tokens, the first global token and the first row of each document, and the global rows', () => {
    const roles = {
      documentStarts: Int32Array.of(0, 2),
      attentionMask: Uint8Array.of(1, 0, 1),
      globalIndices: Int32Array.of(2),
    };
    const bounds = boundsOf(roles);
    const globals = firstGlobals(bounds, roles.globalIndices);
    const tokens = [0, 2, 1, 0, /**/ 0, 2, 0, 0, /**/ 2, 3, 2, 1];
    expect([...packSequence(roles, bounds, globals)]).toEqual([...tokens, /**/ 0, 0, 1, /**/ 0, 2, 3, /**/ 2]);
  });
});
