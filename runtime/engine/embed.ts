/**
 * Rows of embedding tables summed on the host: 4,096 rows cost ten million additions, and in return the word table never
 * enters the backend's memory. The layer norm after it is a kernel.
 *
 * Read before: pack.ts. Read next: encoder-layer.ts.
 */
import type { LongformerConfig } from '../../contract/config.ts';
import type { EncoderInputs } from '../../contract/model.ts';
import type { Tensor } from '../../contract/tensor.ts';
import type { Packed } from './pack.ts';
import type { EmbeddingTables } from './weights.ts';

/** Rows summed before they are handed on: 4,096 rows in double precision would be 25 MB for a moment. */
const blockRows = 256;

/** A row of a table, or of embeddings the caller brought. */
export type Term = readonly [table: Tensor, row: number];

/** Takes rows in blocks: values (rows, C) from `firstRow` on, good until it returns. */
export type WriteRows = (values: Float64Array, firstRow: number) => void;

/**
 * The sums of `rows` rows, (rows, C), in double precision; the backend rounds them once.
 *
 * termsOf is asked row by row, upwards.
 */
export function sumRows(
  rows: number,
  hiddenSize: number,
  termsOf: (row: number) => readonly Term[],
  write: WriteRows,
  sums = new Float64Array(Math.min(rows, blockRows) * hiddenSize), // (rows of a block, C)
): void {
  const perBlock = sums.length / hiddenSize;
  for (let row = 0; row < rows; row++) {
    const to = (row % perBlock) * hiddenSize;
    sums.fill(0, to, to + hiddenSize);
    for (const [{ data }, from] of termsOf(row)) {
      for (let f = 0; f < hiddenSize; f++) sums[to + f]! += data[from * hiddenSize + f]!;
    }
    const end = (row % perBlock) + 1;
    if (end === perBlock || row === rows - 1) write(sums.subarray(0, end * hiddenSize), row + 1 - end);
  }
}

/** Word + position + token type of all packed rows, (T, C). HF LongformerEmbeddings. */
export function embedDocuments(
  packed: Packed,
  tables: EmbeddingTables,
  config: LongformerConfig,
  write: WriteRows,
): void {
  const rows = rowsOf(packed, inputs => {
    const position = positionOf(inputs, config);
    return t => [
      wordOf(inputs, tables.words, t),
      [tables.types, inputs.tokenTypeIds?.[t] ?? 0],
      [tables.positions, position(t)],
    ];
  });
  sumRows(packed.rows, config.hiddenSize, rows, write);
}

/** Word + position, counted from 0 whatever is padding, of all packed sources of an LED, (T, C). HF LEDEncoder.forward. */
export function embedSources(
  packed: Packed,
  tables: Pick<EmbeddingTables, 'words' | 'positions'>,
  hiddenSize: number,
  write: WriteRows,
): void {
  const rows = rowsOf(packed, inputs => t => [wordOf(inputs, tables.words, t), [tables.positions, t]]);
  sumRows(packed.rows, hiddenSize, rows, write);
}

const wordOf = ({ inputIds, inputsEmbeds }: EncoderInputs, words: Tensor, t: number): Term =>
  inputIds ? [words, inputIds[t]!] : [inputsEmbeds!, t];

/** Rows of all documents, asked upwards: each document's own function takes t, counted from its beginning. */
function rowsOf(
  packed: Packed,
  ofDocument: (inputs: EncoderInputs) => (t: number) => readonly Term[],
): (row: number) => readonly Term[] {
  let document = -1;
  let end = 0;
  let terms: (t: number) => readonly Term[];
  return row => {
    if (row === end) {
      document++;
      end += packed.lengths[document]!;
      terms = ofDocument(packed.documents[document]!);
    }
    return terms(row - packed.starts[document]!);
  };
}

/**
 * Row of the position table for each token, asked in order. Given ids win; otherwise tokens are counted from padTokenId + 1
 * and padding in inputIds keeps padTokenId without consuming a number.
 */
function positionOf({ positionIds, inputIds }: EncoderInputs, { padTokenId }: LongformerConfig): (t: number) => number {
  if (positionIds) return t => positionIds[t]!;
  if (!inputIds) return t => padTokenId + 1 + t;
  let position = padTokenId;
  return t => (inputIds[t] === padTokenId ? padTokenId : ++position);
}
