import { describe, expect, test } from 'vitest';
import { maxConfigBytes, parseConfig } from './parse-config.ts';

const longformer = { model_type: 'longformer' };
const parse = (fields: Record<string, unknown>): ReturnType<typeof parseConfig> =>
  parseConfig(JSON.stringify({ ...longformer, ...fields }));

/** The config of longformer-base-4096, with the legacy keys it has. */
const base4096 = {
  ...longformer,
  attention_mode: 'longformer',
  attention_probs_dropout_prob: 0.1,
  attention_window: Array(12).fill(512),
  bos_token_id: 0,
  eos_token_id: 2,
  gradient_checkpointing: false,
  hidden_act: 'gelu',
  hidden_dropout_prob: 0.1,
  hidden_size: 768,
  ignore_attention_mask: false,
  initializer_range: 0.02,
  intermediate_size: 3072,
  layer_norm_eps: 1e-5,
  max_position_embeddings: 4098,
  num_attention_heads: 12,
  num_hidden_layers: 12,
  pad_token_id: 1,
  sep_token_id: 2,
  type_vocab_size: 1,
  vocab_size: 50265,
};

describe('what a config says', () => {
  test('longformer-base-4096', () => {
    expect(parseConfig(JSON.stringify(base4096))).toEqual({
      modelType: 'longformer',
      head: 'none',
      vocabSize: 50265,
      hiddenSize: 768,
      layers: 12,
      heads: 12,
      headDim: 64,
      intermediateSize: 3072,
      hiddenActivation: 'gelu',
      maxPositionEmbeddings: 4098,
      typeVocabSize: 1,
      layerNormEps: 1e-5,
      padTokenId: 1,
      bosTokenId: 0,
      eosTokenId: 2,
      sepTokenId: 2,
      oneSidedWindow: Array(12).fill(256),
      dilation: Array(12).fill(Array(12).fill(1)),
      causal: false,
      labels: 2,
      labelNames: ['LABEL_0', 'LABEL_1'],
      tieWordEmbeddings: true,
    });
  });

  test('the defaults are those of the class, which no checkpoint has', () => {
    expect(parse({})).toMatchObject({
      head: 'none',
      vocabSize: 30522,
      hiddenSize: 768,
      layers: 12,
      heads: 12,
      intermediateSize: 3072,
      hiddenActivation: 'gelu',
      maxPositionEmbeddings: 512,
      typeVocabSize: 2,
      layerNormEps: 1e-12,
      padTokenId: 1,
      bosTokenId: 0,
      eosTokenId: 2,
      sepTokenId: 2,
      oneSidedWindow: Array(12).fill(256),
      labels: 2,
      tieWordEmbeddings: true,
    });
  });

  test('both sides of the window become one', () => {
    expect(parse({ num_hidden_layers: 3, attention_window: [2, 8, 512] }).oneSidedWindow).toEqual([1, 4, 256]);
    expect(parse({ num_hidden_layers: 3, attention_window: 64 }).oneSidedWindow).toEqual([32, 32, 32]);
    expect(parse({ num_hidden_layers: 1, attention_window: 2 ** 21 }).oneSidedWindow).toEqual([2 ** 20]);
  });

  test('a window wider than the longest document is no fault: HF takes it too', () => {
    expect(parse({ max_position_embeddings: 10, attention_window: 512 }).oneSidedWindow[0]).toBe(256);
  });

  test('dilation for all, per layer, per layer and head', () => {
    const small = { num_hidden_layers: 2, num_attention_heads: 2, hidden_size: 4 };
    const same = [
      [3, 3],
      [3, 3],
    ];
    expect(parse({ ...small, attention_dilation: 3 }).dilation).toEqual(same);
    expect(parse({ ...small, attention_dilation: [1, 2] }).dilation).toEqual([
      [1, 1],
      [2, 2],
    ]);
    expect(parse({ ...small, attention_dilation: [[1, 2], 3] }).dilation).toEqual([
      [1, 2],
      [3, 3],
    ]);
  });

  test('layers do not share their lists', () => {
    const { dilation } = parse({ num_hidden_layers: 2, attention_dilation: 2 });
    expect(dilation[0]).not.toBe(dilation[1]);
  });

  test('autoregressive is causal', () => {
    expect(parse({ autoregressive: true }).causal).toBe(true);
    expect(parse({ autoregressive: null }).causal).toBe(false);
  });

  test.each([
    ['LongformerModel', 'none'],
    ['LongformerForMaskedLM', 'maskedLm'],
    ['LongformerForSequenceClassification', 'sequenceClassification'],
    ['LongformerForQuestionAnswering', 'questionAnswering'],
    ['LongformerForTokenClassification', 'tokenClassification'],
    ['LongformerForMultipleChoice', 'multipleChoice'],
  ] as const)('%s is the head %s', (architecture, head) => {
    expect(parse({ architectures: [architecture] }).head).toBe(head);
    expect(parseConfig(JSON.stringify({ ...longformer, architectures: ['LongformerModel'] }), { head }).head).toBe(
      head,
    );
  });

  test('no architecture is the bare encoder', () => {
    expect(parse({ architectures: [] }).head).toBe('none');
    expect(parse({ architectures: null }).head).toBe('none');
  });

  test.each([
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
  ])('hidden_act %s is %s', (name, activation) => {
    expect(parse({ hidden_act: name }).hiddenActivation).toBe(activation);
  });

  test('labels: names, a number, or nothing', () => {
    const named = parse({ id2label: { 1: 'b', 0: 'a', 2: '__proto__' } });
    expect(named).toMatchObject({ labels: 3, labelNames: ['a', 'b', '__proto__'] });
    expect(parse({ num_labels: 3 })).toMatchObject({ labels: 3, labelNames: ['LABEL_0', 'LABEL_1', 'LABEL_2'] });
    expect(parse({ num_labels: 1, id2label: { 0: 'score' } }).labelNames).toEqual(['score']);
    expect(parse({ num_labels: null, id2label: null }).labels).toBe(2);
    expect(parse({ num_labels: null, id2label: { 0: 'score' } }).labels).toBe(1);
  });

  test.each([
    ['regression', 'regression'],
    ['single_label_classification', 'singleLabelClassification'],
    ['multi_label_classification', 'multiLabelClassification'],
    [null, undefined],
  ])('problem_type %s', (problem_type, problemType) => {
    expect(parse({ problem_type }).problemType).toBe(problemType);
  });

  test('__proto__ is an unknown key like any other, and of two equal keys the last counts', () => {
    const text = '{"__proto__":{"hidden_size":1},"model_type":"bert","model_type":"longformer"}';
    expect(parseConfig(text).hiddenSize).toBe(768);
    expect(({} as Record<string, unknown>).hidden_size).toBeUndefined();
  });

  test('a million levels in a key that is not read', () => {
    const depth = 1_000_000;
    const text = `{"model_type":"longformer","x":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    expect(parseConfig(text).layers).toBe(12);
  });
});

describe('what a config may not say', () => {
  const integerFields: [string, number, number, number?][] = [
    ['num_hidden_layers', 1, 1024],
    ['num_attention_heads', 1, 1024],
    ['hidden_size', 1, 16777216],
    ['intermediate_size', 1, 16777216],
    ['vocab_size', 1, 2147483647],
    ['pad_token_id', 0, 30521],
    ['max_position_embeddings', 3, 2147483647],
    ['type_vocab_size', 1, 2147483647],
    ['bos_token_id', 0, 2147483647],
    ['eos_token_id', 0, 2147483647],
    ['sep_token_id', 0, 2147483647],
    ['num_labels', 1, 100000],
  ];
  const wrongIntegers: [string, unknown, string][] = integerFields.flatMap(([key, lowest, highest]) => {
    const wrong: [unknown, string][] = [
      [lowest - 1, String(lowest - 1)],
      [highest + 1, String(highest + 1)],
      [1.5, '1.5'],
      ['1', '"1"'],
      [true, 'true'],
      [[1], 'a list of 1'],
      [{}, 'an object'],
    ];
    return wrong.map(([value, got]): [string, unknown, string] => [
      key,
      value,
      `"${key}" expected an integer in ${lowest}..${highest}, got ${got}.`,
    ]);
  });
  test.each(wrongIntegers)('%s %j', (key, value, message) => {
    expect(() => parse({ [key]: value })).toThrow(
      expect.objectContaining({ code: 'E_CONFIG', name: 'ConfigError', message: `parseConfig: ${message}` }),
    );
  });

  const activations =
    'one of gelu, gelu_python, gelu_new, gelu_fast, gelu_accurate, gelu_pytorch_tanh, gelu_python_tanh, quick_gelu, relu, relu2, ' +
    'relu6, silu, swish, mish, tanh, sigmoid, linear';
  const classes =
    'one of LongformerModel, LongformerForMaskedLM, LongformerForSequenceClassification, LongformerForQuestionAnswering, ' +
    'LongformerForTokenClassification, LongformerForMultipleChoice';
  const noGaps = '\n  Hint: a dilation of 1 means no gaps.';
  const window = 'an even number >= 2';
  const own =
    "\n  Hint: this is the authors' own format (one-sided windows, prefix roberta.), which needs its tensors to be read: " +
    'openCheckpoint and longformer convert do.';

  const wrong: [string, Record<string, unknown>, string, string?][] = [
    ['pad_token_id null', { pad_token_id: null }, '"pad_token_id" expected an integer in 0..30521, got null.'],
    [
      'pad_token_id outside a small vocabulary',
      { vocab_size: 5, pad_token_id: 5 },
      '"pad_token_id" expected an integer in 0..4, got 5.',
    ],
    [
      'heads that do not divide',
      { hidden_size: 10, num_attention_heads: 4 },
      '"hidden_size" expected a multiple of num_attention_heads (4), got 10.',
    ],
    [
      'no room for one token',
      { pad_token_id: 9, max_position_embeddings: 10 },
      '"max_position_embeddings" expected an integer in 11..2147483647, got 10.',
    ],

    [
      'window 511',
      { attention_window: 511 },
      `"attention_window" expected ${window}, got 511.\n  Hint: HF counts both sides; a window of 255 on each side is written 510.`,
    ],
    ['window 1', { attention_window: 1 }, `"attention_window" expected ${window}, got 1.`],
    ['window 0', { attention_window: 0 }, `"attention_window" expected ${window}, got 0.`],
    ['window -2', { attention_window: -2 }, `"attention_window" expected ${window}, got -2.`],
    ['window 2.5', { attention_window: 2.5 }, `"attention_window" expected ${window}, got 2.5.`],
    ['window "512"', { attention_window: '512' }, `"attention_window" expected ${window}, got "512".`],
    ['window object', { attention_window: {} }, `"attention_window" expected ${window}, got an object.`],
    [
      'window too large',
      { attention_window: 2 ** 21 + 2 },
      `"attention_window" expected at most 2097152, got 2097154.`,
    ],
    [
      'windows too few',
      { attention_window: [512] },
      '"attention_window" expected 12 items, one per layer (num_hidden_layers), got 1.',
    ],
    [
      'windows too many',
      { num_hidden_layers: 1, attention_window: [2, 2] },
      '"attention_window" expected 1 items, one per layer (num_hidden_layers), got 2.',
    ],
    [
      'windows empty',
      { attention_window: [] },
      '"attention_window" expected 12 items, one per layer (num_hidden_layers), got 0.',
    ],
    [
      'windows nested',
      { num_hidden_layers: 1, attention_window: [[2]] },
      `"attention_window[0]" expected ${window}, got a list of 1.`,
    ],
    [
      'one window odd',
      { num_hidden_layers: 4, attention_window: [2, 4, 6, 511] },
      `"attention_window[3]" expected ${window}, got 511.\n  Hint: HF counts both sides; a window of 255 on each side is written 510.`,
    ],
    [
      'one window null',
      { num_hidden_layers: 1, attention_window: [null] },
      `"attention_window[0]" expected ${window}, got null.`,
    ],

    [
      'dilation 0',
      { attention_dilation: 0 },
      `"attention_dilation" expected an integer in 1..1048576, got 0.${noGaps}`,
    ],
    [
      'dilation 1.5',
      { attention_dilation: 1.5 },
      `"attention_dilation" expected an integer in 1..1048576, got 1.5.${noGaps}`,
    ],
    [
      'dilation too large',
      { attention_dilation: 1e9 },
      `"attention_dilation" expected an integer in 1..1048576, got 1000000000.${noGaps}`,
    ],
    [
      'dilation text',
      { attention_dilation: '2' },
      `"attention_dilation" expected an integer in 1..1048576, got "2".${noGaps}`,
    ],
    [
      'dilations too few',
      { attention_dilation: [1] },
      '"attention_dilation" expected 12 items, one per layer (num_hidden_layers), got 1.',
    ],
    [
      'one dilation negative',
      { num_hidden_layers: 2, attention_dilation: [1, -1] },
      `"attention_dilation[1]" expected an integer in 1..1048576, got -1.${noGaps}`,
    ],
    [
      'dilation per head, too few',
      { num_hidden_layers: 1, attention_dilation: [[1, 2]] },
      '"attention_dilation[0]" expected 12 items, one per head (num_attention_heads), got 2.',
    ],
    [
      'dilation of one head 0',
      { num_hidden_layers: 1, num_attention_heads: 2, attention_dilation: [[1, 0]] },
      `"attention_dilation[0][1]" expected an integer in 1..1048576, got 0.${noGaps}`,
    ],
    [
      'dilation too deep',
      { num_hidden_layers: 1, num_attention_heads: 1, attention_dilation: [[[1]]] },
      `"attention_dilation[0][0]" expected an integer in 1..1048576, got a list of 1.${noGaps}`,
    ],

    ['eps 0', { layer_norm_eps: 0 }, '"layer_norm_eps" expected a finite number > 0, got 0.'],
    ['eps negative', { layer_norm_eps: -1e-5 }, '"layer_norm_eps" expected a finite number > 0, got -0.00001.'],
    ['eps text', { layer_norm_eps: '1e-5' }, '"layer_norm_eps" expected a finite number > 0, got "1e-5".'],
    [
      'problem_type unknown',
      { problem_type: 'ranking' },
      '"problem_type" expected one of regression, single_label_classification, multi_label_classification, got "ranking".',
    ],
    ['autoregressive 1', { autoregressive: 1 }, '"autoregressive" expected true or false, got 1.'],
    [
      'tie_word_embeddings text',
      { tie_word_embeddings: 'yes' },
      '"tie_word_embeddings" expected true or false, got "yes".',
    ],

    ['hidden_act a number', { hidden_act: 1 }, '"hidden_act" expected the name of an activation, got 1.'],
    [
      'hidden_act unknown',
      { hidden_act: 'gelu_10' },
      `"hidden_act" expected ${activations}, got "gelu_10".`,
      'E_UNSUPPORTED',
    ],
    [
      'hidden_act of a prototype',
      { hidden_act: 'constructor' },
      `"hidden_act" expected ${activations}, got "constructor".`,
      'E_UNSUPPORTED',
    ],
    [
      'hidden_act very long',
      { hidden_act: 'x'.repeat(1000) },
      `"hidden_act" expected ${activations}, got "${'x'.repeat(40)}…".`,
      'E_UNSUPPORTED',
    ],

    [
      'architectures text',
      { architectures: 'LongformerModel' },
      '"architectures" expected a list of class names, got "LongformerModel".',
    ],
    [
      'architectures unknown',
      { architectures: ['LongformerForCausalLM'] },
      `"architectures[0]" expected ${classes}, got "LongformerForCausalLM".\n  Hint: read it as another class with the option \`head\`.`,
      'E_UNSUPPORTED',
    ],
    [
      'architectures a number',
      { architectures: [1] },
      `"architectures[0]" expected ${classes}, got 1.\n  Hint: read it as another class with the option \`head\`.`,
      'E_UNSUPPORTED',
    ],

    ['model_type missing', { model_type: undefined }, '"model_type" expected "longformer", got nothing.'],
    ['model_type a number', { model_type: 1 }, '"model_type" expected "longformer", got 1.'],
    [
      'model_type other',
      { model_type: 'bert' },
      '"model_type" expected "longformer", got "bert".\n  Hint: only Longformer checkpoints can be read.',
      'E_UNSUPPORTED',
    ],
    [
      'LED',
      { model_type: 'led' },
      '"model_type" expected "longformer", got "led".\n  Hint: this is LED, the encoder-decoder: openLedCheckpoint reads it, and the task summarization runs it.',
      'E_UNSUPPORTED',
    ],
    [
      'the authors’ own',
      { model_type: 'roberta', attention_mode: 'sliding_chunks' },
      `"attention_mode" expected "longformer" or nothing, as Hugging Face writes it, got "sliding_chunks".${own}`,
      'E_UNSUPPORTED',
    ],

    [
      'question answering with 3 labels',
      { architectures: ['LongformerForQuestionAnswering'], num_labels: 3 },
      '"num_labels" expected 2 for question answering (start and end), got 3.',
    ],
    ['id2label a list', { id2label: ['a'] }, '"id2label" expected an object, got a list of 1.'],
    ['id2label text', { id2label: 'a' }, '"id2label" expected an object, got "a".'],
    ['id2label empty', { id2label: {} }, '"id2label" expected 1..100000 labels, got 0.'],
    ['id2label with a hole', { id2label: { 0: 'a', 2: 'c' } }, '"id2label[1]" expected a label name, got nothing.'],
    [
      'id2label with 0 twice',
      { id2label: { '0': 'a', '00': 'b' } },
      '"id2label[1]" expected a label name, got nothing.',
    ],
    ['id2label negative', { id2label: { '-1': 'a' } }, '"id2label[0]" expected a label name, got nothing.'],
    ['id2label with numbers', { id2label: { 0: 5 } }, '"id2label[0]" expected a label name, got 5.'],
    [
      'id2label unlike num_labels',
      { id2label: { 0: 'a' }, num_labels: 2 },
      '"num_labels" expected 1, the size of id2label, got 2.\n  Hint: remove one of the two.',
    ],
  ];
  test.each(wrong)('%s', (_, fields, message, code = 'E_CONFIG') => {
    expect(() => parse(fields)).toThrow(expect.objectContaining({ code, message: `parseConfig: ${message}` }));
  });

  test('id2label with too many labels', () => {
    const id2label = Object.fromEntries(Array.from({ length: 100_001 }, (_, i) => [i, '']));
    const message = 'parseConfig: "id2label" expected 1..100000 labels, got 100001.';
    expect(() => parse({ id2label })).toThrow(expect.objectContaining({ message }));
  });

  const texts: [string, string, string][] = [
    [
      '1e400 is Infinity',
      '{"model_type":"longformer","layer_norm_eps":1e400}',
      '"layer_norm_eps" expected a finite number > 0, got Infinity.',
    ],
    [
      '1e400 layers',
      '{"model_type":"longformer","num_hidden_layers":1e400}',
      '"num_hidden_layers" expected an integer in 1..1024, got Infinity.',
    ],
    [
      'a million levels',
      `{"model_type":${'['.repeat(1e6)}${']'.repeat(1e6)}}`,
      '"model_type" expected "longformer", got a list of 1.',
    ],
    ['not JSON', '{', '"config.json" expected JSON, got other text.'],
    ['empty', '', '"config.json" expected JSON, got other text.'],
    ['byte order mark', '\ufeff{}', '"config.json" expected JSON, got other text.'],
    ['a list', '[]', '"config.json" expected a JSON object, got a list of 0.'],
    ['null', 'null', '"config.json" expected a JSON object, got null.'],
    ['a number', '1', '"config.json" expected a JSON object, got 1.'],
    ['too long', ' '.repeat(maxConfigBytes + 1), '"config.json" expected at most 10000000 characters, got 10000001.'],
  ];
  test.each(texts)('%s', (_, text, message) => {
    expect(() => parseConfig(text)).toThrow(
      expect.objectContaining({ code: 'E_CONFIG', message: `parseConfig: ${message}` }),
    );
  });

  test('the cause of a syntax error is kept', () => {
    expect(() => parseConfig('{')).toThrow(expect.objectContaining({ cause: expect.any(SyntaxError) }));
  });
});
