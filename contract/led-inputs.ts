/** The checks every backend makes at LED's door. Sources as for Longformer, without its token types and positions; targets beside them. */
import type { LedConfig } from './config.ts';
import { expectLength, expectRange, expectShape, ShapeError, ValueRangeError } from './errors.ts';
import type { EncoderInputs, LedInputs } from './model.ts';
import type { Tensor } from './tensor.ts';

const where = 'led.forward';

/**
 * Checks one source: what `encode` takes.
 *
 * Differs: Hugging Face needs a position row for its own padding to the window as well; and it answers to a source that is all padding.
 * @throws ShapeError for a wrong length, ValueRangeError for a wrong value; both name the argument and the first bad element.
 */
export function expectLedSource(inputs: EncoderInputs, config: LedConfig): void {
  const { inputIds, inputsEmbeds, attentionMask, globalAttentionMask } = inputs;
  const length = lengthOf('inputIds', inputIds, 'inputsEmbeds', inputsEmbeds);
  for (const name of ['tokenTypeIds', 'positionIds'] as const) {
    if (inputs[name] === undefined) continue;
    const hint = 'leave it away: LED has no token types, and its positions are 0, 1, 2 and so on.';
    throw new ValueRangeError({ where, name, expected: 'nothing', got: 'an array', hint });
  }
  expectTokens('inputIds', inputIds, 'inputsEmbeds', inputsEmbeds, length, config);
  if (length > config.maxEncoderPositionEmbeddings) {
    throw new ShapeError({
      where,
      name: inputIds ? 'inputIds' : 'inputsEmbeds',
      expected: `at most ${config.maxEncoderPositionEmbeddings} tokens (max_encoder_position_embeddings)`,
      got: String(length),
      hint: 'truncate the document, split it, or use a checkpoint with a larger position table.',
    });
  }
  if (attentionMask) {
    expectMask('attentionMask', attentionMask, length, 'global attention has a mask of its own, globalAttentionMask.');
    if (!attentionMask.includes(1)) {
      throw new ValueRangeError({
        where,
        name: 'attentionMask',
        expected: 'a 1 somewhere',
        got: 'all 0',
        hint: 'a source of nothing but padding leaves the decoder nothing to read: leave this document out.',
      });
    }
  }
  if (globalAttentionMask) {
    expectLength(where, 'globalAttentionMask', globalAttentionMask, length);
    expectRange(where, 'globalAttentionMask', globalAttentionMask, -1, 1, '1 = global, 0 = local, -1 = masked.');
  }
}

/**
 * Checks a source and its target: what `forward` takes.
 *
 * @throws ShapeError, ValueRangeError
 */
export function expectLedInputs(inputs: LedInputs, config: LedConfig): void {
  expectLedSource(inputs, config);
  const { inputIds, decoderInputIds, decoderInputsEmbeds, decoderAttentionMask } = inputs;
  const given = decoderInputIds !== undefined || decoderInputsEmbeds !== undefined;
  if (!given) expectShiftable(inputs, config);
  const length = given
    ? lengthOf('decoderInputIds', decoderInputIds, 'decoderInputsEmbeds', decoderInputsEmbeds)
    : inputIds!.length;
  expectTokens('decoderInputIds', decoderInputIds, 'decoderInputsEmbeds', decoderInputsEmbeds, length, config);
  if (length > config.maxDecoderPositionEmbeddings) {
    throw new ShapeError({
      where,
      name: decoderInputsEmbeds ? 'decoderInputsEmbeds' : 'decoderInputIds',
      expected: `at most ${config.maxDecoderPositionEmbeddings} tokens (max_decoder_position_embeddings)`,
      got: given ? String(length) : `${length}, the source shifted right`,
      hint: given
        ? 'shorten the target, or use a checkpoint with a larger position table.'
        : 'give decoderInputIds: without them the whole source is the target.',
    });
  }
  if (decoderAttentionMask) expectMask('decoderAttentionMask', decoderAttentionMask, length);
  if (config.head === 'sequenceClassification') expectClassified(inputs, config, length);
}

/**
 * The ids the decoder reads: the caller's, or the source shifted one place right behind decoderStartTokenId.
 *
 * inputs: checked, with ids on the side they are taken from. Returns (U). Source: HF shift_tokens_right.
 */
export function decoderIdsOf(inputs: LedInputs, config: LedConfig): Int32Array {
  if (inputs.decoderInputIds) return inputs.decoderInputIds;
  return Int32Array.from(inputs.inputIds!, (_, t) =>
    t === 0 ? config.decoderStartTokenId! : inputs.inputIds![t - 1]!,
  );
}

/** Without a target the source is the target: it must have ids, and a token to start with. */
function expectShiftable({ inputIds }: LedInputs, { decoderStartTokenId }: LedConfig): void {
  if (!inputIds) {
    throw new ValueRangeError({
      where,
      name: 'decoderInputIds',
      expected: 'decoderInputIds or decoderInputsEmbeds beside inputsEmbeds',
      got: 'neither',
      hint: 'without a target the source ids are shifted right, and there are none.',
    });
  }
  if (decoderStartTokenId === null) {
    throw new ValueRangeError({
      where,
      name: 'decoderStartTokenId',
      expected: 'a token id (decoder_start_token_id)',
      got: 'null',
      hint: 'give decoderInputIds, or put decoder_start_token_id into config.json: LED starts with its eos_token_id.',
    });
  }
}

/** LEDForSequenceClassification reads the decoder's row at the last end token of the source, so both must be equally long. */
function expectClassified({ inputIds }: LedInputs, { eosTokenId }: LedConfig, targetLength: number): void {
  if (!inputIds) {
    throw new ValueRangeError({
      where,
      name: 'inputIds',
      expected: 'ids for sequence classification',
      got: 'inputsEmbeds',
      hint: 'the row of the last end token is classified, and embeddings do not show which it is.',
    });
  }
  if (!inputIds.includes(eosTokenId)) {
    throw new ValueRangeError({
      where,
      name: 'inputIds',
      expected: `an end token (id ${eosTokenId}) for sequence classification`,
      got: 'none',
      hint: 'end the document with it: the row of the last one is classified.',
    });
  }
  if (targetLength !== inputIds.length) {
    throw new ShapeError({
      where,
      name: 'decoderInputIds',
      expected: `${inputIds.length} tokens for sequence classification, as the source`,
      got: String(targetLength),
      hint: 'leave the target away: then it is the source shifted right.',
    });
  }
}

/** @throws ValueRangeError unless exactly one is given, ShapeError when it is empty. */
function lengthOf(
  idsName: string,
  ids: Int32Array | undefined,
  embedsName: string,
  embeds: Tensor | undefined,
): number {
  if ((ids === undefined) === (embeds === undefined)) {
    const expected = `exactly one of ${idsName} and ${embedsName}`;
    throw new ValueRangeError({ where, name: idsName, expected, got: ids === undefined ? 'neither' : 'both' });
  }
  const length = ids ? ids.length : embeds!.shape[0]!;
  if (length > 0) return length;
  throw new ShapeError({
    where,
    name: ids ? idsName : embedsName,
    expected: 'at least one token',
    got: 'none',
    hint: 'an empty text still has the special tokens around it, and a target its start token.',
  });
}

function expectTokens(
  idsName: string,
  ids: Int32Array | undefined,
  embedsName: string,
  embeds: Tensor | undefined,
  length: number,
  config: LedConfig,
): void {
  if (ids) expectRange(where, idsName, ids, 0, config.vocabSize - 1);
  if (!embeds) return;
  expectShape(where, embedsName, embeds, [length, config.hiddenSize]);
  const bad = embeds.data.findIndex(value => !Number.isFinite(value));
  if (bad < 0) return;
  const got = String(embeds.data[bad]);
  throw new ValueRangeError({ where, name: `${embedsName}[${bad}]`, expected: 'a finite number', got });
}

function expectMask(name: string, mask: Int32Array, length: number, hint?: string): void {
  expectLength(where, name, mask, length);
  expectRange(where, name, mask, 0, 1, hint);
}
