/**
 * Seeded random tensors for tests, exercises and benchmarks. Not part of the reference.
 */
import type { Tensor64 } from '../contract/tensor.ts';
import { zeros } from './1-operations.ts';

/** A generator of numbers in [0, 1): the same seed, the same numbers. Source: mulberry32 (Ettinger, public domain). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Uniform in [-scale, scale). */
export function randomTensor(random: () => number, shape: readonly number[], scale = 1): Tensor64 {
  const tensor = zeros(...shape);
  for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = (2 * random() - 1) * scale;
  return tensor;
}
