/** RoBERTa → Longformer and BART → LED: the converted model computes what the original did, in float64 to rounding. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createReferenceBackend } from '../reference/backend.ts';
import {
  asHuggingFaces,
  bartToLed,
  type CheckpointParts,
  fromAuthors,
  layoutOf,
  openCheckpoint,
  openDirectory,
  openFileSource,
  openLedCheckpoint,
  openSafetensors,
  openTensorFiles,
  robertaToLongformer,
  writeCheckpoint,
} from '../runtime/index-node.ts';

const folder = fileURLToPath(new URL('./conversions/', import.meta.url));
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'convert-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

const open: CheckpointParts[] = [];
afterEach(async () => {
  for (const { file } of open.splice(0)) await file.close();
});
async function partsOf(directory: string): Promise<CheckpointParts> {
  const parts = await openTensorFiles(await openDirectory(directory));
  open.push(parts);
  return parts;
}

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

/** The rows of the tables of authors-led, or so many more, as a config says them. */
const tables = (more: number): Record<string, unknown> => ({
  max_encoder_position_embeddings: 64 + more,
  max_decoder_position_embeddings: 32 + more,
});

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
    const before = (await partsOf(`${folder}roberta`)).file;
    const parts = robertaToLongformer(await partsOf(`${folder}roberta`), options);
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
    const parts = await partsOf(`${folder}roberta`);
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

  /** The parts with another config, some tensors under other names. */
  const altered = async (
    name: string,
    fields: Record<string, unknown>,
    rename: (tensor: string) => string = tensor => tensor,
  ): Promise<CheckpointParts> => {
    const { config, file } = await partsOf(folder + name);
    const next = new Map(
      [...new Map([...config, ...Object.entries(fields)])].filter(([, value]) => value !== undefined),
    );
    const tensors = new Map([...file.tensors].map(([old, info]) => [rename(old), { ...info, name: rename(old) }]));
    const back = new Map([...file.tensors.keys()].map(old => [rename(old), old]));
    const renamed = { ...file, tensors, info: (tensor: string) => ({ ...file.info(back.get(tensor)!), name: tensor }) };
    return { config: next, file: renamed };
  };
  const asLongformer = (tensor: string): string => tensor.replace(/^roberta\./, 'longformer.');

  test.each<[string, string, Record<string, unknown>, ((tensor: string) => string)?]>([
    ['authors', 'authors-longformer', {}],
    ['authors', 'authors-longformer', { attention_mode: 'tvm' }],
    ['huggingface', 'authors-longformer', { attention_mode: 'longformer' }],
    ['huggingface', 'authors-longformer', { attention_mode: undefined }, asLongformer],
    ['authors', 'authors-led', {}],
    ['authors', 'authors-led', { attention_mode: undefined }], // two rows more than the config says
    ['huggingface', 'authors-led', { attention_mode: undefined, ...tables(2) }],
    ['authors', 'authors-led', { max_encoder_position_embeddings: undefined }],
  ])('are recognised by what they hold: %s, %s with %j', async (layout, name, fields, rename) => {
    expect(layoutOf(await altered(name, fields, rename))).toBe(layout);
  });

  test.each<[string, Record<string, unknown>, string, ((tensor: string) => string)?]>([
    ['authors-longformer', { attention_mode: undefined }, 'attention_mode missing, and tensors named roberta.…'],
    ['authors-longformer', {}, 'attention_mode "sliding_chunks", and tensors named longformer.…', asLongformer],
    [
      'authors-led',
      { attention_mode: 'longformer' },
      'attention_mode "longformer", and position tables with two rows more than config.json says',
    ],
    ['authors-led', tables(2), 'attention_mode "sliding_chunks", and position tables with the rows config.json says'],
  ])('what could be both is an error that names the option: %s with %j', async (name, fields, got, rename) => {
    const parts = await altered(name, fields, rename);
    expect(() => asHuggingFaces(parts)).toThrow(
      expect.objectContaining({ code: 'E_CONFIG', subject: 'layout', got, hint: expect.stringContaining('--layout') }),
    );
    const authors = asHuggingFaces(parts, 'authors');
    expect(layoutOf(authors)).toBe('huggingface');
    expect(authors.config.get('attention_window')).toEqual([80, 80]);
    const own = asHuggingFaces(parts, 'huggingface');
    expect(own.config.get('attention_window')).toEqual([40, 40]);
  });

  test('the option opens what could be both, and a directory that was converted with it needs it no more', async () => {
    const { config, file } = await partsOf(`${folder}authors-longformer`);
    const unclear = new Map(config).set('model_type', 'longformer').set('architectures', ['LongformerForMaskedLM']);
    unclear.delete('attention_mode');
    const directory = join(scratch, 'unclear');
    await writeCheckpoint(directory, { config: unclear, file }, await openDirectory(`${folder}authors-longformer`));
    await expect(openCheckpoint(directory)).rejects.toMatchObject({ code: 'E_CONFIG', subject: 'layout' });
    for (const [layout, oneSided] of [
      ['authors', 40],
      ['huggingface', 20],
    ] as const) {
      const checkpoint = await openCheckpoint(directory, { layout });
      expect(checkpoint.config.oneSidedWindow).toEqual([oneSided, oneSided]);
      await checkpoint.close();
      const to = `${directory}-${layout}`;
      const parts = await partsOf(directory);
      await writeCheckpoint(to, asHuggingFaces(parts, layout), await openDirectory(directory));
      const again = await openCheckpoint(to);
      expect(again.config.oneSidedWindow).toEqual([oneSided, oneSided]);
      await again.close();
    }
  });

  test('of the mode without overlap is refused: it sees other keys', async () => {
    const { config, file } = await partsOf(`${folder}authors-longformer`);
    const other = new Map(config).set('attention_mode', 'sliding_chunks_no_overlap');
    expect(() => fromAuthors({ config: other, file })).toThrow(
      /"attention_mode" expected one of sliding_chunks, tvm, loop/,
    );
  });
});

describe('writing', () => {
  test('leaves nothing behind when it is aborted, and replaces only when told to', async () => {
    const files = await openDirectory(`${folder}roberta`);
    const parts = await partsOf(`${folder}roberta`);
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

  test('does not replace a directory that is no checkpoint', async () => {
    const files = await openDirectory(`${folder}roberta`);
    const parts = await partsOf(`${folder}roberta`);
    const to = join(scratch, 'letters');
    await mkdir(to);
    await writeCheckpoint(to, parts, files, { overwrite: true }); // empty
    await rm(join(to, 'config.json'));
    await expect(writeCheckpoint(to, parts, files, { overwrite: true })).rejects.toMatchObject({
      code: 'E_IO',
      got: 'something else',
    });
    expect(await readdir(to)).toContain('model.safetensors');
  });
});
