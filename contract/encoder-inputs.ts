/** The checks every backend makes at its door, in one place because they are words, not computation. */
import type { LongformerConfig } from './config.ts';
import { expectLength, expectRange, expectShape, ShapeError, ValueRangeError } from './errors.ts';
import type { EncoderInputs } from './model.ts';

/**
 * T of one document.
 *
 * @throws ValueRangeError unless exactly one of `inputIds` and `inputsEmbeds` is given, with at least one token.
 */
export function sequenceLengthOf(inputs: EncoderInputs): number {
  const { inputIds, inputsEmbeds } = inputs;
  if ((inputIds === undefined) === (inputsEmbeds === undefined)) {
    throw new ValueRangeError({
      where: 'longformer.forward',
      name: 'inputIds',
      expected: 'exactly one of inputIds and inputsEmbeds',
      got: inputIds === undefined ? 'neither' : 'both',
    });
  }
  const length = inputIds ? inputIds.length : inputsEmbeds!.shape[0]!;
  if (length === 0) {
    throw new ShapeError({
      where: 'longformer.forward',
      name: inputIds ? 'inputIds' : 'inputsEmbeds',
      expected: 'at least one token',
      got: 'none',
    });
  }
  return length;
}

/**
 * Checks ids, masks, types and positions of one document against a config.
 *
 * @throws ShapeError for a wrong length, ValueRangeError for a wrong value; both name the argument and the first bad element.
 */
export function expectEncoderInputs(inputs: EncoderInputs, config: LongformerConfig): void {
  const where = 'longformer.forward';
  const length = sequenceLengthOf(inputs);
  const { inputIds, inputsEmbeds, attentionMask, globalAttentionMask, tokenTypeIds, positionIds } = inputs;

  if (inputIds) expectRange(where, 'inputIds', inputIds, 0, config.vocabSize - 1);
  if (inputsEmbeds) {
    expectShape(where, 'inputsEmbeds', inputsEmbeds, [length, config.hiddenSize]);
    const bad = inputsEmbeds.data.findIndex(value => !Number.isFinite(value));
    if (bad >= 0) {
      const got = String(inputsEmbeds.data[bad]);
      throw new ValueRangeError({ where, name: `inputsEmbeds[${bad}]`, expected: 'a finite number', got });
    }
  }
  if (attentionMask) {
    expectLength(where, 'attentionMask', attentionMask, length);
    expectRange(
      where,
      'attentionMask',
      attentionMask,
      0,
      1,
      'global attention has a mask of its own, globalAttentionMask.',
    );
  }
  if (globalAttentionMask) {
    expectLength(where, 'globalAttentionMask', globalAttentionMask, length);
    expectRange(where, 'globalAttentionMask', globalAttentionMask, -1, 1, '1 = global, 0 = local, -1 = masked.');
  }
  if (tokenTypeIds) {
    expectLength(where, 'tokenTypeIds', tokenTypeIds, length);
    expectRange(where, 'tokenTypeIds', tokenTypeIds, 0, config.typeVocabSize - 1);
  }
  if (positionIds) {
    expectLength(where, 'positionIds', positionIds, length);
    expectRange(where, 'positionIds', positionIds, 0, config.maxPositionEmbeddings - 1);
    return;
  }
  // Positions are counted from padTokenId + 1; padding in inputIds does not consume a number.
  const numbered = inputIds ? inputIds.reduce((count, id) => count + (id === config.padTokenId ? 0 : 1), 0) : length;
  const longest = config.maxPositionEmbeddings - config.padTokenId - 1;
  if (numbered > longest) {
    throw new ShapeError({
      where,
      name: inputIds ? 'inputIds' : 'inputsEmbeds',
      expected: `at most ${longest} tokens (max_position_embeddings - pad_token_id - 1)`,
      got: String(numbered),
      hint: 'truncate the document, split it, or use a checkpoint with a larger position table.',
    });
  }
}

/**
 * Checks `want.logitRows`: one list for each document, strictly ascending rows inside it.
 *
 * @throws ShapeError, ValueRangeError
 */
export function expectLogitRows(
  logitRows: readonly Int32Array[] | undefined,
  documents: readonly EncoderInputs[],
): void {
  if (!logitRows) return;
  const where = 'longformer.forward';
  expectLength(where, 'logitRows', logitRows, documents.length);
  for (const [document, rows] of logitRows.entries()) {
    const name = `logitRows[${document}]`;
    expectRange(where, name, rows, 0, sequenceLengthOf(documents[document]!) - 1);
    const bad = rows.findIndex((row, i) => i > 0 && row <= rows[i - 1]!);
    if (bad >= 0) {
      throw new ValueRangeError({ where, name: `${name}[${bad}]`, expected: 'ascending rows', got: String(rows[bad]) });
    }
  }
}
