/**
 * 6c. Sliding chunks without overlap: blocks of w tokens; a query sees the block before its own, its own, and the next.
 *
 *     query in block b, row r      keys  │ block b-1 │ block b │ block b+1 │      3w columns
 *
 * No skewing is needed, but the band is lopsided: the first query of a block sees w keys before and 2w - 1 after it. The
 * authors compare it with 6b by choosing w' = 2w / 3. At the ends of the document a block is missing.
 *
 * `authorsMask`: their layer hides the missing blocks with the triangular mask made for 6b, which leaves some of the missing
 * columns visible, with score 0 and value 0; they take a share of the softmax. Ask for it to get their numbers; leave it
 * out to get attention over real keys only.
 *
 * Read before: 6b-sliding-chunks.ts. Read next: 6d-diagonaled-matmul.ts.
 */
import { ShapeError } from '../contract/errors.ts';
import { zeros } from './1-operations.ts';
import { addWeightedRow, headDimOf } from './3-dense-attention.ts';
import type { BandedProducts } from './6-banded-products.ts';

export interface NoOverlapOptions {
  /** True: hide only what the authors' triangular mask hides. Default false: hide everything outside the document. */
  readonly authorsMask?: boolean;
}

/**
 * The products of blocks of `blockLength` (w) tokens; the document must be a multiple of it.
 * Source: authors' sliding_chunks_no_overlap_matmul_qk and _pv.
 */
export function slidingChunksNoOverlap(
  heads: number,
  blockLength: number,
  options: NoOverlapOptions = {},
): BandedProducts {
  const w = blockLength;
  const columns = 3 * w;
  const keyOf = (i: number, column: number): number => (Math.floor(i / w) - 1) * w + column;

  const products: BandedProducts = {
    heads,
    columns,
    keyOf,
    queryKey(query, key) {
      const [sequenceLength, hiddenSize] = query.shape as [number, number];
      expectWholeBlocks(sequenceLength, w);
      const headDim = headDimOf('slidingChunksNoOverlap', hiddenSize, heads);
      const scores = zeros(heads, sequenceLength, columns); // missing blocks are zero keys, so their scores stay 0
      for (let head = 0; head < heads; head++) {
        for (let i = 0; i < sequenceLength; i++) {
          for (let column = 0; column < columns; column++) {
            const j = keyOf(i, column);
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
    probsValue(probs, value) {
      const [sequenceLength, hiddenSize] = value.shape as [number, number];
      expectWholeBlocks(sequenceLength, w);
      const headDim = headDimOf('slidingChunksNoOverlap', hiddenSize, heads);
      const attended = zeros(sequenceLength, hiddenSize);
      for (let head = 0; head < heads; head++) {
        for (let i = 0; i < sequenceLength; i++) {
          for (let column = 0; column < columns; column++) {
            const j = keyOf(i, column);
            if (j < 0 || j >= sequenceLength) continue; // missing blocks are zero values
            const weight = probs.data[(head * sequenceLength + i) * columns + column]!;
            addWeightedRow(attended, i, weight, value, j, head, headDim);
          }
        }
      }
      return attended;
    },
  };
  if (!options.authorsMask) return products;
  return {
    ...products,
    hides: (i, column, sequenceLength) => triangularMaskHides(i, column, sequenceLength, w, columns),
  };
}

/**
 * The authors' mask for invalid locations: it looks only at the first and last w rows and the first and last w + 1 columns.
 *
 * In the band of 6b (columns = 2w + 1) these are exactly the keys outside the document; in the 3w columns of 6c they are not.
 * Source: authors' mask_invalid_locations; HF _mask_invalid_locations.
 */
export function triangularMaskHides(
  i: number,
  column: number,
  sequenceLength: number,
  w: number,
  columns: number,
): boolean {
  const fromEnd = sequenceLength - 1 - i;
  return (i < w && column < w - i) || (fromEnd < w && columns - 1 - column < w - fromEnd);
}

function expectWholeBlocks(sequenceLength: number, w: number): void {
  if (sequenceLength === 0 || sequenceLength % w !== 0) {
    throw new ShapeError({
      where: 'slidingChunksNoOverlap',
      name: 'sequenceLength',
      expected: `a multiple of ${w}`,
      got: String(sequenceLength),
      hint: 'pad the document, or use slidingWindowAttention, which takes any length.',
    });
  }
}
