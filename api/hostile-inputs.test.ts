/**
 * Inputs of strangers at the front door: each is refused by a typed error or has a defined answer, and no wrong one reads beyond a table.
 *
 * Hostile files have tests of their own: runtime/checkpoint/ (safetensors, PyTorch, config), runtime/tokenizer/load.test.ts,
 * hub/hub-faults.test.ts. Damaged machines: wasm/memory.test.ts, wasm/threads.test.ts, gpu/webgpu/health.test.ts.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import type { EncoderInputs } from '../contract/model.ts';
import { createMemorySource } from '../runtime/checkpoint/byte-source.ts';
import { openDirectory } from '../runtime/index-node.ts';
import { type CheckpointFiles, LongformerModel, type Pipeline, pipeline, type TaskName } from './index.ts';

const models = fileURLToPath(new URL('../conformance/pipelines/models/', import.meta.url));
const open = <Task extends TaskName>(task: Task, name: string = task): Promise<Pipeline<Task>> =>
  pipeline(task, join(models, name));

const allFinite = (values: ArrayLike<number>): boolean => Array.from(values).every(Number.isFinite);
const messageOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no error',
    (error: Error) => `${error.name}: ${error.message}`,
  );
const ids = (...values: number[]): Int32Array => Int32Array.of(...values);

describe.each(['wasm', 'reference'] as const)('token ids and masks on %s', device => {
  let model: LongformerModel;
  beforeAll(async () => {
    model = await LongformerModel.fromPretrained(join(models, 'fill-mask'), { device });
  });
  afterAll(() => model.dispose());

  it.each<[string, object, string]>([
    ['an id below 0', { inputIds: ids(0, -1, 2) }, '"inputIds[1]" expected 0..511, got -1.'],
    ['the id after the last', { inputIds: ids(0, 512, 2) }, '"inputIds[1]" expected 0..511, got 512.'],
    ['the largest id', { inputIds: ids(0, 2 ** 31 - 1) }, '"inputIds[1]" expected 0..511, got 2147483647.'],
    ['an id that is no number', { inputIds: [0, Number.NaN] }, '"inputIds[1]" expected 0..511, got NaN.'],
    ['half an id', { inputIds: [0, 1.5] }, '"inputIds[1]" expected 0..511, got 1.5.'],
    ['bigints', { inputIds: BigInt64Array.of(0n) }, '"inputIds[0]" expected 0..511, got 0.'],
    ['no tokens', { inputIds: ids() }, '"inputIds" expected at least one token, got none.'],
    ['neither ids nor vectors', {}, '"inputIds" expected exactly one of inputIds and inputsEmbeds, got neither.'],
    ['one token too many', { inputIds: new Int32Array(193) }, '"inputIds" expected at most 192 tokens'],
    ['a short mask', { inputIds: ids(0, 2), attentionMask: ids(1) }, '"attentionMask" expected length 2, got 1.'],
    ['a mask with 2', { inputIds: ids(0, 2), attentionMask: ids(1, 2) }, '"attentionMask[1]" expected 0..1, got 2.'],
    [
      'a global mask with 2',
      { inputIds: ids(0, 2), globalAttentionMask: ids(1, 2) },
      '"globalAttentionMask[1]" expected -1..1, got 2.',
    ],
    ['another type', { inputIds: ids(0, 2), tokenTypeIds: ids(0, 1) }, '"tokenTypeIds[1]" expected 0..0, got 1.'],
    ['a far position', { inputIds: ids(0, 2), positionIds: ids(0, 194) }, '"positionIds[1]" expected 0..193, got 194.'],
    [
      'vectors that are no numbers',
      { inputsEmbeds: { shape: [1, 24], data: new Float32Array(24).fill(Number.NaN) } },
      '"inputsEmbeds[0]" expected a finite number, got NaN.',
    ],
  ])('%s: refused', async (_, inputs, message) => {
    expect(await messageOf(model.forward(inputs as EncoderInputs))).toContain(`longformer.forward: ${message}`);
  });

  it.each<[string, EncoderInputs]>([
    ['only padding', { inputIds: new Int32Array(20).fill(1) }],
    ['everything masked', { inputIds: ids(0, 5, 2), attentionMask: ids(0, 0, 0) }],
    [
      'a global token that is masked',
      { inputIds: ids(0, 5), attentionMask: ids(1, 0), globalAttentionMask: ids(0, 1) },
    ],
    ['everything global', { inputIds: ids(0, 5, 6, 2), globalAttentionMask: ids(1, 1, 1, 1) }],
    ['one token', { inputIds: ids(0) }],
    ['as many tokens as there are positions', { inputIds: new Int32Array(192).fill(5) }],
  ])('%s: numbers', async (_, inputs) => {
    const { lastHiddenState } = await model.forward(inputs);
    expect(lastHiddenState!.shape).toEqual([inputs.inputIds!.length, 24]);
    expect(allFinite(lastHiddenState!.data)).toBe(true);
  });

  it('no documents, no outputs', async () => {
    expect(await model.forward([])).toEqual([]);
  });

  it('lengths round the window, alone and beside longer ones, to the last bit', async () => {
    const documents = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 192].map(length => ({
      inputIds: Int32Array.from({ length }, (_, t) => 5 + ((7 * t) % 400)),
    }));
    const together = await model.forward(documents);
    for (const [i, document] of documents.entries()) expect(await model.forward(document)).toEqual(together[i]);
  });
});

describe('texts', () => {
  const strange = ['', ' ', '\n\t', '</s>', '<s></s><pad>', '\ud800', 'a\udc00b \ud83d', '\u0000', '\ufdfa', '🏽', '﻿'];

  test('nothing, blanks, special tokens and halves of characters have answers', async () => {
    await using classify = await open('text-classification');
    for (const labels of await classify(strange)) expect(labels[0]!.score).toBeGreaterThan(0.2);
    await using extract = await open('feature-extraction', 'fill-mask');
    const vectors = await extract(strange, { pooling: 'mean', normalize: true });
    for (const { data } of vectors) expect(Math.hypot(...data)).toBeCloseTo(1, 6);
    await using tag = await open('token-classification');
    for (const aggregation of ['none', 'simple', 'first', 'average', 'max'] as const) {
      const tagged = await tag(strange, { aggregation, ignoreLabels: [] });
      for (const [i, entities] of tagged.entries()) {
        for (const { start, end } of entities) {
          expect(start).toBeLessThanOrEqual(end);
          expect(end).toBeLessThanOrEqual(strange[i]!.length);
        }
      }
    }
  });

  test('an answer stands where it says, whatever is round it', async () => {
    await using answer = await open('question-answering');
    for (const odd of strange) {
      const context = `${odd}Anna${odd} reads ${odd}`;
      const { start, end, answer: text } = await answer(`Who${odd}?`, context);
      expect(context.slice(start, end)).toBe(text);
    }
  });

  test.each([
    ['letters', 'a'],
    ['emoji', '😀'],
    ['combining marks', 'e\u0301'],
    ['lone surrogates', '\udc00'],
    ['masks', '<mask>'],
  ])('two hundred thousand %s are cut when told to, and refused otherwise', async (_, unit) => {
    await using classify = await open('text-classification');
    const text = unit.repeat(200_000 / unit.length);
    expect(await classify(text, { truncation: true })).toHaveLength(1);
    expect(await messageOf(classify(text))).toMatch(
      /^ValueRangeError: tasks: "text" expected at most 192 tokens, got \d+/,
    );
  });

  test('a question that leaves no room for a context', async () => {
    await using answer = await open('question-answering');
    const long = 'a '.repeat(188).trim();
    const message =
      'ValueRangeError: question-answering: "input.question" expected at most 187 tokens, so that a context fits beside it, got 188.';
    for (const options of [{}, { stride: 4 }, { truncation: true }]) {
      expect(await messageOf(answer(long, 'Anna reads.', options))).toBe(message);
    }
    const fits = long.slice(2);
    expect((await answer(fits, 'Anna reads the letter.', { truncation: true })).end).toBeLessThanOrEqual(4);
  });

  test('every token of a long document may be global', async () => {
    await using answer = await pipeline('question-answering', join(models, '../../../models/needle-qa'));
    const context = readFileSync(join(models, '../../../models/needle-qa/sample-document.txt'), 'utf8');
    const { start, end, answer: text } = await answer('What is the access code?', context, { isGlobal: () => true });
    expect(context.slice(start, end)).toBe(text);
  });
});

test('a tokenizer that is no UTF-8 is refused', async () => {
  const directory = await openDirectory(join(models, 'fill-mask'));
  const damaged: CheckpointFiles = {
    name: 'damaged',
    openListed: name => directory.openListed(name),
    open: async name => (name === 'vocab.json' ? createMemorySource(Uint8Array.of(0x7b, 0xff)) : directory.open(name)),
  };
  const message = 'IoError: openTokenizer: "vocab.json" expected UTF-8, got other bytes.';
  expect(await messageOf(pipeline('fill-mask', damaged))).toBe(message);
});

test.each(['wasm', 'reference'])('a weight that is no number is refused when it is loaded, on %s', async device => {
  const directory = await openDirectory(join(models, 'fill-mask'));
  const weights = new Uint8Array(readFileSync(join(models, 'fill-mask/model.safetensors')));
  weights.set([0xff, 0x7f], weights.length - 2); // NaN in float16
  const damaged: CheckpointFiles = {
    name: 'damaged',
    openListed: name => directory.openListed(name),
    open: async name => (name === 'model.safetensors' ? createMemorySource(weights) : directory.open(name)),
  };
  expect(await messageOf(pipeline('fill-mask', damaged, { device }))).toMatch(
    /^CheckpointError: .*expected a finite number, got NaN/,
  );
});
