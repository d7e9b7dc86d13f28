/** RoBERTa → Longformer and BART → LED: the converted model computes what the original did, in float64 to rounding. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createReferenceBackend } from '../reference/backend.ts';
import {
  bartToLed,
  type CheckpointParts,
  fromAuthors,
  robertaToLongformer,
} from '../runtime/checkpoint/conversions/conversions.ts';
import { writeCheckpoint } from '../runtime/checkpoint/conversions/write-checkpoint-node.ts';
import { openTensorFiles } from '../runtime/checkpoint/open.ts';
import {
  openCheckpoint,
  openDirectory,
  openFileSource,
  openLedCheckpoint,
  openSafetensors,
} from '../runtime/index-node.ts';

const folder = fileURLToPath(new URL('./conversions/', import.meta.url));
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'convert-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function expectedOf(name: string) {
  const file = await openSafetensors(await openFileSource(`${folder}${name}/expected.safetensors`));
  const integers = async (tensor: string) => (await file.integers(tensor)).data;
  const logits = (await file.floats('logits')).data;
  const inputIds = await integers('input_ids');
  const decoderInputIds = file.tensors.has('decoder_input_ids') ? await integers('decoder_input_ids') : undefined;
  await file.close();
  return { inputIds, decoderInputIds, logits };
}

async function converted(name: string, convert: (parts: CheckpointParts) => CheckpointParts): Promise<string> {
  const files = await openDirectory(folder + name);
  const parts = await openTensorFiles(files);
  const to = join(scratch, `${name}-${Math.random()}`);
  await writeCheckpoint(to, convert(parts), files);
  await parts.file.close();
  return to;
}

const worst = (got: ArrayLike<number>, expected: ArrayLike<number>): number => {
  expect(got.length).toBe(expected.length);
  return Array.from(expected).reduce((most, value, i) => Math.max(most, Math.abs(value - got[i]!)), 0);
};

async function longformerError(directory: string, original: string): Promise<number> {
  const { inputIds, logits } = await expectedOf(original);
  const checkpoint = await openCheckpoint(directory);
  const model = await createReferenceBackend().loadLongformer(checkpoint);
  await checkpoint.close();
  const [output] = await model.forward([{ inputIds }]);
  return worst(output!.logits!.data, logits);
}

async function ledError(directory: string, original: string): Promise<number> {
  const { inputIds, decoderInputIds, logits } = await expectedOf(original);
  const checkpoint = await openLedCheckpoint(directory);
  const model = await createReferenceBackend().loadLed(checkpoint);
  await checkpoint.close();
  const [output] = await model.forward([{ inputIds, decoderInputIds }]);
  return worst(output!.logits!.data, logits);
}

describe('RoBERTa → Longformer', () => {
  const options = { attentionWindow: 64, maxPositions: 96 };

  test('reads a text inside one window as before', async () => {
    expect(
      await longformerError(await converted('roberta', parts => robertaToLongformer(parts, options)), 'roberta'),
    ).toBeLessThan(1e-9);
  });

  test('tiles the position table, rows 0 and 1 included, and copies projections', async () => {
    const before = (await openTensorFiles(await openDirectory(`${folder}roberta`))).file;
    const parts = robertaToLongformer(await openTensorFiles(await openDirectory(`${folder}roberta`)), options);
    const name = 'embeddings.position_embeddings.weight';
    const [old, long] = [await before.floats(`roberta.${name}`), await parts.file.floats(`longformer.${name}`)];
    expect([old.shape, long.shape]).toEqual([
      [34, 16],
      [98, 16],
    ]);
    for (const [row, from] of [
      [0, 0],
      [1, 1],
      [2, 2],
      [33, 33],
      [34, 2],
      [66, 2],
      [97, 33],
    ] as const) {
      expect(long.data.slice(row * 16, row * 16 + 16)).toEqual(old.data.slice(from * 16, from * 16 + 16));
    }
    const layer = 'longformer.encoder.layer.1.attention.self';
    expect((await parts.file.floats(`${layer}.key_global.bias`)).data).toEqual(
      (await parts.file.floats(`${layer}.key.bias`)).data,
    );
    expect(Object.fromEntries(parts.config)).toMatchObject({
      model_type: 'longformer',
      architectures: ['LongformerForMaskedLM'],
      attention_window: [64, 64],
      max_position_embeddings: 98,
    });
  });

  test.each([
    [{ maxPositions: 100 }, /"maxPositions" expected a multiple of the 32 positions of the source, got 100/],
    [{ maxPositions: 96, attentionWindow: 7 }, /"attentionWindow" expected an even number >= 2/],
  ])('%j is refused', async (wrong, message) => {
    const parts = await openTensorFiles(await openDirectory(`${folder}roberta`));
    expect(() => robertaToLongformer(parts, wrong)).toThrow(message);
    expect(() => bartToLed(parts)).toThrow(/"model_type" expected bart, got "roberta"/);
  });
});

describe('BART → LED', () => {
  test('reads a source inside one window as before', async () => {
    const directory = await converted('bart', parts => bartToLed(parts, { attentionWindow: 64, maxPositions: 64 }));
    expect(await ledError(directory, 'bart')).toBeLessThan(1e-9);
    expect((await readdir(directory)).sort()).toEqual(['config.json', 'model.safetensors']);
  });
});

describe('the authors’ own layouts', () => {
  test('are read as they are', async () => {
    expect(await longformerError(`${folder}authors-longformer`, 'roberta')).toBeLessThan(1e-9);
    expect(await ledError(`${folder}authors-led`, 'bart')).toBeLessThan(1e-9);
    const checkpoint = await openCheckpoint(`${folder}authors-longformer`);
    expect(checkpoint.config.oneSidedWindow).toEqual([40, 40]);
    expect(checkpoint.remarks).toContain("read as Hugging Face's: the authors' windows have one side and are doubled");
    await checkpoint.close();
  });

  test('can be written as Hugging Face’s', async () => {
    expect(await longformerError(await converted('authors-longformer', fromAuthors), 'roberta')).toBeLessThan(1e-9);
    expect(await ledError(await converted('authors-led', fromAuthors), 'bart')).toBeLessThan(1e-9);
  });

  test('of the mode without overlap is refused: it sees other keys', async () => {
    const { config, file } = await openTensorFiles(await openDirectory(`${folder}authors-longformer`));
    const other = new Map(config).set('attention_mode', 'sliding_chunks_no_overlap');
    expect(() => fromAuthors({ config: other, file })).toThrow(
      /"attention_mode" expected one of sliding_chunks, tvm, loop/,
    );
  });
});

describe('writing', () => {
  test('leaves nothing behind when it is aborted, and replaces only when told to', async () => {
    const files = await openDirectory(`${folder}roberta`);
    const parts = await openTensorFiles(files);
    const to = join(scratch, 'aborted');
    await expect(writeCheckpoint(to, parts, files, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'E_ABORTED',
    });
    expect((await readdir(scratch)).filter(name => name.startsWith('aborted'))).toEqual([]);
    const { tied } = await writeCheckpoint(to, parts, files);
    expect(tied).toEqual([]);
    await expect(writeCheckpoint(to, parts, files)).rejects.toMatchObject({ code: 'E_IO', got: 'one' });
    await writeCheckpoint(to, parts, files, { overwrite: true });
  });
});
