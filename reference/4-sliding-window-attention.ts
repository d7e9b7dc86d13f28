/**
 * 4. Sliding window attention in O(T · w), with global keys in the same softmax.
 *
 * For each local query the keys are listed, instead of asking about every pair as the definition (3) does:
 *
 *     probabilities of one query:   [ g₀ g₁ … | i-w … i-1  i  i+1 … i+w ]
 *                                     G global keys   2w + 1 band keys
 *
 * This is also how Hugging Face lays out the attentions it returns. Global queries are not computed here (5 does it).
 * Read before: 3-dense-attention.ts. Read next: 5-global-attention.ts.
 */
import { expectShape } from '../contract/errors.ts';
import type { Tensor64 } from '../contract/tensor.ts';
import { softmax, zeros } from './1-operations.ts';
import { type Band, expectBandAndRoles, type TokenRoles } from './2-patterns.ts';
import { addWeightedRow, headDimOf, score } from './3-dense-attention.ts';

/**
 * Attention of every local token over its band and over all global tokens.
 *
 * query, key, value: (T, H * D), heads side by side. Queries are scaled by 1 / √D here.
 * Returns attended (T, H * D) and probs (H, T, G + 2 * oneSidedWindow + 1); column G + oneSidedWindow + m is the key
 * m · dilation tokens after the query. Rows of padding and of global tokens are 0.
 * Source: Paper §3.1; HF LongformerSelfAttention.forward, up to the global rows.
 * Differs: HF pads T to a multiple of the window; nothing here needs that (case attention/ragged lengths).
 * @throws ShapeError, ValueRangeError
 */
export function slidingWindowAttention(
  query: Tensor64,
  key: Tensor64,
  value: Tensor64,
  roles: TokenRoles,
  band: Band,
): { attended: Tensor64; probs: Tensor64 } {
  const [sequenceLength, hiddenSize] = query.shape as [number, number];
  expectShape('slidingWindowAttention', 'key', key, query.shape);
  expectShape('slidingWindowAttention', 'value', value, query.shape);
  expectBandAndRoles('slidingWindowAttention', band, roles, sequenceLength);
  const { heads, oneSidedWindow } = band;
  const headDim = headDimOf('slidingWindowAttention', hiddenSize, heads);
  const { attentionMask, globalIndices } = roles;
  const isGlobal = new Set(globalIndices);

  const columns = globalIndices.length + 2 * oneSidedWindow + 1;
  const attended = zeros(sequenceLength, hiddenSize);
  const probs = zeros(heads, sequenceLength, columns);
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < sequenceLength; i++) {
      if (attentionMask[i] === 0 || isGlobal.has(i)) continue;
      const keys = keysOfQuery(i, head, sequenceLength, roles, isGlobal, band); // (columns), -1 = nobody

      const start = (head * sequenceLength + i) * columns;
      const row = probs.data.subarray(start, start + columns); // (columns), first scores, then probabilities
      keys.forEach((j, column) => {
        row[column] = j < 0 ? Number.NEGATIVE_INFINITY : score(query, i, key, j, head, headDim);
      });
      softmax(row);
      keys.forEach((j, column) => {
        if (j >= 0) addWeightedRow(attended, i, row[column]!, value, j, head, headDim);
      });
    }
  }
  return { attended, probs };
}

/** The key in each column of one query's probabilities; -1 where the column is empty. */
function keysOfQuery(
  i: number,
  head: number,
  sequenceLength: number,
  roles: TokenRoles,
  isGlobal: ReadonlySet<number>,
  band: Band,
): number[] {
  const { oneSidedWindow, dilation, causal } = band;
  const keys = roles.globalIndices.map(j => (causal && j > i ? -1 : j));
  for (let step = -oneSidedWindow; step <= oneSidedWindow; step++) {
    const j = i + step * dilation[head]!;
    // Subtle: a global key inside the band is left out here; it already stands among the global keys, and twice would
    // double its weight.
    const seen = j >= 0 && j < sequenceLength && roles.attentionMask[j] === 1 && !isGlobal.has(j) && !(causal && j > i);
    keys.push(seen ? j : -1);
  }
  return keys;
}
