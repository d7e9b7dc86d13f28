/**
 * 6d. The diagonaled matmul: the one operation of the authors' CUDA kernel, in its three modes. Paper Appendix A,
 * "Longformer-cuda".
 *
 * With plain matrices of shape (T, H * D) and banded ones of shape (H, T, columns), column c of row i standing for the key
 * i + (c - oneSidedWindow) · dilation:
 *
 *     1  plain × plain → banded              r[i, c] = Σ_f a[i, f] · y[key(i, c), f]              query × key
 *     2  banded × plain → plain              r[i, f] = Σ_c a[i, c] · y[key(i, c), f]              probs × value
 *     3  transposed banded × plain → plain   r[j, f] = Σ over all (i, c) with key(i, c) = j of a[i, c] · y[i, f]
 *
 * Mode 3 exists for the sake of the backward pass, which needs nothing but these three:
 *
 *     of mode 1:  ∂a = mode 2 (∂r, y)     ∂y = mode 3 (∂r, a)
 *     of mode 2:  ∂a = mode 1 (∂r, y)     ∂y = mode 3 (a, ∂r)
 *
 * `padding` stands in for every product with a row outside the document (their default, and the layer's, is 0).
 * Read before: 6c-sliding-chunks-no-overlap.ts. Read next: 7-longformer.ts.
 */
import { expectShape } from '../contract/errors.ts';
import type { Tensor64 } from '../contract/tensor.ts';
import { zeros } from './1-operations.ts';
import type { Band } from './2-patterns.ts';
import { headDimOf } from './3-dense-attention.ts';
import type { BandedProducts } from './6-banded-products.ts';

/** 2w + 1, or w + 1 when causal. */
export const bandColumns = (band: Band): number => (band.causal ? 1 : 2) * band.oneSidedWindow + 1;

/** Mode 1. plain, y: (T, H * D). Returns (H, T, columns); an entry outside the document is D · padding. */
export function plainTimesPlain(plain: Tensor64, y: Tensor64, band: Band, padding = 0): Tensor64 {
  const [sequenceLength, hiddenSize] = plain.shape as [number, number];
  expectShape('plainTimesPlain', 'y', y, plain.shape);
  const headDim = headDimOf('plainTimesPlain', hiddenSize, band.heads);
  const banded = zeros(band.heads, sequenceLength, bandColumns(band));
  forEachPair(band, sequenceLength, (head, i, c, j) => {
    let sum = 0;
    for (let f = head * headDim; f < (head + 1) * headDim; f++) {
      sum += isInside(j, sequenceLength) ? plain.data[i * hiddenSize + f]! * y.data[j * hiddenSize + f]! : padding;
    }
    banded.data[(head * sequenceLength + i) * bandColumns(band) + c] = sum;
  });
  return banded;
}

/** Mode 2. banded: (H, T, columns); y: (T, H * D). Returns (T, H * D); each term outside the document adds `padding`. */
export function bandedTimesPlain(banded: Tensor64, y: Tensor64, band: Band, padding = 0): Tensor64 {
  const [sequenceLength, hiddenSize] = y.shape as [number, number];
  const columns = bandColumns(band);
  expectShape('bandedTimesPlain', 'banded', banded, [band.heads, sequenceLength, columns]);
  const headDim = headDimOf('bandedTimesPlain', hiddenSize, band.heads);
  const plain = zeros(sequenceLength, hiddenSize);
  forEachPair(band, sequenceLength, (head, i, c, j) => {
    const weight = banded.data[(head * sequenceLength + i) * columns + c]!;
    for (let f = head * headDim; f < (head + 1) * headDim; f++) {
      plain.data[i * hiddenSize + f]! += isInside(j, sequenceLength) ? weight * y.data[j * hiddenSize + f]! : padding;
    }
  });
  return plain;
}

/**
 * Mode 3. banded: (H, T, columns); y: (T, H * D). Returns (T, H * D).
 *
 * Row j gathers from every query that has it as a key: walking the band of j the other way round. Each term outside the
 * document adds `padding`.
 */
export function transposedBandedTimesPlain(banded: Tensor64, y: Tensor64, band: Band, padding = 0): Tensor64 {
  const [sequenceLength, hiddenSize] = y.shape as [number, number];
  const columns = bandColumns(band);
  expectShape('transposedBandedTimesPlain', 'banded', banded, [band.heads, sequenceLength, columns]);
  const headDim = headDimOf('transposedBandedTimesPlain', hiddenSize, band.heads);
  const plain = zeros(sequenceLength, hiddenSize);
  forEachPair(band, sequenceLength, (head, j, c) => {
    const i = j - (c - band.oneSidedWindow) * band.dilation[head]!; // the query that keeps j in its column c
    const inside = isInside(i, sequenceLength);
    const weight = inside ? banded.data[(head * sequenceLength + i) * columns + c]! : 0;
    for (let f = head * headDim; f < (head + 1) * headDim; f++) {
      plain.data[j * hiddenSize + f]! += inside ? weight * y.data[i * hiddenSize + f]! : padding;
    }
  });
  return plain;
}

/** Gradients of mode 1 from the gradient of its (H, T, columns) result. */
export function backwardOfPlainTimesPlain(
  gradient: Tensor64,
  plain: Tensor64,
  y: Tensor64,
  band: Band,
): { plain: Tensor64; y: Tensor64 } {
  return { plain: bandedTimesPlain(gradient, y, band), y: transposedBandedTimesPlain(gradient, plain, band) };
}

/** Gradients of mode 2 from the gradient of its (T, H * D) result. */
export function backwardOfBandedTimesPlain(
  gradient: Tensor64,
  banded: Tensor64,
  y: Tensor64,
  band: Band,
): { banded: Tensor64; y: Tensor64 } {
  return { banded: plainTimesPlain(gradient, y, band), y: transposedBandedTimesPlain(banded, gradient, band) };
}

/** Modes 1 and 2 as the two products of attention. */
export function diagonaledMatmul(band: Band): BandedProducts {
  return {
    heads: band.heads,
    columns: bandColumns(band),
    keyOf: (i, column, head) => i + (column - band.oneSidedWindow) * band.dilation[head]!,
    queryKey: (query, key) => plainTimesPlain(query, key, band),
    probsValue: (probs, value) => bandedTimesPlain(probs, value, band),
  };
}

const isInside = (row: number, sequenceLength: number): boolean => row >= 0 && row < sequenceLength;

/** Visits every (head, row i, column c) of a band with the row j of its key, inside the document or not. */
function forEachPair(
  band: Band,
  sequenceLength: number,
  visit: (head: number, i: number, column: number, j: number) => void,
): void {
  for (let head = 0; head < band.heads; head++) {
    for (let i = 0; i < sequenceLength; i++) {
      for (let column = 0; column < bandColumns(band); column++) {
        visit(head, i, column, i + (column - band.oneSidedWindow) * band.dilation[head]!);
      }
    }
  }
}
