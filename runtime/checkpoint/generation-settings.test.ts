import { describe, expect, test } from 'vitest';
import { createMemorySource } from './byte-source.ts';
import { parseGenerationSettings, readGenerationSettings } from './generation-settings.ts';

/** What led-large-16384-arxiv has in its config.json, as far as it concerns generation. */
const legacy = {
  model_type: 'led',
  num_beams: 4,
  max_length: 512,
  min_length: 100,
  length_penalty: 2.0,
  early_stopping: true,
  no_repeat_ngram_size: 3,
  decoder_start_token_id: 2,
  eos_token_id: 2,
  pad_token_id: 1,
};
const settings = { numBeams: 4, maxLength: 512, minLength: 100, lengthPenalty: 2, earlyStopping: true };

describe('settings of generation in a checkpoint', () => {
  test('legacy fields of config.json', () => {
    expect(parseGenerationSettings(JSON.stringify(legacy))).toEqual({
      ...settings,
      noRepeatNgramSize: 3,
      decoderStartTokenId: 2,
      eosTokenId: 2,
      padTokenId: 1,
    });
  });

  test('generation_config.json alone, where there is one', () => {
    const text = JSON.stringify({ num_beams: 2, top_k: null, _from_model_config: true, eos_token_id: [2, 7] });
    expect(parseGenerationSettings(JSON.stringify(legacy), text)).toEqual({ numBeams: 2, eosTokenId: [2, 7] });
  });

  test('every field', () => {
    const text = JSON.stringify({
      max_new_tokens: 5,
      min_new_tokens: 3,
      num_return_sequences: 2,
      early_stopping: 'never',
      repetition_penalty: 1.2,
      encoder_no_repeat_ngram_size: 4,
      bad_words_ids: [[3], [4, 5]],
      forced_bos_token_id: 0,
      forced_eos_token_id: 2,
      do_sample: true,
      temperature: 0.7,
      top_k: 10,
      top_p: 0.9,
    });
    expect(parseGenerationSettings('{}', text)).toEqual({
      maxNewTokens: 5,
      minNewTokens: 3,
      numReturnSequences: 2,
      earlyStopping: 'never',
      repetitionPenalty: 1.2,
      encoderNoRepeatNgramSize: 4,
      badWordsIds: [[3], [4, 5]],
      forcedBosTokenId: 0,
      forcedEosTokenId: 2,
      doSample: true,
      temperature: 0.7,
      topK: 10,
      topP: 0.9,
    });
  });

  test('from files', async () => {
    const contents: Record<string, string> = {
      'config.json': JSON.stringify(legacy),
      'generation_config.json': '{"max_length":7}',
    };
    const open = async (name: string) =>
      name in contents ? createMemorySource(new TextEncoder().encode(contents[name])) : undefined;
    expect(await readGenerationSettings({ name: 'x', open, openListed: open })).toEqual({ maxLength: 7 });
    delete contents['generation_config.json'];
    expect(await readGenerationSettings({ name: 'x', open, openListed: open })).toMatchObject(settings);
  });

  const wrong: [string, object, string, string?][] = [
    ['words', { num_beams: 'four' }, '"config.json: num_beams" expected an integer, got "four".'],
    ['half a beam', { num_beams: 1.5 }, '"config.json: num_beams" expected an integer, got 1.5.'],
    [
      'sometimes',
      { early_stopping: 'sometimes' },
      '"config.json: early_stopping" expected true, false or "never", got "sometimes".',
    ],
    [
      'bad words as words',
      { bad_words_ids: ['x'] },
      '"config.json: bad_words_ids" expected a list of lists of token ids, got a list of 1.',
    ],
    [
      'diverse beams',
      { num_beam_groups: 2 },
      '"config.json: num_beam_groups" expected 1, got 2.\n' +
        '  Hint: take it out of the file: it would change the text, and nothing here does what it asks for.',
      'E_UNSUPPORTED',
    ],
    [
      'scores normalised again',
      { renormalize_logits: true },
      '"config.json: renormalize_logits" expected false, got true.\n' +
        '  Hint: take it out of the file: it would change the text, and nothing here does what it asks for.',
      'E_UNSUPPORTED',
    ],
    [
      'suppressed tokens',
      { suppress_tokens: [1] },
      '"config.json: suppress_tokens" expected nothing, got a list of 1.\n' +
        '  Hint: take it out of the file: it would change the text, and nothing here does what it asks for.',
      'E_UNSUPPORTED',
    ],
  ];
  test.each(wrong)('%s', (_, json, message, code = 'E_CONFIG') => {
    expect(() => parseGenerationSettings(JSON.stringify(json))).toThrow(
      expect.objectContaining({ code, message: `generationSettings: ${message}` }),
    );
  });

  test('what config.json says about a task wins, for that task', () => {
    const config = JSON.stringify({
      num_beams: 2,
      task_specific_params: { summarization: { num_beams: 4, min_length: 12, prefix: ' ' }, other: { num_beams: 9 } },
    });
    expect(parseGenerationSettings(config)).toEqual({ numBeams: 2 });
    expect(parseGenerationSettings(config, undefined, 'summarization')).toEqual({ numBeams: 4, minLength: 12 });
    const own = '{"max_length":7,"min_length":3}';
    expect(parseGenerationSettings(config, own, 'summarization')).toEqual({ numBeams: 4, minLength: 12, maxLength: 7 });
    expect(parseGenerationSettings(config, own, 'text2text-generation')).toEqual({ minLength: 3, maxLength: 7 });
    expect(parseGenerationSettings(config, own, 'toString')).toEqual({ minLength: 3, maxLength: 7 });
    expect(parseGenerationSettings('{"task_specific_params":null}', own, 'summarization')).toMatchObject({
      maxLength: 7,
    });
  });

  test.each<[unknown, string, string]>([
    [5, 'E_CONFIG', 'config.json: task_specific_params'],
    [[1], 'E_CONFIG', 'config.json: task_specific_params'],
    [{ summarization: null }, 'E_CONFIG', 'config.json: task_specific_params.summarization'],
    [{ summarization: { num_beams: 'x' } }, 'E_CONFIG', 'config.json: task_specific_params.summarization: num_beams'],
    [
      { summarization: { num_beam_groups: 2 } },
      'E_UNSUPPORTED',
      'config.json: task_specific_params.summarization: num_beam_groups',
    ],
    [
      { summarization: { prefix: 'summarize: ' } },
      'E_UNSUPPORTED',
      'config.json: task_specific_params.summarization.prefix',
    ],
  ])('what cannot be said about a task: %j', (params, code, subject) => {
    const config = JSON.stringify({ task_specific_params: params });
    expect(() => parseGenerationSettings(config, '{}', 'summarization')).toThrow(
      expect.objectContaining({ code, subject }),
    );
    expect(parseGenerationSettings(config, '{}')).toEqual({});
  });

  test('null is nothing, whatever the field', () => {
    const names = [
      'max_length',
      'num_beams',
      'early_stopping',
      'bad_words_ids',
      'forced_eos_token_id',
      'top_p',
      'min_p',
    ];
    expect(parseGenerationSettings(JSON.stringify(Object.fromEntries(names.map(name => [name, null]))))).toEqual({});
  });

  test.each(['', '[]', '"x"', '{', '{"num_beams":1}}', '\ufeff{}'])('a file that is no object: %j', text => {
    expect(() => parseGenerationSettings('{}', text)).toThrow(
      expect.objectContaining({ code: 'E_CONFIG', subject: 'generation_config.json' }),
    );
  });

  test('neutral values of what is not supported', () => {
    const neutral = {
      num_beam_groups: 1,
      diversity_penalty: 0.0,
      typical_p: 1.0,
      suppress_tokens: null,
      stop_strings: [],
      renormalize_logits: false,
    };
    expect(parseGenerationSettings(JSON.stringify(neutral))).toEqual({});
  });
});
