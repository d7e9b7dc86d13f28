/** LED in the reference: properties that need no oracle, the model behind the seam, and every complaint at its door as whole text. */
import { describe, expect, it } from 'vitest';
import type { LedCheckpoint } from '../contract/checkpoint.ts';
import type { LedConfig } from '../contract/config.ts';
import type { LedInputs } from '../contract/model.ts';
import type { Tensor, Tensor64 } from '../contract/tensor.ts';
import { zeros } from './1-operations.ts';
import type { Weights } from './7-longformer.ts';
import { encodeDocument, ledDecoder, ledEncoder, ledWeightNames, targetOf, vocabularyLogits } from './9-led.ts';
import { createReferenceBackend } from './backend.ts';
import { createReferenceLedModel } from './led-model.ts';
import { randomTensor, seededRandom } from './random.ts';

const config: LedConfig = {
  modelType: 'led',
  head: 'conditionalGeneration',
  vocabSize: 12,
  hiddenSize: 8,
  encoderLayers: 2,
  decoderLayers: 2,
  encoderHeads: 2,
  decoderHeads: 4,
  encoderIntermediateSize: 10,
  decoderIntermediateSize: 6,
  hiddenActivation: 'gelu',
  maxEncoderPositionEmbeddings: 16,
  maxDecoderPositionEmbeddings: 10,
  layerNormEps: 1e-5,
  padTokenId: 1,
  bosTokenId: 0,
  eosTokenId: 2,
  decoderStartTokenId: 2,
  oneSidedWindow: [2, 3],
  dilation: [
    [1, 1],
    [1, 1],
  ],
  labels: 2,
  labelNames: ['LABEL_0', 'LABEL_1'],
  tieWordEmbeddings: true,
};

/** Extents of a tensor by its name. */
function shapeOf(name: string): number[] {
  const { hiddenSize: c, vocabSize: v } = config;
  const side = name.startsWith('encoder.') ? 'encoder' : 'decoder';
  const wide = side === 'encoder' ? config.encoderIntermediateSize : config.decoderIntermediateSize;
  const rows = side === 'encoder' ? config.maxEncoderPositionEmbeddings : config.maxDecoderPositionEmbeddings;
  if (name === 'final_logits_bias') return [1, v];
  if (name === 'shared.weight') return [v, c];
  if (name.endsWith('embed_positions.weight')) return [rows, c];
  if (name.endsWith('fc1.weight')) return [wide, c];
  if (name.endsWith('fc1.bias')) return [wide];
  if (name.endsWith('fc2.weight')) return [c, wide];
  return name.endsWith('.bias') || name.includes('norm') ? [c] : [c, c];
}

const random = seededRandom(9);
const tensors = new Map<string, Tensor>(
  ledWeightNames(config).map(name => [name, randomTensor(random, shapeOf(name), 0.8)]),
);
const weights: Weights = name => tensors.get(name)!;
const model = createReferenceLedModel(config, weights);

const inputIds = Int32Array.of(0, 5, 7, 9, 4, 11, 2);
const decoderInputIds = Int32Array.of(2, 6, 3, 8);

const distance = (a: Tensor64, b: Tensor64, rows: number): number =>
  a.data.subarray(0, rows * a.shape[1]!).reduce((most, x, at) => Math.max(most, Math.abs(x - b.data[at]!)), 0);

describe('encoder and decoder', () => {
  it('a token of the target knows nothing of those after it', () => {
    const source = encodeDocument({ inputIds }, weights, config);
    const last = (ids: Int32Array): Tensor64 =>
      [...ledDecoder(targetOf(ids, weights, config), source, weights, config)].at(-1)!.hiddenStates;
    const other = Int32Array.of(2, 6, 3, 10);
    expect(distance(last(decoderInputIds), last(other), 3)).toBe(0);
    expect(distance(last(decoderInputIds), last(other), 4)).toBeGreaterThan(0.01);
  });

  it('padding behind a source changes nothing, wherever the positions go on', () => {
    const padded = Int32Array.of(...inputIds, 1, 1);
    const attentionMask = Int32Array.of(1, 1, 1, 1, 1, 1, 1, 0, 0);
    const logits = (inputs: LedInputs): Tensor64 => {
      const source = encodeDocument(inputs, weights, config);
      const target = targetOf(decoderInputIds, weights, config);
      const { hiddenStates } = [...ledDecoder(target, source, weights, config)].at(-1)!;
      return vocabularyLogits(hiddenStates, weights, config);
    };
    expect(distance(logits({ inputIds }), logits({ inputIds: padded, attentionMask }), 4)).toBeLessThan(1e-14);
  });

  it('positions count padding: the same token stands elsewhere behind it', () => {
    const [first] = [...ledEncoder({ inputIds: Int32Array.of(1, 5) }, weights, config)];
    const [second] = [...ledEncoder({ inputIds: Int32Array.of(5, 1) }, weights, config)];
    expect(distance(first!.hiddenStates, second!.hiddenStates, 1)).toBeGreaterThan(0.01);
  });
});

describe('behind the seam', () => {
  it('steps give what the whole target gives, also when groups change places', async () => {
    const [output] = await model.forward([{ inputIds, decoderInputIds }]);
    const source = await model.encode([{ inputIds }]);
    const decoding = model.startDecoding(source, Int32Array.of(0, 0), 6);
    await decoding.prefill(Int32Array.of(2, 9, 2, 6)); // two tokens for each of two groups
    await decoding.step(Int32Array.of(3, 5), Int32Array.of(1, 0));
    const logits = await decoding.step(Int32Array.of(8, 8), null);
    const row = (data: ArrayLike<number>, first: number): number[] =>
      Array.from(data).slice(first * 12, (first + 1) * 12);
    expect(row(logits, 0)).toEqual(row(output!.logits!.data, 3));
    expect(decoding.length).toBe(4);
    source.dispose();
    expect(() => model.startDecoding(source, Int32Array.of(0), 6)).toThrow(
      'led.decoding: "source" expected one that this model encoded and that is alive, got another.',
    );
  });

  it('a checkpoint without final_logits_bias has zeros there, and what is missing is named', async () => {
    const checkpoint = (lacks: readonly string[]): LedCheckpoint => ({
      config,
      names: [...tensors.keys()],
      has: name => tensors.has(name) && !lacks.includes(name),
      shape: name => tensors.get(name)!.shape,
      tensor: async name => tensors.get(name)!,
      close: async () => {},
    });
    const loaded = await createReferenceBackend().loadLed(checkpoint(['final_logits_bias']));
    const unbiased = createReferenceLedModel(config, name =>
      name === 'final_logits_bias' ? zeros(1, 12) : weights(name),
    );
    const inputs = [{ inputIds, decoderInputIds }];
    const [mine, plain] = [await loaded.forward(inputs), await unbiased.forward(inputs)];
    expect(mine[0]!.logits).toEqual(plain[0]!.logits);
    await expect(createReferenceBackend().loadLed(checkpoint(['decoder.layers.1.fc1.weight']))).rejects.toThrow(
      'reference.loadLed: "decoder.layers.1.fc1.weight" expected to be in the checkpoint, got nothing.',
    );
  });

  it('tells its progress and stops when asked to', async () => {
    const done: number[] = [];
    await model.forward([{ inputIds, decoderInputIds }], { onProgress: share => done.push(share) });
    expect(done).toEqual([0, 0.25, 0.5, 0.5, 0.75, 1]);
    const stop = new AbortController();
    const aborted = model.encode([{ inputIds }], { signal: stop.signal, onProgress: () => stop.abort() });
    await expect(aborted).rejects.toMatchObject({ code: 'E_ABORTED', where: 'led.encode' });
  });

  it('only a head of conditional generation decodes', async () => {
    const bare = createReferenceLedModel({ ...config, head: 'none' }, weights);
    const source = await bare.encode([{ inputIds }]);
    expect(() => bare.startDecoding(source, Int32Array.of(0), 4)).toThrow(
      'led.decoding: "head" expected conditionalGeneration, got none.\n  Hint: load the checkpoint as LEDForConditionalGeneration.',
    );
  });

  it('a decoding that is used wrongly says how', async () => {
    const source = await model.encode([{ inputIds }, { inputIds }]);
    const started = (): ReturnType<typeof model.startDecoding> => model.startDecoding(source, Int32Array.of(0, 1), 2);
    await expect(started().prefill(Int32Array.of(2, 3, 4))).rejects.toThrow(
      'led.decoding: "tokenIds" expected one or more tokens for each of 2 groups, got 3.',
    );
    await expect(started().prefill(Int32Array.of(2, 3, 4, 2, 3, 4))).rejects.toThrow(
      'led.decoding: "tokenIds" expected at most 2 tokens for each group, got 3.',
    );
    await expect(started().step(Int32Array.of(2, 2), Int32Array.of(1, 1))).rejects.toThrow(
      'led.decoding: "parents[0]" expected a group that reads document 0, got 1.',
    );
    const begun = started();
    await begun.step(Int32Array.of(2, 2), null);
    await expect(begun.prefill(Int32Array.of(2, 2))).rejects.toThrow(
      'led.decoding: "prefill" expected to be the first call, got a past of 1.',
    );
    expect(() => model.startDecoding(source, Int32Array.of(0), 11)).toThrow(
      'led.decoding: "maxTargetLength" expected an integer in 1..10 (max_decoder_position_embeddings), got 11.',
    );
  });
});

describe('complaints at the door', () => {
  const long = (length: number): Int32Array => new Int32Array(length).fill(5);
  const bad: [string, LedInputs, Partial<LedConfig>, string][] = [
    [
      'a source longer than the position table',
      { inputIds: long(17), decoderInputIds },
      {},
      'led.forward: "inputIds" expected at most 16 tokens (max_encoder_position_embeddings), got 17.\n' +
        '  Hint: truncate the document, split it, or use a checkpoint with a larger position table.',
    ],
    [
      'a target longer than the position table',
      { inputIds, decoderInputIds: long(11) },
      {},
      'led.forward: "decoderInputIds" expected at most 10 tokens (max_decoder_position_embeddings), got 11.\n' +
        '  Hint: shorten the target, or use a checkpoint with a larger position table.',
    ],
    [
      'a source that is too long to be its own target',
      { inputIds: long(12) },
      {},
      'led.forward: "decoderInputIds" expected at most 10 tokens (max_decoder_position_embeddings), got 12, the source shifted right.\n' +
        '  Hint: give decoderInputIds: without them the whole source is the target.',
    ],
    [
      'no token to start with',
      { inputIds },
      { decoderStartTokenId: null },
      'led.forward: "decoderStartTokenId" expected a token id (decoder_start_token_id), got null.\n' +
        '  Hint: give decoderInputIds, or put decoder_start_token_id into config.json: LED starts with its eos_token_id.',
    ],
    [
      'an empty source',
      { inputIds: new Int32Array(), decoderInputIds },
      {},
      'led.forward: "inputIds" expected at least one token, got none.\n' +
        '  Hint: an empty text still has the special tokens around it, and a target its start token.',
    ],
    [
      'a source of nothing but padding',
      { inputIds, attentionMask: new Int32Array(7), decoderInputIds },
      {},
      'led.forward: "attentionMask" expected a 1 somewhere, got all 0.\n' +
        '  Hint: a source of nothing but padding leaves the decoder nothing to read: leave this document out.',
    ],
    [
      'an empty target',
      { inputIds, decoderInputIds: new Int32Array() },
      {},
      'led.forward: "decoderInputIds" expected at least one token, got none.\n' +
        '  Hint: an empty text still has the special tokens around it, and a target its start token.',
    ],
    [
      'embeddings and no target',
      { inputsEmbeds: zeros(3, 8) },
      {},
      'led.forward: "decoderInputIds" expected decoderInputIds or decoderInputsEmbeds beside inputsEmbeds, got neither.\n' +
        '  Hint: without a target the source ids are shifted right, and there are none.',
    ],
    [
      'token types',
      { inputIds, tokenTypeIds: new Int32Array(7), decoderInputIds },
      {},
      'led.forward: "tokenTypeIds" expected nothing, got an array.\n' +
        '  Hint: leave it away: LED has no token types, and its positions are 0, 1, 2 and so on.',
    ],
    [
      'an id that is a mark of labels',
      { inputIds, decoderInputIds: Int32Array.of(2, -100) },
      {},
      'led.forward: "decoderInputIds[1]" expected 0..11, got -100.',
    ],
    [
      'a mask of another length',
      { inputIds, decoderInputIds, decoderAttentionMask: Int32Array.of(1, 1) },
      {},
      'led.forward: "decoderAttentionMask" expected length 4, got 2.',
    ],
    [
      'embeddings of another size',
      { inputIds, decoderInputsEmbeds: zeros(2, 7) },
      {},
      'led.forward: "decoderInputsEmbeds" expected shape (2, 8), got (2, 7).',
    ],
    [
      'nothing to classify',
      { inputIds: Int32Array.of(0, 5) },
      { head: 'sequenceClassification' },
      'led.forward: "inputIds" expected an end token (id 2) for sequence classification, got none.\n' +
        '  Hint: end the document with it: the row of the last one is classified.',
    ],
    [
      'a target that is not as long as what is classified',
      { inputIds, decoderInputIds },
      { head: 'sequenceClassification' },
      'led.forward: "decoderInputIds" expected 7 tokens for sequence classification, as the source, got 4.\n' +
        '  Hint: leave the target away: then it is the source shifted right.',
    ],
  ];
  it.each(bad)('%s', (_, inputs, changes, message) => {
    const changed = createReferenceLedModel({ ...config, ...changes }, weights);
    let said = '';
    try {
      changed.expectInputs([inputs]);
    } catch (error) {
      said = (error as Error).message;
    }
    expect(said).toBe(message);
  });
});
