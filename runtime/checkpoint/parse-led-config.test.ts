import { describe, expect, test } from 'vitest';
import { parseConfig } from './parse-config.ts';
import { parseLedConfig, parseModelConfig } from './parse-led-config.ts';

const led = { model_type: 'led' };
const parse = (fields: Record<string, unknown>): ReturnType<typeof parseLedConfig> =>
  parseLedConfig(JSON.stringify({ ...led, ...fields }));

/** The config of led-base-16384, with legacy keys that such files have. */
const base16384 = {
  ...led,
  architectures: ['LEDForConditionalGeneration'],
  activation_function: 'gelu',
  attention_window: Array(6).fill(1024),
  attention_mode: 'sliding_chunks',
  classif_dropout: 0,
  d_model: 768,
  decoder_attention_heads: 12,
  decoder_ffn_dim: 3072,
  decoder_layers: 6,
  decoder_start_token_id: 2,
  encoder_attention_heads: 12,
  encoder_ffn_dim: 3072,
  encoder_layers: 6,
  id2label: { 0: 'LABEL_0', 1: 'LABEL_1', 2: 'LABEL_2' },
  max_decoder_position_embeddings: 1024,
  max_encoder_position_embeddings: 16384,
  num_hidden_layers: 6,
  output_past: false,
  pad_token_id: 1,
  vocab_size: 50265,
};

describe('what a config of LED says', () => {
  test('led-base-16384', () => {
    expect(parseLedConfig(JSON.stringify(base16384))).toEqual({
      modelType: 'led',
      head: 'conditionalGeneration',
      vocabSize: 50265,
      hiddenSize: 768,
      encoderLayers: 6,
      decoderLayers: 6,
      encoderHeads: 12,
      decoderHeads: 12,
      encoderIntermediateSize: 3072,
      decoderIntermediateSize: 3072,
      hiddenActivation: 'gelu',
      maxEncoderPositionEmbeddings: 16384,
      maxDecoderPositionEmbeddings: 1024,
      layerNormEps: 1e-5,
      padTokenId: 1,
      bosTokenId: 0,
      eosTokenId: 2,
      decoderStartTokenId: 2,
      oneSidedWindow: Array(6).fill(512),
      dilation: Array(6).fill(Array(12).fill(1)),
      labels: 3,
      labelNames: ['LABEL_0', 'LABEL_1', 'LABEL_2'],
      tieWordEmbeddings: true,
    });
  });

  test("nothing: Hugging Face's defaults, those of the large model", () => {
    expect(parse({})).toMatchObject({
      head: 'none',
      vocabSize: 50265,
      hiddenSize: 1024,
      encoderLayers: 12,
      decoderLayers: 12,
      encoderHeads: 16,
      decoderHeads: 16,
      encoderIntermediateSize: 4096,
      decoderIntermediateSize: 4096,
      maxEncoderPositionEmbeddings: 16384,
      maxDecoderPositionEmbeddings: 1024,
      decoderStartTokenId: 2,
      oneSidedWindow: Array(12).fill(256),
      labels: 2,
    });
  });

  test.each([
    ['LEDModel', 'none'],
    ['LEDForConditionalGeneration', 'conditionalGeneration'],
    ['LEDForQuestionAnswering', 'questionAnswering'],
    ['LEDForSequenceClassification', 'sequenceClassification'],
  ])('%s has the head %s', (architecture, head) => {
    expect(parse({ architectures: [architecture] }).head).toBe(head);
  });

  test('a head by option', () => {
    expect(parseLedConfig(JSON.stringify(led), { head: 'conditionalGeneration' }).head).toBe('conditionalGeneration');
  });

  test("Longformer's names are taken too", () => {
    const fields = { hidden_size: 12, num_hidden_layers: 3, num_attention_heads: 4, decoder_attention_heads: 2 };
    expect(parse(fields)).toMatchObject({ hiddenSize: 12, encoderLayers: 3, encoderHeads: 4, decoderHeads: 2 });
  });

  test('question answering has two labels whatever the file says', () => {
    const config = parse({ architectures: ['LEDForQuestionAnswering'], num_labels: 7 });
    expect(config.labelNames).toEqual(['LABEL_0', 'LABEL_1']);
  });

  test('several ids that end a text: the first', () => expect(parse({ eos_token_id: [5, 6] }).eosTokenId).toBe(5));

  test('no token to start with', () => {
    expect(parse({ decoder_start_token_id: null }).decoderStartTokenId).toBeNull();
  });

  test('either family by model_type', () => {
    expect(parseModelConfig('{"model_type":"led"}').modelType).toBe('led');
    expect(parseModelConfig('{"model_type":"longformer"}', { head: 'maskedLm' })).toEqual(
      parseConfig('{"model_type":"longformer"}', { head: 'maskedLm' }),
    );
  });
});

describe('what a config of LED may not say', () => {
  const wrong: [string, Record<string, unknown>, string, string?][] = [
    ['another model', { model_type: 'bart' }, '"model_type" expected "led", got "bart".', 'E_UNSUPPORTED'],
    [
      'a Longformer',
      { model_type: 'longformer' },
      '"model_type" expected "led", got "longformer".\n  Hint: openCheckpoint reads it, and the tasks of an encoder run it.',
      'E_UNSUPPORTED',
    ],
    ['no model', { model_type: undefined }, '"model_type" expected "led", got nothing.'],
    [
      'an unknown class',
      { architectures: ['LEDForDreaming'] },
      '"architectures[0]" expected one of LEDModel, LEDForConditionalGeneration, LEDForQuestionAnswering, ' +
        'LEDForSequenceClassification, got "LEDForDreaming".\n  Hint: read it as another class with the option `head`.',
      'E_UNSUPPORTED',
    ],
    ['encoder heads', { d_model: 30 }, '"d_model" expected a multiple of encoder_attention_heads (16), got 30.'],
    [
      'decoder heads',
      { d_model: 32, decoder_attention_heads: 3 },
      '"d_model" expected a multiple of decoder_attention_heads (3), got 32.',
    ],
    [
      'an odd window',
      { attention_window: 511 },
      '"attention_window" expected an even number >= 2, got 511.\n' +
        '  Hint: HF counts both sides; a window of 255 on each side is written 510.',
    ],
    ['a window of 0', { attention_window: 0 }, '"attention_window" expected an even number >= 2, got 0.'],
    [
      'windows of other layers',
      { attention_window: [4, 8] },
      '"attention_window" expected 12 items, one per layer (encoder_layers), got 2.',
    ],
    [
      'two sizes',
      { d_model: 768, hidden_size: 1024 },
      '"hidden_size" expected 768, as d_model says, got 1024.\n  Hint: they are two names of one number: remove one.',
    ],
    ['no padding token', { pad_token_id: null }, '"pad_token_id" expected an integer in 0..50264, got null.'],
    [
      'a first token outside the vocabulary',
      { decoder_start_token_id: 50265 },
      '"decoder_start_token_id" expected an integer in 0..50264, got 50265.',
    ],
    [
      'no ids that end a text',
      { eos_token_id: [] },
      '"eos_token_id" expected an integer in 0..2147483647, got nothing.',
    ],
    ['an activation', { activation_function: 'snake' }, 'starts', 'E_UNSUPPORTED'],
  ];
  test.each(wrong)('%s', (_, fields, message, code = 'E_CONFIG') => {
    const text =
      message === 'starts'
        ? expect.stringMatching(/^parseConfig: "activation_function" expected one of gelu, .*, got "snake"\.$/)
        : `parseConfig: ${message}`;
    expect(() => parse(fields)).toThrow(expect.objectContaining({ code, message: text }));
  });

  test('a head the family does not have', () => {
    const message =
      'parseConfig: "head" expected one of none, conditionalGeneration, questionAnswering, sequenceClassification, got "maskedLm".';
    expect(() => parseModelConfig('{"model_type":"led"}', { head: 'maskedLm' })).toThrow(
      expect.objectContaining({ code: 'E_CONFIG', message }),
    );
  });
});
