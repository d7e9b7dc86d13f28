/**
 * config.json → LedConfig, and the choice between the two families by `model_type`.
 *
 * LED's fields have names of their own (d_model, encoder_layers, …); Hugging Face also takes some of Longformer's for them.
 * Generation settings that old versions wrote into config.json are not read here: generation-settings.ts. Source: HF LEDConfig.
 * Read before: parse-config.ts. Read next: tensor-names.ts.
 */
import type { LedConfig, LedHead, LongformerHead, ModelConfig } from '../../contract/config.ts';
import {
  activationOf,
  attentionWindowOf,
  booleanOf,
  type Count,
  dilationOf,
  fail,
  headOf,
  integer,
  labelNamesOf,
  most,
  unsupported,
} from './config-fields.ts';
import { describe, type JsonObject } from './json-fields.ts';
import { configFields, longformerConfigOf } from './parse-config.ts';

export interface ParseLedConfigOptions {
  /** Use the checkpoint as this model class, whatever `architectures` says. */
  readonly head?: LedHead;
}

export interface ParseModelConfigOptions {
  readonly head?: LongformerHead | LedHead;
}

const headOfArchitecture = new Map<string, LedHead>([
  ['LEDModel', 'none'],
  ['LEDForConditionalGeneration', 'conditionalGeneration'],
  ['LEDForQuestionAnswering', 'questionAnswering'],
  ['LEDForSequenceClassification', 'sequenceClassification'],
]);
const longformerHeads: readonly LongformerHead[] = [
  'none',
  'maskedLm',
  'sequenceClassification',
  'questionAnswering',
  'tokenClassification',
  'multipleChoice',
];
const ledHeads: readonly LedHead[] = [...headOfArchitecture.values()];

/** LED has no field for it. HF: nn.LayerNorm's default. */
const layerNormEps = 1e-5;

/**
 * Text of a config.json → config of an LED.
 *
 * @throws ConfigError naming the first field that is wrong; UnsupportedError for other models, unknown classes and activations.
 */
export function parseLedConfig(text: string, options: ParseLedConfigOptions = {}): LedConfig {
  return ledConfigOf(configFields(text), options);
}

/**
 * Text of a config.json → config of the family that `model_type` names.
 *
 * @throws as parseConfig and parseLedConfig; ConfigError for a head the family does not have
 */
export function parseModelConfig(text: string, { head }: ParseModelConfigOptions = {}): ModelConfig {
  const json = configFields(text);
  const isLed = json.get('model_type') === 'led';
  const heads: readonly string[] = isLed ? ledHeads : longformerHeads;
  if (head !== undefined && !heads.includes(head)) fail('head', `one of ${heads.join(', ')}`, describe(head));
  return isLed
    ? ledConfigOf(json, { head: head as LedHead | undefined })
    : longformerConfigOf(json, { head: head as LongformerHead | undefined });
}

export function ledConfigOf(json: JsonObject, options: ParseLedConfigOptions): LedConfig {
  const modelType = json.get('model_type');
  if (typeof modelType !== 'string') fail('model_type', '"led"', describe(modelType));
  if (modelType !== 'led') {
    const hint =
      modelType === 'longformer' ? 'openCheckpoint reads it, and the tasks of an encoder run it.' : undefined;
    unsupported('model_type', '"led"', modelType, hint);
  }
  const encoderLayers = aliased(json, ['encoder_layers', 'num_hidden_layers'], 12, most.layers);
  const encoderHeads = aliased(json, ['encoder_attention_heads', 'num_attention_heads'], 16, most.heads);
  const decoderHeads = integer(json, 'decoder_attention_heads', 16, 1, most.heads);
  const { key: sizeKey, value: hiddenSize } = aliased(json, ['d_model', 'hidden_size'], 1024, most.size);
  for (const { key, value } of [encoderHeads, { key: 'decoder_attention_heads', value: decoderHeads }]) {
    if (hiddenSize % value !== 0) fail(sizeKey, `a multiple of ${key} (${value})`, String(hiddenSize));
  }
  const vocabSize = integer(json, 'vocab_size', 50265, 1, most.rows);
  const head = options.head ?? headOf(json, headOfArchitecture);
  // HF's class for question answering overwrites num_labels with 2, whatever the file says.
  const labelNames = head === 'questionAnswering' ? ['LABEL_0', 'LABEL_1'] : labelNamesOf(json);
  return {
    modelType: 'led',
    head,
    vocabSize,
    hiddenSize,
    encoderLayers: encoderLayers.value,
    decoderLayers: integer(json, 'decoder_layers', 12, 1, most.layers),
    encoderHeads: encoderHeads.value,
    decoderHeads,
    encoderIntermediateSize: integer(json, 'encoder_ffn_dim', 4096, 1, most.size),
    decoderIntermediateSize: integer(json, 'decoder_ffn_dim', 4096, 1, most.size),
    hiddenActivation: activationOf(json, 'activation_function'),
    maxEncoderPositionEmbeddings: integer(json, 'max_encoder_position_embeddings', 16384, 1, most.rows),
    maxDecoderPositionEmbeddings: integer(json, 'max_decoder_position_embeddings', 1024, 1, most.rows),
    layerNormEps,
    padTokenId: integer(json, 'pad_token_id', 1, 0, vocabSize - 1),
    bosTokenId: integer(json, 'bos_token_id', 0, 0, most.rows),
    eosTokenId: eosTokenIdOf(json),
    decoderStartTokenId: decoderStartOf(json, vocabSize),
    oneSidedWindow: attentionWindowOf(json, encoderLayers).map(attentionWindow => attentionWindow / 2),
    dilation: dilationOf(json, encoderLayers, encoderHeads),
    labels: labelNames.length,
    labelNames,
    tieWordEmbeddings: booleanOf(json, 'tie_word_embeddings', true),
  };
}

/** A count under its own name or its alias. HF `attribute_map`: both at once are two values for one attribute. */
function aliased(json: JsonObject, [key, alias]: readonly [string, string], absent: number, highest: number): Count {
  if (!json.has(alias)) return { key, value: integer(json, key, absent, 1, highest) };
  const value = integer(json, alias, absent, 1, highest);
  if (json.has(key) && integer(json, key, absent, 1, highest) !== value) {
    fail(
      alias,
      `${String(json.get(key))}, as ${key} says`,
      String(value),
      'they are two names of one number: remove one.',
    );
  }
  return { key: json.has(key) ? key : alias, value };
}

/** The first one, when several ids end a text: generation reads the whole list itself. */
function eosTokenIdOf(json: JsonObject): number {
  const ids = json.get('eos_token_id');
  if (!Array.isArray(ids)) return integer(json, 'eos_token_id', 2, 0, most.rows);
  return integer(new Map([['eos_token_id', ids[0]]]), 'eos_token_id', 2, 0, most.rows);
}

/** Null when the file says null: then whoever decodes must name the first token. */
function decoderStartOf(json: JsonObject, vocabSize: number): number | null {
  if (json.has('decoder_start_token_id') && json.get('decoder_start_token_id') === null) return null;
  return integer(json, 'decoder_start_token_id', 2, 0, vocabSize - 1);
}
