/** LED checkpoints: prefixes, the four names of the word table, what may be absent. Everything else is open.test.ts. */
import { describe, expect, test } from 'vitest';
import type { LedConfig } from '../../contract/config.ts';
import { createMemorySource } from './byte-source.ts';
import { isLedCheckpoint, type OpenedCheckpoint, openLedCheckpointFiles, openModelCheckpointFiles } from './open.ts';
import { parseLedConfig } from './parse-led-config.ts';
import { writeSafetensors } from './safetensors-writer.ts';
import { expectedTensors } from './tensor-names.ts';

const tiny = {
  model_type: 'led',
  vocab_size: 11,
  d_model: 4,
  encoder_layers: 1,
  decoder_layers: 2,
  encoder_attention_heads: 2,
  decoder_attention_heads: 1,
  encoder_ffn_dim: 6,
  decoder_ffn_dim: 5,
  max_encoder_position_embeddings: 8,
  max_decoder_position_embeddings: 7,
  attention_window: 4,
};
const configOf = (architecture: string, fields: object = {}): string =>
  JSON.stringify({ ...tiny, architectures: [architecture], ...fields });
const generation = configOf('LEDForConditionalGeneration');

interface Filled {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly data: Float32Array;
}
const filled = (name: string, shape: readonly number[], value: number): Filled => ({
  name,
  shape,
  dtype: 'F32',
  data: new Float32Array(shape.reduce((product, extent) => product * extent, 1)).fill(value),
});

/** Every tensor of a config as Hugging Face's task classes name it; the i-th is filled with i + 1. */
const tensorsOf = (config: string, prefix = 'led.'): Filled[] =>
  expectedTensors(parseLedConfig(config)).map(({ name, shape }, i) =>
    filled(/^(encoder|decoder|shared)/.test(name) ? prefix + name : name, shape, i + 1),
  );

const filesOf = (config: string, tensors: readonly Filled[]): Parameters<typeof openLedCheckpointFiles>[0] => ({
  name: 'somewhere',
  async open(file) {
    if (file === 'config.json') return createMemorySource(new TextEncoder().encode(config));
    return file === 'model.safetensors' ? createMemorySource(writeSafetensors(tensors)) : undefined;
  },
  openListed: async () => undefined,
});
const open = (config: string, tensors = tensorsOf(config)): Promise<OpenedCheckpoint<LedConfig>> =>
  openLedCheckpointFiles(filesOf(config, tensors));
const fillOf = async (checkpoint: OpenedCheckpoint<LedConfig>, name: string): Promise<number> =>
  (await checkpoint.tensor(name)).data[0]!;

const table = [11, 4];
const words = ['shared', 'encoder.embed_tokens', 'decoder.embed_tokens', 'lm_head'].map(name => `${name}.weight`);

describe('names', () => {
  test.each(['LEDModel', 'LEDForConditionalGeneration', 'LEDForQuestionAnswering', 'LEDForSequenceClassification'])(
    'every tensor of %s is found and used',
    async architecture => {
      const checkpoint = await open(configOf(architecture));
      expect(checkpoint.unused).toEqual([]);
      for (const { name, shape } of expectedTensors(checkpoint.config)) expect(checkpoint.shape(name)).toEqual(shape);
    },
  );

  test.each(['led.', 'model.', ''])('prefix "%s"', async prefix => {
    const checkpoint = await open(generation, tensorsOf(generation, prefix));
    expect(await fillOf(checkpoint, 'shared.weight')).toBe(1);
  });

  test('the numbers of led-base and led-large', () => {
    const count = (fields: object): number =>
      expectedTensors(parseLedConfig(JSON.stringify({ model_type: 'led', ...fields }))).reduce(
        (sum, { shape }) => sum + shape.reduce((product, extent) => product * extent, 1),
        0,
      );
    const sides = (size: number, heads: number, layers: number): object => ({
      d_model: size,
      encoder_ffn_dim: 4 * size,
      decoder_ffn_dim: 4 * size,
      encoder_attention_heads: heads,
      decoder_attention_heads: heads,
      encoder_layers: layers,
      decoder_layers: layers,
    });
    expect(count(sides(768, 12, 6))).toBe(161_844_480);
    expect(count({})).toBe(459_801_600);
  });

  test('either family is opened by model_type', async () => {
    const checkpoint = await openModelCheckpointFiles(filesOf(generation, tensorsOf(generation)));
    expect(isLedCheckpoint(checkpoint)).toBe(true);
  });
});

describe('the word table has four names', () => {
  const others = tensorsOf(generation).filter(({ name }) => name !== 'led.shared.weight');
  test.each(['led.shared', 'led.encoder.embed_tokens', 'led.decoder.embed_tokens', 'lm_head'])(
    '%s is enough',
    async name => {
      const checkpoint = await open(generation, [...others, filled(`${name}.weight`, table, 42)]);
      for (const each of words) expect(await fillOf(checkpoint, each)).toBe(42);
      expect(checkpoint.config.tieWordEmbeddings).toBe(true);
      expect(checkpoint.unused).toEqual([]);
    },
  );

  test('equal copies are one table', async () => {
    const copies = ['led.shared', 'led.encoder.embed_tokens', 'lm_head'].map(name =>
      filled(`${name}.weight`, table, 42),
    );
    const checkpoint = await open(generation, [...others, ...copies]);
    expect(checkpoint.config.tieWordEmbeddings).toBe(true);
    expect(checkpoint.remarks).toEqual([]);
  });

  test('a differing one is used for itself, and that is said', async () => {
    const tables = [filled('led.shared.weight', table, 42), filled('lm_head.weight', table, 43)];
    const checkpoint = await open(generation, [...others, ...tables]);
    expect(checkpoint.config.tieWordEmbeddings).toBe(false);
    expect(await Promise.all(words.map(name => fillOf(checkpoint, name)))).toEqual([42, 42, 42, 43]);
    expect(checkpoint.remarks).toEqual([
      'tie_word_embeddings is true but lm_head.weight differs from shared.weight: not tied',
    ]);
  });

  test('untied: each for itself, and the sides fall back on the shared one', async () => {
    const config = configOf('LEDForConditionalGeneration', { tie_word_embeddings: false });
    const tables = [filled('led.shared.weight', table, 42), filled('lm_head.weight', table, 43)];
    const checkpoint = await open(config, [...others, ...tables]);
    expect(await Promise.all(words.map(name => fillOf(checkpoint, name)))).toEqual([42, 42, 42, 43]);
  });

  test('untied without lm_head', async () => {
    const config = configOf('LEDForConditionalGeneration', { tie_word_embeddings: false });
    await expect(open(config, [...others, filled('led.shared.weight', table, 42)])).rejects.toMatchObject({
      reason: 'ConfigMismatch',
      message:
        'openCheckpoint: "tensors" expected what config.json says (head conditionalGeneration), got 1 missing: lm_head.weight.',
    });
  });
});

describe('what may be absent', () => {
  test('final_logits_bias', async () => {
    const checkpoint = await open(
      generation,
      tensorsOf(generation).filter(({ name }) => name !== 'final_logits_bias'),
    );
    expect(checkpoint.has('final_logits_bias')).toBe(false);
  });

  test('nothing else', async () => {
    const tensors = tensorsOf(generation).filter(({ name }) => name !== 'led.decoder.layers.1.fc2.bias');
    await expect(open(generation, tensors)).rejects.toMatchObject({
      message:
        'openCheckpoint: "tensors" expected what config.json says (head conditionalGeneration), got 1 missing: decoder.layers.1.fc2.bias.',
    });
  });

  test("position tables of the authors' size", async () => {
    const tensors = tensorsOf(generation).map(tensor =>
      tensor.name === 'led.encoder.embed_positions.weight' ? filled(tensor.name, [10, 4], 0) : tensor,
    );
    await expect(open(generation, tensors)).rejects.toMatchObject({
      message:
        'openCheckpoint: "tensors" expected what config.json says (head conditionalGeneration), got 1 misshapen: ' +
        'encoder.embed_positions.weight is (10, 4), not (8, 4).\n  Hint: the rows of the embedding tables are vocab_size, ' +
        'max_encoder_position_embeddings and max_decoder_position_embeddings.',
    });
  });
});
