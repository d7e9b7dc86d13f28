/**
 * 6b. Sliding chunks: the band by ordinary matrix products. Paper Appendix A, "Longformer-chunks"; Hugging Face's only way.
 *
 * The document is cut into chunks of 2w tokens (w = oneSidedWindow) that overlap by w, so that every query shares a chunk
 * with each of its keys. Each chunk multiplies all its queries with all its keys, twice the work and memory of the band:
 *
 *     tokens   0 .. w .. 2w .. 3w .. 4w
 *     chunk 0  ├────────┤
 *     chunk 1       ├────────┤
 *     chunk 2            ├────────┤
 *
 * Then the wanted diagonals must become columns. Two reshapes do it without moving a number one by one:
 *
 *     skew (after query × key), 2w = 3 for the picture: append a row, re-read the same numbers one column wider.
 *
 *         a b c        a b c d          Element (r, s) lands in the column s - r (mod 4): each diagonal
 *         d e f   →    e f g h          has become a column. Read d as "one before e".
 *         g h i        i . . .
 *         . . .
 *
 *     unskew (before probs × value): append w + 1 zeros to each row, re-read one column narrower; row r moves right by r.
 *
 * Read before: 6a-loop.ts. Read next: 6c-sliding-chunks-no-overlap.ts.
 */
import { ShapeError } from '../contract/errors.ts';
import type { Tensor64 } from '../contract/tensor.ts';
import { zeros } from './1-operations.ts';
import { type BandedProducts, headOf } from './6-banded-products.ts';

/** The products of a symmetric band without dilation. The document must be a multiple of 2 * oneSidedWindow long. */
export function slidingChunks(heads: number, oneSidedWindow: number): BandedProducts {
  const w = oneSidedWindow;
  return {
    heads,
    columns: 2 * w + 1,
    keyOf: (i, column) => i + column - w,
    queryKey(query, key) {
      const sequenceLength = query.shape[0]!;
      const scores = zeros(heads, sequenceLength, 2 * w + 1);
      for (let head = 0; head < heads; head++) {
        const band = slidingChunksQueryKey(headOf(query, head, heads), headOf(key, head, heads), w); // (T, 2w + 1)
        scores.data.set(band.data, head * sequenceLength * (2 * w + 1));
      }
      return scores;
    },
    probsValue(probs, value) {
      const [sequenceLength, hiddenSize] = value.shape as [number, number];
      const headDim = hiddenSize / heads;
      const attended = zeros(sequenceLength, hiddenSize);
      for (let head = 0; head < heads; head++) {
        const size = sequenceLength * (2 * w + 1);
        const band: Tensor64 = {
          shape: [sequenceLength, 2 * w + 1],
          data: probs.data.subarray(head * size, (head + 1) * size),
        };
        const rows = slidingChunksProbsValue(band, headOf(value, head, heads), w); // (T, D)
        for (let t = 0; t < sequenceLength; t++) {
          const row = rows.data.subarray(t * headDim, (t + 1) * headDim);
          attended.data.set(row, t * hiddenSize + head * headDim);
        }
      }
      return attended;
    },
  };
}

/**
 * Banded scores of one head. query, key: (T, D), T a multiple of 2w. Returns (T, 2w + 1); entries outside are 0.
 * Source: HF _sliding_chunks_query_key_matmul.
 * @throws ShapeError
 */
export function slidingChunksQueryKey(query: Tensor64, key: Tensor64, w: number): Tensor64 {
  const sequenceLength = query.shape[0]!;
  const queryChunks = chunk(query, w); // (chunks, 2w, D)
  const keyChunks = chunk(key, w); // (chunks, 2w, D)
  const chunks = queryChunks.shape[0]!;

  const products = zeros(chunks, 2 * w, 2 * w); // all queries of a chunk with all its keys
  for (let c = 0; c < chunks; c++) {
    for (let r = 0; r < 2 * w; r++) {
      for (let s = 0; s < 2 * w; s++) {
        products.data[(c * 2 * w + r) * 2 * w + s] = dotRows(queryChunks, c * 2 * w + r, keyChunks, c * 2 * w + s);
      }
    }
  }
  const skewed = skew(products); // (chunks, 2w, 2w + 1)

  // Assemble. Blocks of w queries; there is one block more than chunks.
  const width = 2 * w + 1;
  const scores = zeros(sequenceLength, width);
  const copy = (
    block: number,
    toRow: number,
    toColumn: number,
    c: number,
    row: number,
    column: number,
    count: number,
  ): void => {
    const from = (c * 2 * w + row) * width + column;
    scores.data.set(skewed.data.subarray(from, from + count), (block * w + toRow) * width + toColumn);
  };
  for (let block = 0; block <= chunks; block++) {
    for (let r = 0; r < w; r++) {
      // The token itself and the w after it: the chunk that begins with this block; the last block ends its chunk instead.
      if (block < chunks) copy(block, r, w, block, r, 0, w + 1);
      else copy(block, r, w, chunks - 1, w + r, 0, w + 1);
      // The w tokens before it: the chunk that ends with this block.
      if (block > 0) copy(block, r, 0, block - 1, w - 1 + r, w + 1, w);
      // In the first block only keys inside the document: row r has r of them.
      else if (r > 0) copy(0, r, 1, 0, r - 1, w + 2, w - 1);
    }
  }
  return scores;
}

/**
 * probs (T, 2w + 1), zero outside the document, times value (T, D) → (T, D). T a multiple of 2w.
 * Source: HF _sliding_chunks_matmul_attn_probs_value.
 */
export function slidingChunksProbsValue(probs: Tensor64, value: Tensor64, w: number): Tensor64 {
  const [sequenceLength, headDim] = value.shape as [number, number];
  expectWholeChunks('slidingChunksProbsValue', sequenceLength, w);
  // The value before the first and after the last row never counts; -1 shows a mistake where 0 would hide it.
  const padded = zeros(sequenceLength + 2 * w, headDim);
  padded.data.fill(-1);
  padded.data.set(value.data, w * headDim);

  const blocks = sequenceLength / w;
  const square = padAndDiagonalize({ shape: [blocks, w, 2 * w + 1], data: probs.data }); // (blocks, w, 3w)
  const attended = zeros(sequenceLength, headDim);
  for (let block = 0; block < blocks; block++) {
    for (let r = 0; r < w; r++) {
      for (let k = 0; k < 3 * w; k++) {
        const weight = square.data[(block * w + r) * 3 * w + k]!;
        for (let d = 0; d < headDim; d++) {
          attended.data[(block * w + r) * headDim + d]! += weight * padded.data[(block * w + k) * headDim + d]!;
        }
      }
    }
  }
  return attended;
}

/**
 * Overlapping chunks: (T, D) → (T / w - 1, 2w, D), a new one every w rows. Source: HF _chunk.
 * @throws ShapeError unless T is a multiple of 2w.
 */
export function chunk(input: Tensor64, w: number): Tensor64 {
  const [sequenceLength, features] = input.shape as [number, number];
  expectWholeChunks('chunk', sequenceLength, w);
  const chunks = sequenceLength / w - 1;
  const output = zeros(chunks, 2 * w, features);
  for (let c = 0; c < chunks; c++) {
    const from = c * w * features;
    output.data.set(input.data.subarray(from, from + 2 * w * features), c * 2 * w * features);
  }
  return output;
}

/** (n, R, S) → (n, S, R + 1): a row appended, the buffer re-read. Source: HF _pad_and_transpose_last_two_dims. */
export function skew(input: Tensor64): Tensor64 {
  const [n, rows, columns] = input.shape as [number, number, number];
  const output = zeros(n, columns, rows + 1);
  for (let c = 0; c < n; c++) {
    const size = rows * columns;
    output.data.set(input.data.subarray(c * size, (c + 1) * size), c * (size + columns));
  }
  return output;
}

/** (n, M, L) → (n, M, M + L - 1): row r moved right by r, zeros elsewhere. Source: HF _pad_and_diagonalize. */
export function padAndDiagonalize(input: Tensor64): Tensor64 {
  const [n, rows, length] = input.shape as [number, number, number];
  const width = rows + length; // each row gets `rows` zeros; re-reading at width - 1 moves row r right by r
  const output = zeros(n, rows, width - 1);
  for (let c = 0; c < n; c++) {
    const buffer = new Float64Array(rows * width);
    for (let r = 0; r < rows; r++) {
      const from = (c * rows + r) * length;
      buffer.set(input.data.subarray(from, from + length), r * width);
    }
    output.data.set(buffer.subarray(0, rows * (width - 1)), c * rows * (width - 1));
  }
  return output;
}

/**
 * Right padding to the next multiple of 2w, ids with `padTokenId` and mask with 0. Source: authors' pad_to_window_size.
 */
export function padToWindowSize(
  inputIds: readonly number[],
  attentionMask: readonly number[],
  w: number,
  padTokenId: number,
): { inputIds: number[]; attentionMask: number[] } {
  const missing = (2 * w - (inputIds.length % (2 * w))) % (2 * w);
  return {
    inputIds: [...inputIds, ...new Array<number>(missing).fill(padTokenId)],
    attentionMask: [...attentionMask, ...new Array<number>(missing).fill(0)],
  };
}

function dotRows(a: Tensor64, rowA: number, b: Tensor64, rowB: number): number {
  const features = a.shape.at(-1)!;
  let sum = 0;
  for (let f = 0; f < features; f++) sum += a.data[rowA * features + f]! * b.data[rowB * features + f]!;
  return sum;
}

function expectWholeChunks(where: string, sequenceLength: number, w: number): void {
  if (sequenceLength === 0 || sequenceLength % (2 * w) !== 0) {
    throw new ShapeError({
      where,
      name: 'sequenceLength',
      expected: `a multiple of ${2 * w}`,
      got: String(sequenceLength),
      hint: 'pad with padToWindowSize, or use slidingWindowAttention, which takes any length.',
    });
  }
}
