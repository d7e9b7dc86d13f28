/** HF's batch of an LED: how it is cut into documents, and what does not fit together. */
import { describe, expect, it } from 'vitest';
import type { LedModel } from '../contract/model.ts';
import type { IntegerTensor } from './checkpoint/safetensors.ts';
import { createTableModel } from './generation/table-model.ts';
import { generateBatch, type LedBatchInputs, splitLedBatch } from './led-batch.ts';

const rows = (...values: number[][]): IntegerTensor => ({
  shape: [values.length, values[0]!.length],
  data: Int32Array.from(values.flat()),
});
const floats = (...shape: number[]): { shape: number[]; data: Float64Array } => ({
  shape,
  data: new Float64Array(shape.reduce((product, extent) => product * extent, 1)).map((_, i) => i),
});

describe('splitLedBatch', () => {
  it('gives each row its source, its target and its masks', () => {
    const documents = splitLedBatch({
      input_ids: rows([0, 5, 2], [0, 6, 2]),
      attention_mask: rows([1, 1, 1], [1, 1, 0]),
      decoder_input_ids: rows([2, 0], [2, 7]),
      decoder_attention_mask: rows([1, 0], [1, 1]),
    });
    expect(documents).toEqual([
      {
        inputIds: Int32Array.of(0, 5, 2),
        attentionMask: Int32Array.of(1, 1, 1),
        decoderInputIds: Int32Array.of(2, 0),
        decoderAttentionMask: Int32Array.of(1, 0),
      },
      {
        inputIds: Int32Array.of(0, 6, 2),
        attentionMask: Int32Array.of(1, 1, 0),
        decoderInputIds: Int32Array.of(2, 7),
        decoderAttentionMask: Int32Array.of(1, 1),
      },
    ]);
  });

  it('embeddings on either side', () => {
    const [, second] = splitLedBatch({ inputs_embeds: floats(2, 1, 2), decoder_inputs_embeds: floats(2, 2, 2) });
    expect(second).toEqual({
      inputsEmbeds: { shape: [1, 2], data: Float64Array.of(2, 3) },
      decoderInputsEmbeds: { shape: [2, 2], data: Float64Array.of(4, 5, 6, 7) },
    });
  });

  const ids = rows([0, 5, 2], [0, 6, 2]);
  const wrong: [string, LedBatchInputs, string][] = [
    ['no source', {}, '"input_ids" expected exactly one of input_ids and inputs_embeds, got neither.'],
    [
      'two sources',
      { input_ids: ids, inputs_embeds: floats(2, 3, 4) },
      '"input_ids" expected exactly one of input_ids and inputs_embeds, got both.',
    ],
    [
      'two targets',
      { input_ids: ids, decoder_input_ids: ids, decoder_inputs_embeds: floats(2, 3, 4) },
      '"decoder_input_ids" expected exactly one of decoder_input_ids and decoder_inputs_embeds, got both.',
    ],
    [
      'a mask of another length',
      { input_ids: ids, global_attention_mask: rows([1, 1], [1, 1]) },
      '"global_attention_mask" expected shape (2, 3), got (2, 2).',
    ],
    [
      'a mask of the source for the target',
      { input_ids: ids, decoder_input_ids: rows([2], [2]), decoder_attention_mask: rows([1, 1, 1], [1, 1, 1]) },
      '"decoder_attention_mask" expected shape (2, 1), got (2, 3).',
    ],
    [
      'targets of another batch',
      { input_ids: ids, decoder_input_ids: rows([2]) },
      '"decoder_input_ids" expected 2 rows, as the source, got 1.',
    ],
    [
      'one axis',
      { input_ids: { shape: [3], data: Int32Array.of(0, 5, 2) } },
      '"input_ids" expected shape (batch, n) without empty axes, got (3).',
    ],
    [
      'an empty axis',
      { inputs_embeds: floats(2, 0, 4) },
      '"inputs_embeds" expected shape (batch, n, C) without empty axes, got (2, 0, 4).\n' +
        '  Hint: an empty text still has the special tokens around it, and a target its start token.',
    ],
  ];
  it.each(wrong)('%s', (_, inputs, message) => {
    expect(() => splitLedBatch(inputs)).toThrow(expect.objectContaining({ message: `led.forward: ${message}` }));
  });
});

describe('generateBatch', () => {
  /** Writes 3, then whatever the end is. */
  const table = Array.from({ length: 5 }, (_, last) => (last === 3 ? [0, 0, 9, 0, 0] : [0, 0, 0, 9, 4]));
  /** A table model that remembers the sources it was given. */
  function remembering(fields: object = {}): { model: LedModel; lengths: () => readonly number[] } {
    const model = createTableModel([table], fields);
    let lengths: readonly number[] = [];
    const encode: LedModel['encode'] = async (documents, options) => {
      lengths = documents.map(({ inputIds }) => inputIds!.length);
      return await model.encode(documents, options);
    };
    return { model: { ...model, encode }, lengths: () => lengths };
  }
  const ids = rows([0, 4, 3, 2], [0, 2, 1, 1]);
  const masks = { input_ids: ids, attention_mask: rows([1, 1, 1, 1], [1, 1, 0, 0]) };

  it('fills shorter texts up with padding; greedy texts have no scores', async () => {
    const prompts = { decoder_input_ids: rows([2, 3], [2, 4]) };
    const { sequences, sequencesScores } = await generateBatch(remembering().model, { ...masks, ...prompts });
    expect(sequences).toEqual({ shape: [2, 4], data: Int32Array.of(2, 3, 2, 1, 2, 4, 3, 2) });
    expect(sequencesScores).toBeNull();
  });

  it('padding at the end of a source is not read, unless its n-grams count', async () => {
    const { model, lengths } = remembering();
    await generateBatch(model, masks);
    expect(lengths()).toEqual([4, 2]);
    await generateBatch(model, masks, { encoderNoRepeatNgramSize: 3 });
    expect(lengths()).toEqual([4, 4]);
    await generateBatch(model, { input_ids: ids }); // no mask: every token counts
    expect(lengths()).toEqual([4, 4]);
  });

  it('several beams of each source, with scores; where padding is token 0, beams are filled up with the end', async () => {
    const { model } = remembering({ pad_token_id: 0 });
    const { sequences, sequencesScores } = await generateBatch(model, masks, { numBeams: 2, numReturnSequences: 2 });
    expect(sequences.shape[0]).toBe(4);
    expect(sequencesScores!.shape).toEqual([4]);
    const [first] = [[...sequences.data.subarray(0, sequences.shape[1])]];
    expect(first.slice(0, 3)).toEqual([2, 3, 2]);
    expect(new Set(first.slice(3))).toEqual(new Set([2]));
  });

  it('a target mask is refused: a prompt has none', async () => {
    const inputs = { ...masks, decoder_input_ids: rows([2], [2]), decoder_attention_mask: rows([1], [1]) };
    await expect(generateBatch(remembering().model, inputs)).rejects.toMatchObject({
      message:
        'generate: "decoder_attention_mask" expected nothing, got a tensor.\n' +
        '  Hint: a prompt is given as decoder_input_ids, and all of it counts.',
    });
  });
});
