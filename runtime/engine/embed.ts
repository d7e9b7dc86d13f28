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

/** The sums of all packed rows, (T, C), in double precision; the backend rounds them once. */
export function embedDocuments(packed: Packed, tables: EmbeddingTables, config: LongformerConfig): Float64Array {
  const { hiddenSize } = config;
  const sums = new Float64Array(packed.rows * hiddenSize);
  const addRow = (row: number, values: Float32Array | Float64Array, from: number): void => {
    const to = row * hiddenSize;
    for (let f = 0; f < hiddenSize; f++) sums[to + f]! += values[from * hiddenSize + f]!;
  };
  for (const [document, inputs] of packed.documents.entries()) {
    const first = packed.starts[document]!;
    const position = positionOf(inputs, config);
    for (let t = 0; t < packed.lengths[document]!; t++) {
      if (inputs.inputIds) addRow(first + t, tables.words.data, inputs.inputIds[t]!);
      else addRow(first + t, inputs.inputsEmbeds!.data, t);
      addRow(first + t, tables.types.data, inputs.tokenTypeIds?.[t] ?? 0);
      addRow(first + t, tables.positions.data, position(t));
    }
  }
  return sums;
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
