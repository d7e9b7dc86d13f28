/**
 * Word + position + token type, summed on the host: 4,096 rows cost ten million additions, and in return the word table never
 * enters the backend's memory. The layer norm after it is a kernel.
 *
 * Read before: pack.ts. Read next: encoder-layer.ts.
 */
import type { LongformerConfig } from '../../contract/config.ts';
import type { EncoderInputs } from '../../contract/model.ts';
import type { Packed } from './pack.ts';
import type { EmbeddingTables } from './weights.ts';

/** Rows summed before they are handed on: 4,096 rows in double precision would be 25 MB for a moment. */
const blockRows = 256;

/**
 * The sums of all packed rows, (T, C), in double precision; the backend rounds them once.
 *
 * write: takes them in blocks, (rows, C) from `firstRow` on; the values are good until it returns.
 */
export function embedDocuments(
  packed: Packed,
  tables: EmbeddingTables,
  config: LongformerConfig,
  write: (values: Float64Array, firstRow: number) => void,
): void {
  const { hiddenSize } = config;
  const sums = new Float64Array(Math.min(packed.rows, blockRows) * hiddenSize); // (rows of the block, C)
  const setRow = (row: number, ...terms: readonly [Float32Array | Float64Array, number][]): void => {
    const to = (row % blockRows) * hiddenSize;
    sums.fill(0, to, to + hiddenSize);
    for (const [values, from] of terms) {
      for (let f = 0; f < hiddenSize; f++) sums[to + f]! += values[from * hiddenSize + f]!;
    }
    const end = (row % blockRows) + 1;
    if (end === blockRows || row === packed.rows - 1) write(sums.subarray(0, end * hiddenSize), row + 1 - end);
  };
  for (const [document, inputs] of packed.documents.entries()) {
    const first = packed.starts[document]!;
    const position = positionOf(inputs, config);
    for (let t = 0; t < packed.lengths[document]!; t++) {
      setRow(
        first + t,
        inputs.inputIds ? [tables.words.data, inputs.inputIds[t]!] : [inputs.inputsEmbeds!.data, t],
        [tables.types.data, inputs.tokenTypeIds?.[t] ?? 0],
        [tables.positions.data, position(t)],
      );
    }
  }
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
