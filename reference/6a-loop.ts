/**
 * 6a. The loop: one diagonal of the band after the other. Paper Appendix A, "Longformer-loop".
 *
 * It needs no more memory than the band itself and does dilation, but as a sequence of small vector products it is slow:
 * the authors used it for testing only and never released it. Column c of the band is the diagonal c - oneSidedWindow.
 *
 *          key 0 1 2 3 4                        column 0 1 2      (oneSidedWindow 1)
 *   query 0    ■ ●                       query 0       - ■ ●
 *         1    ● ■ ●          is kept as       1       ● ■ ●
 *         2      ● ■ ●                         2       ● ■ ●
 *
 * Read before: 6-banded-products.ts. Read next: 6b-sliding-chunks.ts.
 */
import type { Tensor64 } from '../contract/tensor.ts';
import { zeros } from './1-operations.ts';
import type { Band } from './2-patterns.ts';
import { addWeightedRow, headDimOf } from './3-dense-attention.ts';
import type { BandedProducts } from './6-banded-products.ts';

/** The products of a symmetric or causal band, diagonal by diagonal; dilation per head. */
export function loop(band: Band): BandedProducts {
  const { heads, oneSidedWindow, dilation, causal } = band;
  const columns = causal ? oneSidedWindow + 1 : 2 * oneSidedWindow + 1;
  const keyOf = (i: number, column: number, head: number): number => i + (column - oneSidedWindow) * dilation[head]!;

  return {
    heads,
    columns,
    keyOf,
    queryKey(query: Tensor64, key: Tensor64): Tensor64 {
      const [sequenceLength, hiddenSize] = query.shape as [number, number];
      const headDim = headDimOf('loop', hiddenSize, heads);
      const scores = zeros(heads, sequenceLength, columns);
      for (let column = 0; column < columns; column++) {
        for (let head = 0; head < heads; head++) {
          for (let i = 0; i < sequenceLength; i++) {
            const j = keyOf(i, column, head);
            if (j < 0 || j >= sequenceLength) continue;
            let sum = 0;
            for (let f = head * headDim; f < (head + 1) * headDim; f++) {
              sum += query.data[i * hiddenSize + f]! * key.data[j * hiddenSize + f]!;
            }
            scores.data[(head * sequenceLength + i) * columns + column] = sum;
          }
        }
      }
      return scores;
    },
    probsValue(probs: Tensor64, value: Tensor64): Tensor64 {
      const [sequenceLength, hiddenSize] = value.shape as [number, number];
      const headDim = headDimOf('loop', hiddenSize, heads);
      const attended = zeros(sequenceLength, hiddenSize);
      for (let column = 0; column < columns; column++) {
        for (let head = 0; head < heads; head++) {
          for (let i = 0; i < sequenceLength; i++) {
            const j = keyOf(i, column, head);
            if (j < 0 || j >= sequenceLength) continue;
            const weight = probs.data[(head * sequenceLength + i) * columns + column]!;
            addWeightedRow(attended, i, weight, value, j, head, headDim);
          }
        }
      }
      return attended;
    },
  };
}
