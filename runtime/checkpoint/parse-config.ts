/**
 * config.json → LongformerConfig: every field checked, Hugging Face's defaults filled in, one clear error for the first fault.
 *
 * Hugging Face counts both sides of the window, we count one: attention_window is halved here and in parse-led-config.ts, and nowhere else.
 * Unknown keys are ignored, as Hugging Face does. Source: HF LongformerConfig, PreTrainedConfig.
 * Read before: config-fields.ts. Read next: parse-led-config.ts.
 */
import type { LongformerConfig, LongformerHead } from '../../contract/config.ts';
import {
  activationOf,
  attentionWindowOf,
  booleanOf,
  dilationOf,
  fail,
  headOf,
  integer,
  labelNamesOf,
  most,
  unsupported,
} from './config-fields.ts';
import { describe, type JsonObject, parseJsonObject } from './json-fields.ts';

export interface ParseConfigOptions {
  /** Use the checkpoint as this model class, whatever `architectures` says. */
  readonly head?: LongformerHead;
}

/** Larger config files are refused unread. Real ones have 1 kB, or 100 kB with thousands of label names. */
export const maxConfigBytes = 10_000_000;

/** HF name → ours. The last word of the head's class name; `none` is the bare encoder. */
const headOfArchitecture = new Map<string, LongformerHead>([
  ['LongformerModel', 'none'],
  ['LongformerForMaskedLM', 'maskedLm'],
  ['LongformerForSequenceClassification', 'sequenceClassification'],
  ['LongformerForQuestionAnswering', 'questionAnswering'],
  ['LongformerForTokenClassification', 'tokenClassification'],
  ['LongformerForMultipleChoice', 'multipleChoice'],
]);

/**
 * Text of a config.json → config of a Longformer. LED's: parseLedConfig.
 *
 * @throws ConfigError naming the first field that is wrong; UnsupportedError for other models, the authors' own checkpoints,
 *   unknown classes and activations, each with what would work.
 */
export function parseConfig(text: string, options: ParseConfigOptions = {}): LongformerConfig {
  return longformerConfigOf(configFields(text), options);
}

/** The fields of a config.json. @throws ConfigError when it is too large or not a JSON object. */
export function configFields(text: string): JsonObject {
  return parseJsonObject(text, maxConfigBytes, (expected, got, cause) =>
    fail('config.json', expected, got, undefined, cause),
  );
}

export function longformerConfigOf(json: JsonObject, options: ParseConfigOptions): LongformerConfig {
  expectLongformer(json);
  const layers = { key: 'num_hidden_layers', value: integer(json, 'num_hidden_layers', 12, 1, most.layers) };
  const heads = { key: 'num_attention_heads', value: integer(json, 'num_attention_heads', 12, 1, most.heads) };
  const hiddenSize = integer(json, 'hidden_size', 768, 1, most.size);
  if (hiddenSize % heads.value !== 0) {
    fail('hidden_size', `a multiple of num_attention_heads (${heads.value})`, String(hiddenSize));
  }
  const vocabSize = integer(json, 'vocab_size', 30522, 1, most.rows);
  const padTokenId = integer(json, 'pad_token_id', 1, 0, vocabSize - 1);
  const head = options.head ?? headOf(json, headOfArchitecture);
  const labelNames = labelNamesOf(json);
  if (head === 'questionAnswering' && labelNames.length !== 2) {
    fail('num_labels', '2 for question answering (start and end)', String(labelNames.length));
  }
  return {
    modelType: 'longformer',
    head,
    vocabSize,
    hiddenSize,
    layers: layers.value,
    heads: heads.value,
    headDim: hiddenSize / heads.value,
    intermediateSize: integer(json, 'intermediate_size', 3072, 1, most.size),
    hiddenActivation: activationOf(json, 'hidden_act'),
    // Numbering starts at pad_token_id + 1, and there must be room for one token.
    maxPositionEmbeddings: integer(json, 'max_position_embeddings', 512, padTokenId + 2, most.rows),
    typeVocabSize: integer(json, 'type_vocab_size', 2, 1, most.rows),
    layerNormEps: layerNormEpsOf(json),
    padTokenId,
    bosTokenId: integer(json, 'bos_token_id', 0, 0, most.rows),
    eosTokenId: integer(json, 'eos_token_id', 2, 0, most.rows),
    sepTokenId: integer(json, 'sep_token_id', 2, 0, most.rows),
    oneSidedWindow: attentionWindowOf(json, layers).map(attentionWindow => attentionWindow / 2),
    dilation: dilationOf(json, layers, heads),
    causal: booleanOf(json, 'autoregressive', false),
    labels: labelNames.length,
    labelNames,
    tieWordEmbeddings: booleanOf(json, 'tie_word_embeddings', true),
    ...problemTypeOf(json),
  };
}

/** @throws ConfigError, UnsupportedError unless this is a config of Hugging Face's Longformer classes. */
function expectLongformer(json: JsonObject): void {
  const modelType = json.get('model_type');
  const mode = json.get('attention_mode');
  if (modelType === 'led') {
    unsupported(
      'model_type',
      '"longformer"',
      modelType,
      'this is LED, the encoder-decoder: openLedCheckpoint reads it, and the task summarization runs it.',
    );
  }
  if (mode !== undefined && mode !== 'longformer') {
    unsupported(
      'attention_mode',
      '"longformer" or nothing, as Hugging Face writes it',
      mode,
      "this is the authors' own format (one-sided windows, prefix roberta.), which needs its tensors to be read: " +
        'openCheckpoint and longformer convert do.',
    );
  }
  if (typeof modelType !== 'string') fail('model_type', '"longformer"', describe(modelType));
  if (modelType !== 'longformer') {
    unsupported('model_type', '"longformer"', modelType, 'only Longformer checkpoints can be read.');
  }
}

function layerNormEpsOf(json: JsonObject): number {
  const eps = json.get('layer_norm_eps') ?? 1e-12;
  // JSON.parse turns 1e400 into Infinity.
  if (typeof eps === 'number' && eps > 0 && eps < Infinity) return eps;
  return fail('layer_norm_eps', 'a finite number > 0', describe(eps));
}

const problemTypes = new Map<unknown, NonNullable<LongformerConfig['problemType']>>([
  ['regression', 'regression'],
  ['single_label_classification', 'singleLabelClassification'],
  ['multi_label_classification', 'multiLabelClassification'],
]);

function problemTypeOf(json: JsonObject): Pick<LongformerConfig, 'problemType'> {
  const value = json.get('problem_type') ?? null;
  if (value === null) return {};
  const problemType = problemTypes.get(value);
  if (problemType) return { problemType };
  return fail('problem_type', `one of ${[...problemTypes.keys()].join(', ')}`, describe(value));
}
