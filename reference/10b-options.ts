/**
 * 10b. The options of generation with every default filled in, and everything that contradicts itself refused. Not a lesson.
 */
import type { LedConfig } from '../contract/config.ts';
import { expectRange, UnsupportedError, ValueRangeError } from '../contract/errors.ts';
import type { GenerationOptions } from '../contract/generation.ts';

/** Options of one document, all of them. Lengths count the prompt. */
export interface ResolvedOptions {
  /** (P) Start token first. */
  readonly prompt: readonly number[];
  readonly maxLength: number;
  readonly minLength: number;
  readonly numBeams: number;
  readonly numReturnSequences: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: boolean | 'never';
  readonly repetitionPenalty: number;
  readonly noRepeatNgramSize: number;
  readonly encoderNoRepeatNgramSize: number;
  readonly badWordsIds: readonly (readonly number[])[];
  readonly forcedBosTokenId: number | null;
  readonly forcedEosTokenIds: readonly number[];
  readonly endTokenIds: readonly number[];
}

const where = 'led.generate';
const most = Number.MAX_SAFE_INTEGER;

/**
 * The options of one document. prompt: what the caller gave for it, if anything. Source: HF GenerationMixin._prepare_generated_length.
 *
 * @throws ValueRangeError, UnsupportedError for sampling
 */
export function resolveOptions(options: GenerationOptions, config: LedConfig, document: number): ResolvedOptions {
  if (options.doSample) {
    const hint = 'sampling is a thing of the fast backends: the reference has no luck.';
    throw new UnsupportedError({ where, name: 'doSample', expected: 'false', got: 'true', hint });
  }
  const prompt = promptOf(options, config, document);
  const rows = config.maxDecoderPositionEmbeddings;
  const longest = rows + 1; // the last token that is written is not read again: it needs no position
  const byDefault = Math.min(prompt.length + 20, longest); // 20 new tokens, as HF
  const asked = options.maxNewTokens === undefined ? options.maxLength : prompt.length + options.maxNewTokens;
  const maxLength = asked ?? byDefault;
  const minLength =
    options.minNewTokens === undefined ? (options.minLength ?? 0) : prompt.length + options.minNewTokens;
  const [longestName, shortestName] = [
    options.maxNewTokens === undefined ? 'maxLength' : 'maxNewTokens',
    options.minNewTokens === undefined ? 'minLength' : 'minNewTokens',
  ];
  expectRange(where, longestName, [maxLength], 1, longest, `max_decoder_position_embeddings is ${rows}.`);
  if (prompt.length >= maxLength) {
    const expected = `a prompt shorter than ${maxLength}, the longest allowed`;
    const hint = 'raise maxLength or maxNewTokens, or shorten the prompt.';
    throw new ValueRangeError({ where, name: 'decoderInputIds', expected, got: `${prompt.length} tokens`, hint });
  }
  expectRange(where, shortestName, [minLength], 0, maxLength, 'a text cannot be forbidden to end before it has to.');
  const resolved: ResolvedOptions = {
    prompt,
    maxLength,
    minLength,
    numBeams: options.numBeams ?? 1,
    numReturnSequences: options.numReturnSequences ?? 1,
    lengthPenalty: options.lengthPenalty ?? 1,
    earlyStopping: options.earlyStopping ?? false,
    repetitionPenalty: options.repetitionPenalty ?? 1,
    noRepeatNgramSize: options.noRepeatNgramSize ?? 0,
    encoderNoRepeatNgramSize: options.encoderNoRepeatNgramSize ?? 0,
    badWordsIds: options.badWordsIds ?? [],
    forcedBosTokenId: options.forcedBosTokenId ?? null,
    forcedEosTokenIds: listOf(options.forcedEosTokenId),
    endTokenIds: options.eosTokenId === undefined ? [config.eosTokenId] : listOf(options.eosTokenId),
  };
  expectNumbers(resolved, config);
  return resolved;
}

const listOf = (ids: number | readonly number[] | undefined): readonly number[] =>
  typeof ids === 'number' ? [ids] : (ids ?? []);

/** The caller's prompts get the start token put before them, unless one of them has it already. Source: HF _prepare_decoder_input_ids_for_generation. */
function promptOf(
  { decoderInputIds, decoderStartTokenId }: GenerationOptions,
  config: LedConfig,
  document: number,
): number[] {
  const start = decoderStartTokenId ?? config.decoderStartTokenId;
  if (start === null) {
    throw new ValueRangeError({
      where,
      name: 'decoderStartTokenId',
      expected: 'a token id (decoder_start_token_id)',
      got: 'null',
      hint: 'give decoderStartTokenId: LED starts with its eos_token_id.',
    });
  }
  expectRange(where, 'decoderStartTokenId', [start], 0, config.vocabSize - 1);
  if (!decoderInputIds) return [start];
  const given = decoderInputIds[document];
  if (!given || given.length === 0) {
    throw new ValueRangeError({ where, name: `decoderInputIds[${document}]`, expected: 'a prompt', got: 'none' });
  }
  expectRange(where, `decoderInputIds[${document}]`, given, 0, config.vocabSize - 1);
  return decoderInputIds.some(ids => ids[0] === start) ? [...given] : [start, ...given];
}

function expectNumbers(options: ResolvedOptions, config: LedConfig): void {
  const { numBeams, numReturnSequences, endTokenIds, badWordsIds } = options;
  const lastToken = config.vocabSize - 1;
  expectRange(where, 'numBeams', [numBeams], 1, most);
  expectRange(where, 'numReturnSequences', [numReturnSequences], 1, numBeams, 'there are as many sequences as beams.');
  expectRange(where, 'noRepeatNgramSize', [options.noRepeatNgramSize], 0, most);
  expectRange(where, 'encoderNoRepeatNgramSize', [options.encoderNoRepeatNgramSize], 0, most);
  expectRange(where, 'eosTokenId', endTokenIds, 0, most);
  expectRange(where, 'forcedEosTokenId', options.forcedEosTokenIds, 0, lastToken);
  if (options.forcedBosTokenId !== null) {
    expectRange(where, 'forcedBosTokenId', [options.forcedBosTokenId], 0, lastToken);
  }
  for (const [index, word] of badWordsIds.entries()) {
    const name = `badWordsIds[${index}]`;
    if (word.length === 0) throw new ValueRangeError({ where, name, expected: 'at least one token', got: 'none' });
    expectRange(where, name, word, 0, lastToken);
  }
  const { lengthPenalty, repetitionPenalty } = options;
  if (!Number.isFinite(lengthPenalty)) {
    throw new ValueRangeError({
      where,
      name: 'lengthPenalty',
      expected: 'a finite number',
      got: String(lengthPenalty),
    });
  }
  if (!(repetitionPenalty > 0 && Number.isFinite(repetitionPenalty))) {
    const got = String(repetitionPenalty);
    throw new ValueRangeError({ where, name: 'repetitionPenalty', expected: 'a positive number', got });
  }
}
