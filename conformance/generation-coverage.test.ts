/** What level generation covers: enough cases, drawn and chosen, for every option there is. */
import { expect, it, test } from 'vitest';
import type { GenerationOptions } from '../contract/generation.ts';
import { conformanceDirectory, readCase, readManifest } from './read-case.ts';

const directory = conformanceDirectory();
const manifest = await readManifest(directory);
const ids = manifest.cases.filter(id => id.startsWith('generation/') && !id.startsWith('generation/refuse-'));
const cases = await Promise.all(ids.map(id => readCase(directory, id, manifest)));
const asked = cases.map(testCase => testCase.generationOptions());
const values = (name: keyof GenerationOptions): unknown[] =>
  asked.map(options => options[name]).filter(value => value !== undefined);

it('sixty combinations drawn by lot, and fifty that were chosen', () => {
  expect(ids.filter(id => id.startsWith('generation/drawn-'))).toHaveLength(60);
  expect(ids.length).toBeGreaterThanOrEqual(110);
});

test.each<keyof GenerationOptions>([
  'maxLength',
  'maxNewTokens',
  'minLength',
  'minNewTokens',
  'numBeams',
  'numReturnSequences',
  'lengthPenalty',
  'earlyStopping',
  'repetitionPenalty',
  'noRepeatNgramSize',
  'encoderNoRepeatNgramSize',
  'badWordsIds',
  'forcedBosTokenId',
  'forcedEosTokenId',
])('%s: many cases, with more than one value', name => {
  expect(values(name).length).toBeGreaterThanOrEqual(10);
  if (name !== 'forcedEosTokenId') expect(new Set(values(name).map(String)).size).toBeGreaterThan(1);
});

test.each([true, false, 'never'])('early stopping %s, with penalties of each sign', stopping => {
  const signs = asked.filter(({ earlyStopping }) => earlyStopping === stopping).map(o => Math.sign(o.lengthPenalty!));
  expect(new Set(signs)).toEqual(new Set([-1, 0, 1]));
});

it('prompts of many tokens, and documents of unequal length with beams and without', () => {
  const prompts = cases.map(testCase => testCase.ledBatchInputs().decoder_input_ids?.shape[1] ?? 1);
  expect(prompts.filter(length => length > 1).length).toBeGreaterThanOrEqual(10);
  const unequal = cases.filter(testCase => {
    const mask = testCase.ledBatchInputs().attention_mask;
    const [rows, length] = mask?.shape ?? [0, 0];
    const sums = Array.from({ length: rows! }, (_, row) =>
      mask!.data.subarray(row * length!, (row + 1) * length!).reduce((sum, one) => sum + one, 0),
    );
    return new Set(sums).size > 1;
  });
  const beams = unequal.map(testCase => (testCase.generationOptions().numBeams ?? 1) > 1);
  expect(beams.filter(Boolean).length).toBeGreaterThanOrEqual(2);
  expect(beams.filter(one => !one).length).toBeGreaterThanOrEqual(2);
});
