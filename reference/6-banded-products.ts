/**
 * 6. How the authors computed the band, and the frame around it.
 *
 * Their code splits attention into two products and lets three implementations compete for them:
 *
 *     query × key → scores        a tensor that holds only the band: (H, T, columns)
 *     probs × value → attended
 *
 *   6a loop                one diagonal after the other; the definition of a band, in a few lines
 *   6b sliding chunks      overlapping chunks and ordinary matrix products; what Hugging Face runs
 *   6c chunks, no overlap  three blocks for each block of queries; another, asymmetric band
 *   6d diagonaled matmul   what their CUDA kernel computes, with its backward pass
 *
 * This file is the frame: it removes keys that do not count, puts the global keys in front, takes the softmax and zeroes
 * rows. It is the same for all of them, and with any of 6a, 6b and 6d it gives what 4 gives.
 *
 * Read before: 5-global-attention.ts. Read next: 6a-loop.ts.
 */
import { expectShape } from '../contract/errors.ts';
import type { Tensor64 } from '../contract/tensor.ts';
import { softmax, zeros } from './1-operations.ts';
import type { TokenRoles } from './2-patterns.ts';
import { addWeightedRow, headDimOf, score } from './3-dense-attention.ts';

/** The two products over one kind of band. Neither scales anything. */
export interface BandedProducts {
  readonly heads: number;
  /** Width of a row of scores. */
  readonly columns: number;
  /** The row of the key in a column; it may lie outside the document. */
  keyOf(i: number, column: number, head: number): number;
  /** (T, H * D), (T, H * D) → (H, T, columns). Entries outside the document hold anything. */
  queryKey(query: Tensor64, key: Tensor64): Tensor64;
  /** (H, T, columns), (T, H * D) → (T, H * D). Entries outside the document are 0 in `probs`. */
  probsValue(probs: Tensor64, value: Tensor64): Tensor64;
  /** Which entries outside the document are hidden from the softmax; all of them when absent. See 6c. */
  hides?(i: number, column: number, sequenceLength: number): boolean;
}

/**
 * Attention of every local token over its band and all global tokens, by way of banded products.
 *
 * query, key, value: (T, H * D). Returns attended (T, H * D) and probs (H, T, G + columns), as 4 does.
 * Source: HF LongformerSelfAttention.forward, step by step.
 * @throws ShapeError
 */
export function attentionByProducts(
  query: Tensor64,
  key: Tensor64,
  value: Tensor64,
  roles: TokenRoles,
  products: BandedProducts,
): { attended: Tensor64; probs: Tensor64 } {
  const [sequenceLength, hiddenSize] = query.shape as [number, number];
  const { heads, columns } = products;
  const { attentionMask, globalIndices } = roles;
  const headDim = headDimOf('attentionByProducts', hiddenSize, heads);
  const isGlobal = new Set(globalIndices);
  const globals = globalIndices.length;

  // The scale goes into the queries, so that the band and the global columns both have it.
  const scaled: Tensor64 = { shape: query.shape, data: query.data.map(feature => feature / Math.sqrt(headDim)) };
  const bandScores = products.queryKey(scaled, key); // (H, T, columns)
  expectShape('attentionByProducts', 'scores', bandScores, [heads, sequenceLength, columns]);

  const probs = zeros(heads, sequenceLength, globals + columns);
  const bandProbs = zeros(heads, sequenceLength, columns);
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < sequenceLength; i++) {
      if (attentionMask[i] === 0 || isGlobal.has(i)) continue;
      const start = (head * sequenceLength + i) * (globals + columns);
      const row = probs.data.subarray(start, start + globals + columns); // [global keys | band]
      globalIndices.forEach((j, slot) => {
        row[slot] = score(query, i, key, j, head, headDim);
      });
      for (let c = 0; c < columns; c++) {
        const j = products.keyOf(i, c, head);
        const outside = j < 0 || j >= sequenceLength;
        const removed = outside
          ? (products.hides?.(i, c, sequenceLength) ?? true)
          : attentionMask[j] === 0 || isGlobal.has(j); // Subtle: global keys already stand in front.
        const at = (head * sequenceLength + i) * columns + c;
        row[globals + c] = removed ? Number.NEGATIVE_INFINITY : bandScores.data[at]!;
      }
      softmax(row);
      bandProbs.data.set(row.subarray(globals), (head * sequenceLength + i) * columns);
    }
  }

  const attended = products.probsValue(bandProbs, value); // (T, C)
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < sequenceLength; i++) {
      globalIndices.forEach((j, slot) => {
        const weight = probs.data[(head * sequenceLength + i) * (globals + columns) + slot]!;
        addWeightedRow(attended, i, weight, value, j, head, headDim);
      });
    }
  }
  return { attended, probs };
}

/** The features of one head as a matrix of its own: (T, H * D) → (T, D). */
export function headOf(input: Tensor64, head: number, heads: number): Tensor64 {
  const [rows, hiddenSize] = input.shape as [number, number];
  const headDim = headDimOf('headOf', hiddenSize, heads);
  const output = zeros(rows, headDim);
  for (let t = 0; t < rows; t++) {
    const start = t * hiddenSize + head * headDim;
    output.data.set(input.data.subarray(start, start + headDim), t * headDim);
  }
  return output;
}
