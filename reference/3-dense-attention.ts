/**
 * 3. The definition. Softmax attention in which a query sees exactly the keys its pattern allows.
 *
 * It visits all T² pairs, so it is slow and short. Everything after it (4, 5, 6) is a way to get the same numbers with less
 * work; their tests compare them with this file.
 *
 * Read before: 2-patterns.ts. Read next: 4-sliding-window-attention.ts.
 */
import { expectShape, ShapeError } from '../contract/errors.ts';
import type { Tensor64 } from '../contract/tensor.ts';
import { softmax, zeros } from './1-operations.ts';
import type { Pattern } from './2-patterns.ts';

/**
 * Attention of every query over the keys its pattern allows.
 *
 * query: (N, H * D), heads side by side; key, value: (T, H * D). Queries are scaled by 1 / √D here.
 * Returns attended (N, H * D) and probs (H, N, T). A query that may see no key at all gets zeros.
 * Source: Paper §3.1, eq. 1; Vaswani et al. 2017.
 * @throws ShapeError
 */
export function denseAttention(
  query: Tensor64,
  key: Tensor64,
  value: Tensor64,
  heads: number,
  pattern: Pattern,
): { attended: Tensor64; probs: Tensor64 } {
  const [queries, hiddenSize] = query.shape as [number, number];
  const keys = key.shape[0]!;
  expectShape('denseAttention', 'key', key, [keys, hiddenSize]);
  expectShape('denseAttention', 'value', value, [keys, hiddenSize]);
  const headDim = headDimOf('denseAttention', hiddenSize, heads);

  const attended = zeros(queries, hiddenSize);
  const probs = zeros(heads, queries, keys);
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < queries; i++) {
      const start = (head * queries + i) * keys;
      const row = probs.data.subarray(start, start + keys); // (T), first scores, then probabilities
      for (let j = 0; j < keys; j++) {
        row[j] = pattern(i, j, head) ? score(query, i, key, j, head, headDim) : Number.NEGATIVE_INFINITY;
      }
      softmax(row);
      for (let j = 0; j < keys; j++) addWeightedRow(attended, i, row[j]!, value, j, head, headDim);
    }
  }
  return { attended, probs };
}

/** D = C / H. @throws ShapeError when heads do not divide the features. */
export function headDimOf(where: string, hiddenSize: number, heads: number): number {
  if (hiddenSize % heads !== 0) {
    throw new ShapeError({
      where,
      name: 'query',
      expected: `features divisible by ${heads} heads`,
      got: String(hiddenSize),
    });
  }
  return hiddenSize / heads;
}

/** q_i · k_j / √D within one head. */
export function score(query: Tensor64, i: number, key: Tensor64, j: number, head: number, headDim: number): number {
  const q = i * query.shape[1]! + head * headDim;
  const k = j * key.shape[1]! + head * headDim;
  let sum = 0;
  for (let d = 0; d < headDim; d++) sum += query.data[q + d]! * key.data[k + d]!;
  return sum / Math.sqrt(headDim);
}

/** output_i += weight · value_j within one head. */
export function addWeightedRow(
  output: Tensor64,
  i: number,
  weight: number,
  value: Tensor64,
  j: number,
  head: number,
  headDim: number,
): void {
  if (weight === 0) return; // an absent key must not matter, not even if its value is infinite
  const o = i * output.shape[1]! + head * headDim;
  const v = j * value.shape[1]! + head * headDim;
  for (let d = 0; d < headDim; d++) output.data[o + d]! += weight * value.data[v + d]!;
}
