/**
 * What was asked for, with every default filled in and every contradiction refused.
 *
 * Read next: logits-processors.ts, generate.ts. Source: HF GenerationConfig.validate, _prepare_generated_length, _prepare_special_tokens.
 */
import type { LedConfig } from '../../contract/config.ts';
import { expectRange, UnsupportedError, ValueRangeError } from '../../contract/errors.ts';
import type { GenerationOptions } from '../../contract/generation.ts';

const where = 'generate';

/** HF: this many tokens after the prompt when nothing says how long. */
const defaultNewTokens = 20;

/** Options without anything left open. Lengths count the prompt. */
export interface Settings {
  /** (documents)(promptLength) */
  readonly prompts: readonly Int32Array[];
  readonly promptLength: number;
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
  readonly doSample: boolean;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly seed: number;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number;
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== null;

/** Options of a call. Undefined is not asked for; null turns off what the checkpoint's files say, as HF's None does. */
export type AskedOptions = { readonly [Name in keyof GenerationOptions]: GenerationOptions[Name] | null };

/**
 * What was asked for, then what the checkpoint's files say. Of two ways to say a length the one that was asked for counts.
 *
 * Null leaves an option at its default; without `eosTokenId` no token ends a text.
 */
export function mergeOptions(asked: AskedOptions, files: GenerationOptions = {}): GenerationOptions {
  const merged: Record<string, unknown> = { ...files };
  for (const [name, value] of Object.entries(asked)) {
    if (value === null) delete merged[name];
    else if (value !== undefined) merged[name] = value;
  }
  if (asked.eosTokenId === null) merged.eosTokenId = [];
  if (isGiven(asked.maxLength) && !isGiven(asked.maxNewTokens)) delete merged.maxNewTokens;
  if (isGiven(asked.minLength) && !isGiven(asked.minNewTokens)) delete merged.minNewTokens;
  return merged;
}

/**
 * asked: options of the call; files: what the checkpoint's files say.
 *
 * @throws ValueRangeError for a value out of its range and for contradictions, UnsupportedError for beams that are drawn by lot
 */
export function settingsOf(
  asked: AskedOptions,
  config: LedConfig,
  documents: number,
  files: GenerationOptions = {},
): Settings {
  expectKnown(asked);
  const options = mergeOptions(asked, files);
  const { vocabSize } = config;
  const tokens = (
    name: string,
    ids: number | readonly number[] | undefined,
    absent: readonly number[],
    highest = vocabSize - 1,
  ): number[] => {
    const list = ids === undefined ? absent : typeof ids === 'number' ? [ids] : ids;
    expectRange(where, name, list, 0, highest);
    return [...list];
  };
  const prompts = promptsOf(options, config, documents);
  const promptLength = prompts[0]!.length;
  const maxLength = maxLengthOf(options, config, promptLength);
  const minNewTokens = integer('minNewTokens', options.minNewTokens, 0, 0);
  // HF: the number of new tokens wins over the length, where both are given.
  const given = integer('minLength', options.minLength, 0, 0);
  let minLength = options.minNewTokens === undefined ? given : promptLength + minNewTokens;
  if (!isGiven(asked.minLength ?? asked.minNewTokens)) {
    // Who asks for less than the file's minimum gets less, and no end before that. HF warns and does the same.
    minLength = Math.min(minLength, maxLength);
  }
  if (minLength > maxLength) {
    const name = options.minNewTokens === undefined ? 'minLength' : 'minNewTokens';
    const hint = 'a text cannot be forbidden to end before it has to.';
    fail(name, `a length of at most ${maxLength}, the longest allowed`, String(minLength), hint);
  }
  const doSample = options.doSample ?? false;
  if (typeof doSample !== 'boolean') fail('doSample', 'true or false', shown(doSample));
  const numBeams = integer('numBeams', options.numBeams, 1, 1);
  const numReturnSequences = integer('numReturnSequences', options.numReturnSequences, 1, 1);
  if (doSample && numBeams > 1) {
    throw new UnsupportedError({
      where,
      name: 'doSample',
      expected: 'false with more than one beam',
      got: `true with ${numBeams} beams`,
      hint: 'set numBeams to 1 to draw tokens, or doSample to false to search.',
    });
  }
  if (!doSample && numReturnSequences > numBeams) {
    const hint = 'search with more beams, or draw several texts with doSample.';
    fail('numReturnSequences', `at most numBeams (${numBeams})`, String(numReturnSequences), hint);
  }
  const badWordsIds = options.badWordsIds ?? [];
  if (!Array.isArray(badWordsIds)) fail('badWordsIds', 'a list of lists of token ids', shown(badWordsIds));
  for (const [i, word] of badWordsIds.entries()) {
    if (!Array.isArray(word)) fail(`badWordsIds[${i}]`, 'a list of token ids', shown(word));
    if (word.length === 0) fail(`badWordsIds[${i}]`, 'at least one token', 'none');
    expectRange(where, `badWordsIds[${i}]`, word, 0, vocabSize - 1);
  }
  return {
    prompts,
    promptLength,
    maxLength,
    minLength,
    numBeams,
    numReturnSequences,
    lengthPenalty: finite('lengthPenalty', options.lengthPenalty, 1),
    earlyStopping: earlyStoppingOf(options),
    repetitionPenalty: finite('repetitionPenalty', options.repetitionPenalty, 1, value => value > 0, 'a number > 0'),
    noRepeatNgramSize: integer('noRepeatNgramSize', options.noRepeatNgramSize, 0, 0),
    encoderNoRepeatNgramSize: integer('encoderNoRepeatNgramSize', options.encoderNoRepeatNgramSize, 0, 0),
    badWordsIds,
    forcedBosTokenId: tokens('forcedBosTokenId', options.forcedBosTokenId, [])[0] ?? null,
    forcedEosTokenIds: tokens('forcedEosTokenId', options.forcedEosTokenId, []),
    doSample,
    temperature: finite('temperature', options.temperature, 1, value => value > 0, 'a number > 0'),
    topK: integer('topK', options.topK, 50, 0),
    topP: finite('topP', options.topP, 1, value => value >= 0 && value <= 1, 'a number in 0..1'),
    seed: integer('seed', options.seed, 0, 0),
    eosTokenIds: tokens(
      'eosTokenId',
      options.eosTokenId,
      [config.eosTokenId].filter(id => id < vocabSize),
    ),
    padTokenId: tokens('padTokenId', options.padTokenId, [config.padTokenId])[0]!,
  };
}

/**
 * The prompt of each document. HF: a start token is put in front when no prompt begins with it.
 */
function promptsOf(
  { decoderInputIds, decoderStartTokenId }: GenerationOptions,
  config: LedConfig,
  documents: number,
): Int32Array[] {
  const start = decoderStartTokenId ?? config.decoderStartTokenId;
  if (start === null) {
    return fail(
      'decoderStartTokenId',
      'a token id (decoder_start_token_id)',
      'null',
      'give decoderStartTokenId, or put decoder_start_token_id into config.json: LED starts with its eos_token_id.',
    );
  }
  expectRange(where, 'decoderStartTokenId', [start], 0, config.vocabSize - 1);
  if (decoderInputIds === undefined) return Array.from({ length: documents }, () => Int32Array.of(start));
  if (decoderInputIds.length !== documents) {
    fail('decoderInputIds', `${documents} prompts, one for each document`, String(decoderInputIds.length));
  }
  for (const [document, ids] of decoderInputIds.entries()) {
    const name = `decoderInputIds[${document}]`;
    if (typeof ids !== 'object') fail(name, 'the token ids of a prompt', shown(ids));
    if (ids.length === 0) fail(name, 'at least one token', 'none', 'leave decoderInputIds away to begin with nothing.');
    if (ids.length !== decoderInputIds[0]!.length) {
      fail(name, `${decoderInputIds[0]!.length} tokens, as the first prompt`, String(ids.length));
    }
    expectRange(where, name, ids, 0, config.vocabSize - 1);
  }
  if (decoderInputIds.some(ids => ids[0] === start)) return [...decoderInputIds];
  return decoderInputIds.map(ids => Int32Array.of(start, ...ids));
}

function maxLengthOf({ maxLength, maxNewTokens }: GenerationOptions, config: LedConfig, promptLength: number): number {
  // The last token that is written is never read again: the table needs no row for it.
  const longest = config.maxDecoderPositionEmbeddings + 1;
  const name = maxNewTokens !== undefined || maxLength === undefined ? 'maxNewTokens' : 'maxLength';
  const asked =
    name === 'maxLength'
      ? integer('maxLength', maxLength, 0, 1)
      : promptLength + integer('maxNewTokens', maxNewTokens, defaultNewTokens, 1);
  // HF's own default gives way to the position table; a length somebody asked for does not.
  const length = maxNewTokens === undefined && maxLength === undefined ? Math.min(asked, longest) : asked;
  if (length > longest) {
    const most = name === 'maxLength' ? longest : longest - promptLength;
    const got = String(name === 'maxLength' ? length : maxNewTokens);
    const hint = 'ask for a shorter text, or use a checkpoint with a larger position table.';
    fail(name, `at most ${most} (max_decoder_position_embeddings ${longest - 1})`, got, hint);
  }
  if (promptLength >= length) {
    const hint = 'raise maxLength or maxNewTokens, or shorten the prompt.';
    fail('decoderInputIds', `a prompt shorter than ${length}, the longest allowed`, `${promptLength} tokens`, hint);
  }
  return length;
}

function earlyStoppingOf({ earlyStopping = false }: GenerationOptions): boolean | 'never' {
  if (typeof earlyStopping === 'boolean' || earlyStopping === 'never') return earlyStopping;
  return fail('earlyStopping', "true, false or 'never'", shown(earlyStopping));
}

function integer(name: string, value: number | undefined, absent: number, lowest: number): number {
  if (value === undefined) return absent;
  if (Number.isSafeInteger(value) && value >= lowest) return value;
  return fail(name, `an integer >= ${lowest}`, shown(value));
}

function finite(
  name: string,
  value: number | undefined,
  absent: number,
  allowed: (value: number) => boolean = () => true,
  expected = 'a finite number',
): number {
  if (value === undefined) return absent;
  return Number.isFinite(value) && allowed(value) ? value : fail(name, expected, shown(value));
}

/** A word in quotes, so that "4" does not look like a number. */
const shown = (value: unknown): string => (typeof value === 'string' ? JSON.stringify(value) : String(value));

/** Every option there is; the compiler complains about one that is missing or too many. */
const known: Readonly<Record<keyof GenerationOptions, true>> = {
  maxLength: true,
  maxNewTokens: true,
  minLength: true,
  minNewTokens: true,
  numBeams: true,
  numReturnSequences: true,
  lengthPenalty: true,
  earlyStopping: true,
  repetitionPenalty: true,
  noRepeatNgramSize: true,
  encoderNoRepeatNgramSize: true,
  badWordsIds: true,
  forcedBosTokenId: true,
  forcedEosTokenId: true,
  doSample: true,
  temperature: true,
  topK: true,
  topP: true,
  seed: true,
  decoderStartTokenId: true,
  eosTokenId: true,
  padTokenId: true,
  decoderInputIds: true,
};

/** An option that nobody reads would be a text that nobody asked for: num_beams, numBeam. */
function expectKnown(asked: AskedOptions): void {
  const stranger = Object.keys(asked).find(name => !Object.hasOwn(known, name));
  if (stranger === undefined) return;
  const camel = stranger.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const hint = Object.hasOwn(known, camel)
    ? `it is called ${camel} here.`
    : `there are ${Object.keys(known).join(', ')}.`;
  fail(stranger, 'an option of generate', 'an unknown name', hint);
}

function fail(name: string, expected: string, got: string, hint?: string): never {
  throw new ValueRangeError({ where, name, expected, got, ...(hint === undefined ? {} : { hint }) });
}
