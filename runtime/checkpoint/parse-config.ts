/**
 * config.json → LongformerConfig: every field checked, Hugging Face's defaults filled in, one clear error for the first fault.
 *
 * Hugging Face counts both sides of the window, we count one: attention_window is halved HERE and nowhere else.
 * Unknown keys are ignored, as Hugging Face does. Source: HF LongformerConfig, PreTrainedConfig, ACT2FN.
 */
import type { Activation, LongformerConfig, LongformerHead } from '../../contract/config.ts';
import { ConfigError, UnsupportedError } from '../../contract/errors.ts';
import { describe, type JsonObject, parseJsonObject } from './json-fields.ts';

const where = 'parseConfig';

export interface ParseConfigOptions {
  /** Use the checkpoint as this model class, whatever `architectures` says. */
  readonly head?: LongformerHead;
}

/** Larger config files are refused unread. Real ones have 1 kB, or 100 kB with thousands of label names. */
export const maxConfigBytes = 10_000_000;

/** Bounds that no real model comes near, so that no number of a file decides how much memory is taken. */
const most = {
  layers: 1024,
  heads: 1024,
  size: 2 ** 24,
  rows: 2 ** 31 - 1,
  labels: 100_000,
  window: 2 ** 21,
  dilation: 2 ** 20,
};

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
 * Names of ACT2FN with the same formula. All the tanh approximations differ in rounding only; gelu_fast writes sqrt(2/π) with
 * 10 digits (relative difference below 4e-12).
 */
const activationOfName = new Map<string, Activation>([
  ['gelu', 'gelu'],
  ['gelu_python', 'gelu'],
  ['gelu_new', 'geluTanh'],
  ['gelu_fast', 'geluTanh'],
  ['gelu_accurate', 'geluTanh'],
  ['gelu_pytorch_tanh', 'geluTanh'],
  ['gelu_python_tanh', 'geluTanh'],
  ['quick_gelu', 'quickGelu'],
  ['relu', 'relu'],
  ['relu2', 'relu2'],
  ['relu6', 'relu6'],
  ['silu', 'silu'],
  ['swish', 'silu'],
  ['mish', 'mish'],
  ['tanh', 'tanh'],
  ['sigmoid', 'sigmoid'],
  ['linear', 'linear'],
]);

/**
 * Text of a config.json → config.
 *
 * @throws ConfigError naming the first field that is wrong; UnsupportedError for other models, the authors' own checkpoints,
 *   unknown classes and activations, each with what would work.
 */
export function parseConfig(text: string, options: ParseConfigOptions = {}): LongformerConfig {
  const json = parseJsonObject(text, maxConfigBytes, (expected, got, cause) => {
    throw new ConfigError({ where, name: 'config.json', expected, got, cause });
  });
  expectLongformer(json);
  const layers = integer(json, 'num_hidden_layers', 12, 1, most.layers);
  const heads = integer(json, 'num_attention_heads', 12, 1, most.heads);
  const hiddenSize = integer(json, 'hidden_size', 768, 1, most.size);
  if (hiddenSize % heads !== 0) {
    fail('hidden_size', `a multiple of num_attention_heads (${heads})`, String(hiddenSize));
  }
  const vocabSize = integer(json, 'vocab_size', 30522, 1, most.rows);
  const padTokenId = integer(json, 'pad_token_id', 1, 0, vocabSize - 1);
  const head = options.head ?? headOf(json);
  const labelNames = labelNamesOf(json);
  if (head === 'questionAnswering' && labelNames.length !== 2) {
    fail('num_labels', '2 for question answering (start and end)', String(labelNames.length));
  }
  return {
    modelType: 'longformer',
    head,
    vocabSize,
    hiddenSize,
    layers,
    heads,
    headDim: hiddenSize / heads,
    intermediateSize: integer(json, 'intermediate_size', 3072, 1, most.size),
    hiddenActivation: activationOf(json),
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
  };
}

/** @throws ConfigError, UnsupportedError unless this is a config of Hugging Face's Longformer classes. */
function expectLongformer(json: JsonObject): void {
  const modelType = json.get('model_type');
  const mode = json.get('attention_mode');
  if (mode !== undefined && mode !== 'longformer') {
    unsupported(
      'attention_mode',
      '"longformer" or nothing, as Hugging Face writes it',
      mode,
      "this is the authors' own format (one-sided windows, prefix roberta.); converting it comes later. " +
        "Use Hugging Face's version of the checkpoint.",
    );
  }
  if (modelType === 'led') {
    unsupported(
      'model_type',
      '"longformer"',
      modelType,
      'LED, the encoder-decoder, comes later. Use a Longformer encoder.',
    );
  }
  if (typeof modelType !== 'string') fail('model_type', '"longformer"', describe(modelType));
  if (modelType !== 'longformer') {
    unsupported('model_type', '"longformer"', modelType, 'only Longformer checkpoints can be read.');
  }
}

function headOf(json: JsonObject): LongformerHead {
  const architectures = json.get('architectures') ?? [];
  if (!Array.isArray(architectures)) return fail('architectures', 'a list of class names', describe(architectures));
  const [architecture] = architectures;
  if (architecture === undefined) return 'none';
  const head = headOfArchitecture.get(architecture);
  if (head !== undefined) return head;
  const names = [...headOfArchitecture.keys()].join(', ');
  const hint = 'read it as another class with the option `head`.';
  return unsupported('architectures[0]', `one of ${names}`, architecture, hint);
}

function activationOf(json: JsonObject): Activation {
  const name = json.get('hidden_act') ?? 'gelu';
  if (typeof name !== 'string') return fail('hidden_act', 'the name of an activation', describe(name));
  const names = [...activationOfName.keys()].join(', ');
  return activationOfName.get(name) ?? unsupported('hidden_act', `one of ${names}`, name);
}

/** The field, or its default when the key is absent. Subtle: null is not absent; HF would fail on it later. */
function integer(json: JsonObject, key: string, absent: number, lowest: number, highest: number): number {
  const value = json.has(key) ? json.get(key) : absent;
  if (typeof value === 'number' && Number.isInteger(value) && value >= lowest && value <= highest) return value;
  return fail(key, `an integer in ${lowest}..${highest}`, describe(value));
}

function layerNormEpsOf(json: JsonObject): number {
  const eps = json.get('layer_norm_eps') ?? 1e-12;
  // JSON.parse turns 1e400 into Infinity.
  if (typeof eps === 'number' && eps > 0 && eps < Infinity) return eps;
  return fail('layer_norm_eps', 'a finite number > 0', describe(eps));
}

/** (L) Both sides, as in the file. */
function attentionWindowOf(json: JsonObject, layers: number): number[] {
  const expectEven = (name: string, value: unknown): number => {
    const even = typeof value === 'number' && Number.isInteger(value) && value % 2 === 0;
    if (even && value >= 2 && value <= most.window) return value;
    const hint =
      typeof value === 'number' && value > 2 && value % 2 === 1
        ? `HF counts both sides; a window of ${value >> 1} on each side is written ${2 * (value >> 1)}.`
        : undefined;
    const expected = even && value > most.window ? `at most ${most.window}` : 'an even number >= 2';
    return fail(name, expected, describe(value), hint);
  };
  const value = json.get('attention_window') ?? 512;
  if (!Array.isArray(value)) return new Array<number>(layers).fill(expectEven('attention_window', value));
  expectOnePerLayer('attention_window', value, layers);
  return value.map((one, layer) => expectEven(`attention_window[${layer}]`, one));
}

/** (L)(H) One number for all, one per layer, or one per layer and head. */
function dilationOf(json: JsonObject, layers: number, heads: number): number[][] {
  const expectPositive = (name: string, value: unknown): number => {
    const integer = typeof value === 'number' && Number.isInteger(value);
    if (integer && value >= 1 && value <= most.dilation) return value;
    return fail(name, `an integer in 1..${most.dilation}`, describe(value), 'a dilation of 1 means no gaps.');
  };
  const allHeads = (name: string, value: unknown): number[] =>
    new Array<number>(heads).fill(expectPositive(name, value));
  const value = json.get('attention_dilation') ?? 1;
  if (!Array.isArray(value)) return Array.from({ length: layers }, () => allHeads('attention_dilation', value));
  expectOnePerLayer('attention_dilation', value, layers);
  return value.map((one: unknown, layer) => {
    const name = `attention_dilation[${layer}]`;
    if (!Array.isArray(one)) return allHeads(name, one);
    if (one.length !== heads) fail(name, `${heads} items, one per head (num_attention_heads)`, String(one.length));
    return one.map((each, head) => expectPositive(`${name}[${head}]`, each));
  });
}

function expectOnePerLayer(name: string, list: readonly unknown[], layers: number): void {
  if (list.length === layers) return;
  fail(name, `${layers} items, one per layer (num_hidden_layers)`, String(list.length));
}

function booleanOf(json: JsonObject, key: string, absent: boolean): boolean {
  const value = json.get(key) ?? absent;
  return typeof value === 'boolean' ? value : fail(key, 'true or false', describe(value));
}

/** Label names by id. HF: the size of id2label is the number of labels; without it num_labels, or 2, with names LABEL_0, …. */
function labelNamesOf(json: JsonObject): string[] {
  const names = json.get('id2label') ?? undefined;
  const count = json.get('num_labels') === null ? 2 : integer(json, 'num_labels', 2, 1, most.labels);
  if (names === undefined) return Array.from({ length: count }, (_, id) => `LABEL_${id}`);
  if (typeof names !== 'object' || Array.isArray(names)) return fail('id2label', 'an object', describe(names));
  // A Map: names like __proto__ are only names.
  const byId = new Map<string, unknown>(Object.entries(names as object));
  if (byId.size < 1 || byId.size > most.labels) fail('id2label', `1..${most.labels} labels`, String(byId.size));
  if (json.has('num_labels') && json.get('num_labels') !== null && count !== byId.size) {
    fail('num_labels', `${byId.size}, the size of id2label`, String(count), 'remove one of the two.');
  }
  return Array.from({ length: byId.size }, (_, id) => {
    const name = byId.get(String(id));
    return typeof name === 'string' ? name : fail(`id2label[${id}]`, 'a label name', describe(name));
  });
}

function fail(name: string, expected: string, got: string, hint?: string): never {
  throw new ConfigError({ where, name, expected, got, hint });
}

function unsupported(name: string, expected: string, value: unknown, hint?: string): never {
  throw new UnsupportedError({ where, name, expected, got: describe(value), hint });
}
