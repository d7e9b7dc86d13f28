import { describe, expect, test } from 'vitest';
import { type ByteSource, createMemorySource } from './byte-source.ts';
import type { TensorFile } from './safetensors.ts';
import { writeSafetensors } from './safetensors-writer.ts';
import { maxIndexBytes, openShards, parseShardIndex } from './shards.ts';

const indexOf = (weightMap: unknown, metadata?: unknown): string => JSON.stringify({ metadata, weight_map: weightMap });
const shard = (tensors: Record<string, number>): Uint8Array =>
  writeSafetensors(
    Object.entries(tensors).map(([name, value]) => ({ name, dtype: 'F32', shape: [], data: Float32Array.of(value) })),
    new Map([['format', 'pt']]),
  );

/** Opens shards out of a table of files, and counts what is open. */
function directory(files: Record<string, Uint8Array>) {
  const counts = { open: 0 };
  const open = async (name: string): Promise<ByteSource | undefined> => {
    const bytes = files[name];
    if (!bytes) return undefined;
    counts.open++;
    return { ...createMemorySource(bytes), close: async () => void counts.open-- };
  };
  return { counts, openAll: (index: string): Promise<TensorFile> => openShards(parseShardIndex(index), open) };
}

const files = { 's-1.safetensors': shard({ a: 1, b: 2 }), 's-2.safetensors': shard({ c: 3 }) };
const weightMap = { a: 's-1.safetensors', b: 's-1.safetensors', c: 's-2.safetensors' };

describe('many files as one', () => {
  test('every tensor is found where it is', async () => {
    const { counts, openAll } = directory(files);
    const file = await openAll(indexOf(weightMap, { total_size: 12 }));
    expect([...file.tensors.keys()]).toEqual(['a', 'b', 'c']);
    expect(file.info('c')).toMatchObject({ dtype: 'F32', shape: [] });
    expect((await file.floats('b')).data).toEqual(Float32Array.of(2));
    expect((await file.floats('c')).data).toEqual(Float32Array.of(3));
    expect(await file.bytes('c', 2, 4)).toEqual(Uint8Array.of(0x40, 0x40));
    await expect(file.integers('c')).rejects.toMatchObject({ reason: 'WrongDtype' });
    expect(file.metadata.get('format')).toBe('pt');
    expect(file.remarks).toEqual([]);
    const message = 'openShards: "x" expected to be in one of the files, got nothing.';
    expect(() => file.info('x')).toThrow(expect.objectContaining({ reason: 'TensorNotFound', message }));
    await expect(file.floats('x')).rejects.toMatchObject({ message });
    expect(counts.open).toBe(2);
    await file.close();
    expect(counts.open).toBe(0);
  });

  test('what is odd but harmless is remarked', async () => {
    const { openAll } = directory(files);
    const file = await openAll(indexOf({ ...weightMap, b: undefined }, { total_size: 13 }));
    expect(file.remarks).toEqual([
      '"b" is in a file but not in the index',
      'the index says total_size 13, the tensors have 12 bytes',
    ]);
    expect((await file.floats('b')).data).toEqual(Float32Array.of(2));
  });

  test.each([undefined, null, 'x', {}, { total_size: '12' }])('metadata %j says nothing about the size', metadata => {
    expect(parseShardIndex(indexOf(weightMap, metadata)).totalSize).toBeUndefined();
  });
});

describe('an index that leads astray', () => {
  const plain = 'the plain name of a .safetensors or .bin file in the same directory';
  const outside = [
    '../s-1.safetensors',
    '..',
    'a/../s-1.safetensors',
    'a/s-1.safetensors',
    '/etc/s-1.safetensors',
    'a\\s-1.safetensors',
    '..\\s-1.safetensors',
    'C:s-1.safetensors',
    'C:\\s-1.safetensors',
    '%2e%2e%2fs-1.safetensors',
    'file:///s-1.safetensors',
    'https://example.org/s-1.safetensors',
    's-1.safetensors\u0000.safetensors',
    '\u0000s-1.safetensors',
    '.safetensors',
    '.hidden.safetensors',
    's 1.safetensors',
    's-1.safetensors ',
    's-1.h5',
    '',
    'model.safetensors.index.json',
    'é.safetensors',
    `${'x'.repeat(201)}.safetensors`,
  ];
  test.each(outside)('%j', file => {
    const short = file.length > 40 ? `${file.slice(0, 40)}…` : file;
    expect(() => parseShardIndex(indexOf({ a: file }))).toThrow(
      expect.objectContaining({
        code: 'E_CHECKPOINT',
        reason: 'UnsafeShardName',
        message: `openShards: "weight_map.a" expected ${plain}, got ${JSON.stringify(short)}.`,
      }),
    );
  });

  const indexFile = '"model.safetensors.index.json"';
  const many = (count: number, file: (i: number) => string): string =>
    indexOf(Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, file(i)])));
  const wrong: [string, string, string, string][] = [
    ['not JSON', '{', 'InvalidIndex', `parseShardIndex: ${indexFile} expected JSON, got other text.`],
    ['a list', '[]', 'InvalidIndex', `parseShardIndex: ${indexFile} expected a JSON object, got a list of 0.`],
    [
      'too long',
      ' '.repeat(maxIndexBytes + 1),
      'InvalidIndex',
      `parseShardIndex: ${indexFile} expected at most 25000000 characters, got 25000001.`,
    ],
    [
      'no weight_map',
      '{}',
      'InvalidIndex',
      'parseShardIndex: "weight_map" expected an object from tensor names to file names, got nothing.',
    ],
    [
      'weight_map null',
      indexOf(null),
      'InvalidIndex',
      'parseShardIndex: "weight_map" expected an object from tensor names to file names, got null.',
    ],
    [
      'weight_map a list',
      indexOf([]),
      'InvalidIndex',
      'parseShardIndex: "weight_map" expected an object from tensor names to file names, got a list of 0.',
    ],
    ['weight_map empty', indexOf({}), 'InvalidIndex', 'parseShardIndex: "weight_map" expected 1..1000 files, got 0.'],
    [
      'a file name that is none',
      indexOf({ a: 1 }),
      'InvalidIndex',
      'parseShardIndex: "weight_map.a" expected a file name, got 1.',
    ],
    [
      'a million levels',
      `{"weight_map":{"a":${'['.repeat(1e6)}${']'.repeat(1e6)}}}`,
      'InvalidIndex',
      'parseShardIndex: "weight_map.a" expected a file name, got a list of 1.',
    ],
    [
      '1001 files',
      many(1001, i => `s${i}.safetensors`),
      'InvalidIndex',
      'parseShardIndex: "weight_map" expected 1..1000 files, got 1001.',
    ],
    [
      '100,001 tensors',
      many(100_001, () => 's.safetensors'),
      'TooManyTensors',
      'openShards: "weight_map" expected at most 100000 tensors, got 100001.',
    ],
  ];
  test.each(wrong)('%s', (_, text, reason, message) => {
    expect(() => parseShardIndex(text)).toThrow(expect.objectContaining({ reason, message }));
  });

  test('__proto__ is a tensor name like any other', async () => {
    const { openAll } = directory({
      's.safetensors': writeSafetensors([{ name: '__proto__', dtype: 'F32', shape: [0], data: new Float32Array() }]),
    });
    const file = await openAll('{"weight_map":{"__proto__":"s.safetensors"}}');
    expect([...file.tensors.keys()]).toEqual(['__proto__']);
  });
});

describe('files that are not what the index says', () => {
  const crowd = (prefix: string): Uint8Array =>
    writeSafetensors(
      Array.from({ length: 60_000 }, (_, i) => ({
        name: `${prefix}${i}`,
        dtype: 'U8',
        shape: [0],
        data: new Uint8Array(),
      })),
    );
  const cases: [string, Record<string, Uint8Array>, Record<string, string>, string, string][] = [
    [
      'a missing file',
      { 's-1.safetensors': files['s-1.safetensors'] },
      weightMap,
      'MissingFile',
      'openShards: "s-2.safetensors" expected to be there, the index names it, got nothing.',
    ],
    [
      'a tensor that is nowhere',
      files,
      { ...weightMap, d: 's-2.safetensors' },
      'TensorNotFound',
      'openShards: "d" expected to be in s-2.safetensors, as the index says, got nothing.',
    ],
    [
      'a tensor in another file',
      files,
      { ...weightMap, c: 's-1.safetensors', x: 's-2.safetensors' },
      'TensorNotFound',
      'openShards: "c" expected to be in s-1.safetensors, as the index says, got s-2.safetensors.',
    ],
    [
      'a tensor in two files',
      { ...files, 's-2.safetensors': shard({ a: 1, c: 3 }) },
      weightMap,
      'DuplicateName',
      'openShards: "a" expected to be in one file, got s-1.safetensors and s-2.safetensors.',
    ],
    [
      'an index in place of a file',
      { ...files, 's-2.safetensors': new TextEncoder().encode(indexOf(weightMap)) },
      weightMap,
      'HeaderTooLarge',
      'safetensors: "header length" expected at most 100000000 bytes, got 8388068008349082235.\n  Hint: this is not a safetensors file.',
    ],
    [
      'a cut file',
      { ...files, 's-2.safetensors': files['s-2.safetensors'].subarray(0, -1) },
      weightMap,
      'MetadataIncompleteBuffer',
      'safetensors: "c" expected data that ends at byte 100, got a file of 99.\n  Hint: the download is incomplete; compare its sha256 with the model card.',
    ],
    [
      'too many tensors together',
      { 's-1.safetensors': crowd('a'), 's-2.safetensors': crowd('c') },
      { a0: 's-1.safetensors', c0: 's-2.safetensors' },
      'TooManyTensors',
      'openShards: "shards" expected at most 100000 tensors, got 120000.',
    ],
  ];
  test.each(cases)('%s; nothing stays open', async (_, there, map, reason, message) => {
    const { counts, openAll } = directory(there);
    await expect(openAll(indexOf(map))).rejects.toMatchObject({ code: 'E_CHECKPOINT', reason, message });
    expect(counts.open).toBe(0);
  });
});
