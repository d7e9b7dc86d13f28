/** LED's classes: each computes what Hugging Face's of that name does, and obeys what files and callers say. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, test } from 'vitest';
import {
  type CheckpointFiles,
  LEDForConditionalGeneration,
  LEDForQuestionAnswering,
  LEDForSequenceClassification,
  LEDModel,
} from '../api/index.ts';
import { createMemorySource } from '../runtime/checkpoint/byte-source.ts';
import { openDirectory } from '../runtime/index-node.ts';
import { splitLedBatch } from '../runtime/led-batch.ts';
import { conformanceDirectory, readCase, readManifest } from './read-case.ts';

const directory = conformanceDirectory();
const box = fileURLToPath(new URL('../models/headline-led', import.meta.url));

/** A checkpoint of the oracle with the tokenizer of another one, and texts in the place of files. */
async function filesOf(model: string, texts: Record<string, string> = {}): Promise<CheckpointFiles> {
  const [own, tokenizer] = await Promise.all([openDirectory(join(directory, 'models', model)), openDirectory(box)]);
  const open: CheckpointFiles['open'] = async name => {
    const text = texts[name];
    if (text !== undefined) return createMemorySource(new TextEncoder().encode(text));
    return name.startsWith('tokenizer') ? tokenizer.open(name) : own.open(name);
  };
  return { name: model, open, openListed: open };
}

describe('a class is what Hugging Face calls so', () => {
  test.each([
    ['led/plain', 'led', LEDModel],
    ['led/lm-global-first', 'led-lm', LEDForConditionalGeneration],
    ['led/question-answering', 'led-question-answering', LEDForQuestionAnswering],
    ['led/sequence-classification', 'led-sequence-classification', LEDForSequenceClassification],
    ['led/sequence-classification-target', 'led-sequence-classification', LEDForSequenceClassification],
  ] as const)('%s', async (id, checkpoint, Class) => {
    const testCase = await readCase(directory, id, await readManifest(directory));
    await using model = await Class.fromPretrained(await filesOf(checkpoint), { device: 'reference' });
    const documents = splitLedBatch(testCase.ledBatchInputs());
    const outputs = await model.forward(documents);
    const logits = outputs.map(({ logits, startLogits, decoderLastHiddenState }) => {
      return [...(logits ?? startLogits ?? decoderLastHiddenState!).data];
    });
    const expected = ['logits', 'start_logits', 'last_hidden_state'].find(name => testCase.expected.has(name))!;
    const { data } = testCase.expected.get(expected)!.tensor;
    expect(logits.flat()).toHaveLength(data.length);
    for (const [i, value] of logits.flat().entries()) expect(value).toBeCloseTo(data[i]!, 9);
    expect((await model.forward(documents[0]!)).decoderLastHiddenState.shape).toEqual(
      outputs[0]!.decoderLastHiddenState.shape,
    );
  });
});

describe('generate', () => {
  const inputIds = Int32Array.of(0, 5, 6, 7, 8, 2);
  const settings = JSON.stringify({ max_length: 9, num_beams: 2, forced_bos_token_id: 4, eos_token_id: 2 });

  it('obeys generation_config.json, and the caller above it; null turns off', async () => {
    const files = await filesOf('led-writer', { 'generation_config.json': settings });
    await using model = await LEDForConditionalGeneration.fromPretrained(files);
    const [said] = await model.generate({ inputIds });
    expect(said!.ids[1]).toBe(4);
    expect(said!.ids.length).toBeLessThanOrEqual(9);
    expect(said!.score).not.toBeNull();
    const [asked] = await model.generate({ inputIds }, { numBeams: 1, forcedBosTokenId: null, maxLength: 5 });
    expect(asked!.ids[1]).not.toBe(4);
    expect(asked).toMatchObject({ score: null });
    await using plain = await LEDForConditionalGeneration.fromPretrained(await filesOf('led-writer'));
    expect(asked).toEqual((await plain.generate({ inputIds }, { maxLength: 5 }))[0]);
  });

  it('tells tokens as they come, several documents too, and goes on after an abort', async () => {
    await using model = await LEDForConditionalGeneration.fromPretrained(await filesOf('led-writer'));
    const documents = [{ inputIds }, { inputIds: Int32Array.of(0, 9, 2) }];
    const told: number[][] = [[], []];
    const written = await model.generate(documents, {
      maxLength: 12,
      onToken: ({ document, tokenId }) => void told[document]!.push(tokenId),
    });
    expect(told).toEqual(written.map(([text]) => [...text!.ids.slice(1)]));
    const abort = new AbortController();
    const options = { maxLength: 12, minLength: 12, signal: abort.signal, onToken: () => abort.abort() };
    await expect(model.generate(documents, options)).rejects.toMatchObject({ code: 'E_ABORTED' });
    expect(await model.generate(documents, { maxLength: 12 })).toEqual(written);
  });

  it('settings that cannot be honoured stand in the way of writing only', async () => {
    const settings = { 'generation_config.json': '{"num_beam_groups":2}' };
    await expect(
      LEDForConditionalGeneration.fromPretrained(await filesOf('led-writer', settings)),
    ).rejects.toMatchObject({ code: 'E_UNSUPPORTED' });
    await using model = await LEDForQuestionAnswering.fromPretrained(await filesOf('led-question-answering', settings));
    expect((await model.forward({ inputIds })).startLogits!.shape).toEqual([6]);
  });
});
