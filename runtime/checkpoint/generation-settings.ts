/**
 * How a checkpoint wants to be asked for text: generation_config.json, or the fields of old config.json files.
 *
 * As in Hugging Face the two do not mix: config.json is looked at only where there is no generation_config.json, but for what it says about
 * one task. What is null or unknown
 * is ignored; a setting that would change the text and is not supported here is refused. Source: HF GenerationConfig, from_model_config.
 * Read before: parse-led-config.ts. Read next: generation/options.ts.
 */
import { ConfigError, UnsupportedError } from '../../contract/errors.ts';
import type { GenerationOptions } from '../../contract/generation.ts';
import { describe, type JsonObject, parseJsonObject } from './json-fields.ts';
import { type CheckpointFiles, readConfigText } from './open.ts';
import { maxConfigBytes } from './parse-config.ts';

const where = 'generationSettings';

type Key = keyof GenerationOptions;
type Check = (value: unknown) => boolean;

const isNumber: Check = value => typeof value === 'number' && Number.isFinite(value);
const isInteger: Check = value => Number.isSafeInteger(value);
const isBoolean: Check = value => typeof value === 'boolean';
const areIntegers: Check = value => Array.isArray(value) && value.every(isInteger);

interface Field {
  readonly option: Key;
  readonly expected: string;
  readonly fits: Check;
}
const integer = (option: Key): Field => ({ option, expected: 'an integer', fits: isInteger });
const number = (option: Key): Field => ({ option, expected: 'a number', fits: isNumber });
const tokens = (option: Key): Field => ({
  option,
  expected: 'a token id or a list of them',
  fits: value => isInteger(value) || areIntegers(value),
});

/** HF name → ours. Ranges are checked by whoever uses the options. */
const fields = new Map<string, Field>([
  ['max_length', integer('maxLength')],
  ['max_new_tokens', integer('maxNewTokens')],
  ['min_length', integer('minLength')],
  ['min_new_tokens', integer('minNewTokens')],
  ['num_beams', integer('numBeams')],
  ['num_return_sequences', integer('numReturnSequences')],
  ['length_penalty', number('lengthPenalty')],
  [
    'early_stopping',
    {
      option: 'earlyStopping',
      expected: 'true, false or "never"',
      fits: value => isBoolean(value) || value === 'never',
    },
  ],
  ['repetition_penalty', number('repetitionPenalty')],
  ['no_repeat_ngram_size', integer('noRepeatNgramSize')],
  ['encoder_no_repeat_ngram_size', integer('encoderNoRepeatNgramSize')],
  [
    'bad_words_ids',
    {
      option: 'badWordsIds',
      expected: 'a list of lists of token ids',
      fits: value => Array.isArray(value) && value.every(areIntegers),
    },
  ],
  ['forced_bos_token_id', integer('forcedBosTokenId')],
  ['forced_eos_token_id', tokens('forcedEosTokenId')],
  ['do_sample', { option: 'doSample', expected: 'true or false', fits: isBoolean }],
  ['temperature', number('temperature')],
  ['top_k', integer('topK')],
  ['top_p', number('topP')],
  ['decoder_start_token_id', integer('decoderStartTokenId')],
  ['eos_token_id', tokens('eosTokenId')],
  ['pad_token_id', integer('padTokenId')],
]);

/** Settings that change the text and are not supported, with the value that changes nothing; null never does. */
const unsupported = new Map<string, number | false | null>([
  ['num_beam_groups', 1],
  ['diversity_penalty', 0],
  ['penalty_alpha', null],
  ['typical_p', 1],
  ['min_p', null],
  ['epsilon_cutoff', 0],
  ['eta_cutoff', 0],
  ['encoder_repetition_penalty', 1],
  ['sequence_bias', null],
  ['suppress_tokens', null],
  ['begin_suppress_tokens', null],
  ['exponential_decay_length_penalty', null],
  ['guidance_scale', 1],
  ['watermarking_config', null],
  ['stop_strings', null],
  ['renormalize_logits', false],
  ['force_words_ids', null],
  ['constraints', null],
  ['top_h', null],
  ['dola_layers', null],
  ['token_healing', false],
  ['max_time', null],
]);

/**
 * Texts of the two files → options, those that are set.
 *
 * task: a pipeline's, whose entry of `task_specific_params` in config.json wins over both, as in HF's pipelines.
 * @throws ConfigError for a value of the wrong kind, UnsupportedError for settings that cannot be honoured
 */
export function parseGenerationSettings(
  configText: string,
  generationConfigText?: string,
  task?: string,
): GenerationOptions {
  const name = generationConfigText === undefined ? 'config.json' : 'generation_config.json';
  const settings = settingsOf(objectOf(generationConfigText ?? configText, name), name);
  return task === undefined ? settings : { ...settings, ...taskSettings(configText, task) };
}

const objectOf = (text: string, name: string): JsonObject =>
  parseJsonObject(text, maxConfigBytes, (expected, got, cause) => {
    throw new ConfigError({ where, name, expected, got, cause });
  });

function settingsOf(json: JsonObject, name: string): GenerationOptions {
  expectSupported(json, name);
  const options: Partial<Record<Key, unknown>> = {};
  for (const [key, { option, expected, fits }] of fields) {
    const value = json.get(key) ?? undefined;
    if (value === undefined) continue;
    if (!fits(value)) throw new ConfigError({ where, name: `${name}: ${key}`, expected, got: describe(value) });
    options[option] = value;
  }
  return options as GenerationOptions;
}

function taskSettings(configText: string, task: string): GenerationOptions {
  const all = objectOf(configText, 'config.json').get('task_specific_params') ?? {};
  const own = Object.hasOwn(all as object, task) ? (all as Record<string, unknown>)[task] : {};
  const name = `config.json: task_specific_params.${task}`;
  const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
  for (const [value, place] of [
    [all, 'config.json: task_specific_params'],
    [own, name],
  ] as const) {
    if (!isObject(value)) throw new ConfigError({ where, name: place, expected: 'an object', got: describe(value) });
  }
  const json = new Map(Object.entries(own as object));
  const prefix: unknown = json.get('prefix') ?? '';
  if (typeof prefix !== 'string' || prefix.trim() !== '') {
    const hint = 'put it before the text yourself, and take it out of the file.';
    throw new UnsupportedError({ where, name: `${name}.prefix`, expected: 'nothing', got: describe(prefix), hint });
  }
  return settingsOf(json, name);
}

function expectSupported(json: JsonObject, name: string): void {
  for (const [key, neutral] of unsupported) {
    const value = json.get(key) ?? neutral;
    if (value === neutral || (Array.isArray(value) && value.length === 0)) continue;
    throw new UnsupportedError({
      where,
      name: `${name}: ${key}`,
      expected: neutral === null ? 'nothing' : String(neutral),
      got: describe(value),
      hint: 'take it out of the file: it would change the text, and nothing here does what it asks for.',
    });
  }
}

/** The same from the files of a checkpoint. @throws ConfigError, UnsupportedError, IoError */
export async function readGenerationSettings(files: CheckpointFiles, task?: string): Promise<GenerationOptions> {
  const text = async (name: string): Promise<string | undefined> => {
    const source = await files.open(name);
    return source && readConfigText(source, name);
  };
  const generationConfig = await text('generation_config.json');
  return parseGenerationSettings((await text('config.json')) ?? '{}', generationConfig, task);
}
