/** Files that torch wrote, and files that somebody sent. The fixtures come from conformance/generate/make_pytorch_files.py. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { LongformerError } from '../../../contract/errors.ts';
import { type ByteSource, createMemorySource } from '../byte-source.ts';
import { mutate, randomNumbers } from '../mutate.ts';
import { openSafetensors, type TensorFile } from '../safetensors.ts';
import { openShards, parseShardIndex } from '../shards.ts';
import {
  archive,
  dict,
  integer,
  type Ops,
  pickle as pickleOf,
  sixNumbers,
  stateDict,
  storageData,
  stream,
  tensor,
  text as textOf,
} from './build-pytorch.ts';
import { crc32 } from './crc32.ts';
import { fuzzPytorch, judgePytorch } from './fuzz-pytorch.ts';
import { goodPytorch, hostilePytorch } from './hostile-pytorch.ts';
import { openPytorch } from './open-pytorch.ts';
import { unpickle } from './pickle.ts';

const folder = fileURLToPath(new URL('./fixtures/', import.meta.url));
const fixture = (name: string): Uint8Array => new Uint8Array(readFileSync(folder + name));
const open = (bytes: Uint8Array): Promise<TensorFile> => openPytorch(createMemorySource(bytes));

async function valuesOf(file: TensorFile): Promise<Map<string, { shape: readonly number[]; data: ArrayLike<number> }>> {
  const values = new Map<string, { shape: readonly number[]; data: ArrayLike<number> }>();
  for (const [name, { dtype }] of file.tensors) {
    values.set(name, /^(F|BF)/.test(dtype) ? await file.floats(name) : await file.integers(name));
  }
  return values;
}

async function expectSame(file: TensorFile, twin: string): Promise<void> {
  const expected = await valuesOf(await openSafetensors(createMemorySource(fixture(twin))));
  const got = await valuesOf(file);
  expect([...got.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [tensor, value] of expected) expect(got.get(tensor), tensor).toEqual(value);
}

describe('what torch writes', () => {
  test.each([
    ['zip.bin', 'good'],
    ['legacy.bin', 'good'],
    ['parameters.bin', 'module'],
    ['module-state.bin', 'module'],
    ['training-legacy.bin', 'training'],
  ])('%s has the tensors of %s.safetensors', async (name, twin) => {
    const file = await open(fixture(name));
    await expectSame(file, `${twin}.safetensors`);
    expect(file.remarks).toEqual([]);
  });

  test('shards, one of each format', async () => {
    const index = parseShardIndex(new TextDecoder().decode(fixture('sharded/pytorch_model.bin.index.json')));
    const source = async (name: string): Promise<ByteSource> => createMemorySource(fixture(`sharded/${name}`));
    const file = await openShards(index, source, {}, openPytorch);
    await expectSame(file, 'good.safetensors');
    expect(file.remarks).toEqual([]);
  });

  test('a checkpoint of Lightning has its tensors under "state_dict"', async () => {
    const { tensors } = await open(fixture('lightning.bin'));
    expect([...tensors.keys()]).toEqual(['model.weight']);
  });

  test('bytes are those of the tensor, not of its storage', async () => {
    const file = await open(fixture('zip.bin'));
    expect([...new Float32Array((await file.bytes('transposed')).buffer).subarray(0, 4)]).toEqual([0, 6, 12, 18]);
    expect([...new Float32Array((await file.bytes('row', 4, 12)).buffer)]).toEqual([13, 14]);
  });
});

describe('what is refused', () => {
  test.each([
    [
      'bad-system.bin',
      'unpickle: "posix.system" expected a state dict of plain tensors, got a pickle that asks for posix.system.',
    ],
    [
      'bad-module.bin',
      'unpickle: "torch.nn.modules.linear.Linear" expected a state dict of plain tensors, got a pickle that asks for torch.nn.modules.linear.Linear.',
    ],
    [
      'bad-sparse.bin',
      'unpickle: "torch._utils._rebuild_sparse_tensor" expected a state dict of plain tensors, got a pickle that asks for torch._utils._rebuild_sparse_tensor.',
    ],
    [
      'bad-expanded.bin',
      'openPytorch: "weight" expected at most the 1 elements of its storage, got 1000000: shape (1000, 1000), strides (0, 0).',
    ],
    [
      'bad-plain-pickle.bin',
      'openPytorch: "format" expected a file that torch.save wrote, got a pickle that torch.save did not write.',
    ],
    [
      'bad-deflated.bin',
      'readZip: "zip/data.pkl" expected entries that are stored, as torch writes them, got a compressed one (method 8).',
    ],
  ])('%s', async (name, message) => {
    await expect(open(fixture(name))).rejects.toThrow(message);
  });

  test('an empty file, a text, a file that ends early', async () => {
    await expect(open(new Uint8Array(0))).rejects.toMatchObject({ code: 'E_UNSUPPORTED' });
    await expect(open(new TextEncoder().encode('not a checkpoint'))).rejects.toMatchObject({ code: 'E_UNSUPPORTED' });
    for (const name of ['zip.bin', 'legacy.bin']) {
      await expect(open(fixture(name).subarray(0, -200))).rejects.toMatchObject({ code: 'E_CHECKPOINT' });
    }
  });

  test('a flipped bit in the data', async () => {
    const bytes = fixture('zip.bin');
    const data = Buffer.from(new Float32Array([0, 1, 2, 3]).buffer);
    bytes[Buffer.from(bytes).indexOf(data) + 5]! ^= 1; // inside "tied"
    const file = await open(bytes);
    await expect(file.floats('tied')).rejects.toMatchObject({ reason: 'WrongChecksum' });
    await expect(file.floats('row')).rejects.toMatchObject({ reason: 'WrongChecksum' });
    await expect(file.floats('plain')).resolves.toMatchObject({ shape: [3, 5] });
  });

  test('big endian', async () => {
    const bytes = fixture('zip.bin');
    const at = Buffer.from(bytes).indexOf('byteorder');
    const little = Buffer.from(bytes).indexOf('little', at);
    bytes.set(new TextEncoder().encode('bigbig'), little);
    await expect(open(bytes)).rejects.toMatchObject({ reason: 'WrongChecksum' }); // nobody changes it unnoticed
  });
});

describe('every hostile file', () => {
  test.each(hostilePytorch)('$fault', async ({ bytes, message }) => {
    let closed = 0;
    const source = { ...createMemorySource(bytes), close: async () => void closed++ };
    const read = openPytorch(source).then(async file => {
      for (const name of file.tensors.keys()) await file.floats(name).finally(() => file.close());
    });
    await expect(read).rejects.toThrow(expect.objectContaining({ message }));
    expect(closed).toBe(1);
  });

  test('is described once', () => {
    const faults = hostilePytorch.map(({ fault }) => fault);
    expect(faults.filter((fault, i) => faults.indexOf(fault) !== i)).toEqual([]);
  });

  test.each([...goodPytorch.entries()])('good file %i is good', async (_, bytes) => {
    const { shape, data } = await (await open(bytes)).floats('a');
    expect(shape.length).toBe(2);
    expect([...data].sort()).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test.each([
    ['archive', archive()],
    ['stream', stream()],
  ])('a good %s cut anywhere is refused by a typed error', async (_, bytes) => {
    for (let length = 0; length < bytes.length; length++) {
      const error = await open(bytes.subarray(0, length)).catch(error => error);
      expect(error, `cut at ${length}`).toBeInstanceOf(LongformerError);
    }
  });
});

describe('what is read, and when', () => {
  /** A file, and the ranges of it that are read. */
  function watched(bytes: Uint8Array): { source: ByteSource; ranges: [number, number][] } {
    const ranges: [number, number][] = [];
    const source = createMemorySource(bytes);
    const read: ByteSource['read'] = (begin, end, into) => {
      ranges.push([begin, end]);
      return source.read(begin, end, into);
    };
    return { source: { ...source, read }, ranges };
  }

  test('a tensor that is its whole storage is read once, others after the checksum', async () => {
    const size = 100_000;
    const fields = { length: size, shape: [size], strides: [1] };
    const bytes = archive({
      pickle: pickleOf(dict([textOf('a'), tensor(fields)], [textOf('b'), tensor({ ...fields, shape: [10] })])),
      data: new Array<number>(4 * size).fill(0),
    });
    for (const [name, expected] of [
      ['a', [400_000]],
      ['b', [400_000, 40]],
    ] as const) {
      const { source, ranges } = watched(bytes);
      const file = await openPytorch(source);
      expect(Math.max(...ranges.map(([begin, end]) => end - begin))).toBeLessThan(70_000);
      ranges.length = 0;
      await file.floats(name);
      expect(ranges.map(([begin, end]) => end - begin).filter(length => length !== 30)).toEqual(expected);
      ranges.length = 0;
      expect((await file.bytes(name, 4, 12)).length).toBe(8);
      expect(ranges.at(-1)![1] - ranges.at(-1)![0]).toBe(8);
    }
  });

  test('pickles of a stream that do not end in the first megabyte are read further', async () => {
    const long = textOf(new Array<number>((1 << 20) + 5).fill(0x61));
    const entries = pickleOf(dict([textOf('a'), tensor()], [textOf('b'), long]));
    const file = await open(stream({ pickle: entries }));
    expect((await file.floats('a')).data).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    expect(file.remarks).toEqual(['"b" is no tensor and is left out']);
  });

  test('what is no tensor is said, and what follows a stream', async () => {
    const entries = Array.from({ length: 13 }, (_, i) => [textOf(`e${i}`), integer(i)] as const);
    const pickle = pickleOf(
      dict([textOf('a'), tensor()], ...entries.map(([key, value]): [typeof key, typeof value] => [key, value])),
    );
    const { remarks } = await open(stream({ pickle, data: [...storageData(6), 1, 2, 3] }));
    expect(remarks).toHaveLength(12);
    expect(remarks.slice(0, 2)).toEqual([
      '3 bytes after the last storage are ignored',
      '"e0" is no tensor and is left out',
    ]);
    expect(remarks.at(-1)).toBe('3 more entries are no tensors and are left out');
  });

  test('numbers that are not finite, integers, and names that are not there', async () => {
    const data = [0, 0, 0x80, 0x7f, ...sixNumbers.slice(4)];
    const name = 'safetensors: "a[0]" expected a finite number, got Infinity.';
    await expect((await open(archive({ data }))).floats('a')).rejects.toThrow(name);
    const file = await openPytorch(createMemorySource(archive({ data })), { allowNonFinite: true });
    expect((await file.floats('a')).data[0]).toBe(Infinity);
    await expect(file.integers('a')).rejects.toMatchObject({ reason: 'WrongDtype' });
    expect(() => file.info('b')).toThrow('openPytorch: "b" expected to be in the file, got nothing.');
    await expect(file.bytes('b')).rejects.toMatchObject({ reason: 'TensorNotFound' });
    const integers = await open(archive({ pickle: stateDict({ type: 'torch.IntStorage' }), data }));
    expect((await integers.integers('a')).data[1]).toBe(0x40000000);
  });

  test('extents that only a zero holds back', async () => {
    const shape = [2 ** 52, 2 ** 52, 0];
    const file = await open(archive({ pickle: stateDict({ shape, strides: [1, 1, 1] }) }));
    expect(await file.floats('a')).toEqual({ shape, data: new Float32Array(0) });
  });
});

describe('a pickle that wants much', () => {
  const limits = {
    'at most 5000000 instructions, got more': [...new Array<number>(5_000_001).fill(0x4e)],
    'at most 1500000 values, got more': [...new Array<number>(1_500_001).fill(0x7d)],
  };
  test.each(Object.entries(limits))('%s', (message, ops) => {
    expect(() => unpickle(Uint8Array.from([0x80, 2, ...ops, 0x2e]))).toThrow(message);
  });

  test('a hundred thousand and one tensors', async () => {
    const ops = dict(
      [textOf('0'), [tensor(), 0x71, 1]],
      ...Array.from({ length: 100_000 }, (_, i): [Ops, Ops] => [textOf(`${i + 1}`), [0x68, 1]]),
    );
    await expect(open(archive({ pickle: pickleOf(ops) }))).rejects.toThrow(
      'openPytorch: "state dict" expected at most 100000 tensors, got 100001.',
    );
  });

  test('a data.pkl of more than 64 MB', async () => {
    const pickle = { length: (64 << 20) + 1 };
    const small = archive();
    const directory = Buffer.from(small).indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    const bytes = new Uint8Array(pickle.length + small.length);
    bytes.set(small.subarray(0, directory));
    bytes.set(small.subarray(directory), pickle.length + directory);
    const view = new DataView(bytes.buffer, pickle.length + directory);
    for (const at of [20, 24]) view.setUint32(at, pickle.length, true);
    const end = Buffer.from(bytes.buffer).lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]));
    new DataView(bytes.buffer).setUint32(end + 16, pickle.length + directory, true);
    await expect(open(bytes)).rejects.toThrow(
      'openPytorch: "m/data.pkl" expected at most 67108864 bytes, got 67108865.',
    );
  });
});

describe('a pickle', () => {
  const ops = (...parts: (number | string | number[])[]): Uint8Array =>
    Uint8Array.from([0x80, 2, ...parts.flatMap(p => (typeof p === 'string' ? [...Buffer.from(p)] : p)), 0x2e]);

  test.each([
    ['ends early', Uint8Array.of(0x80, 2, 0x58, 255, 255, 255, 255), /expected 4294967295 more bytes, got 0/],
    ['takes from an empty stack', ops(0x85), /expected a value, got an empty stack/],
    ['asks for what was not kept', ops(0x68, 7), /expected a value that was kept, got number 7, which was not/],
    ['closes what was not opened', ops(0x74), /expected a mark, got none/],
    ['calls a value', ops(0x4e, 0x29, 0x52), /expected a function that makes tensors, got something else/],
    ['calls a storage class', ops('ctorch\nFloatStorage\n', 0x29, 0x52), /expected a function that makes tensors/],
    ['sets attributes of a list', ops(0x5d, 0x4e, 0x62), /expected a dictionary, got something else/],
    ['has a key without a value', ops(0x7d, 0x28, 0x4e, 0x75), /expected keys with values, got a key without one/],
    ['uses another instruction', ops(0x81), /expected an instruction of a state dict, got 0x81/],
    ['has letters that are none', ops(0x58, 1, 0, 0, 0, 0xff), /expected UTF-8, got other bytes/],
    ['has a name without an end', ops('cos'), /expected the end of a line, got none/],
  ])('%s', (_, bytes, message) => {
    expect(() => unpickle(bytes)).toThrow(message);
  });

  test('of references to references stays small', () => {
    // Each list holds the one before ten times: 10^60 elements, if anybody counted them.
    const parts: number[] = [0x5d, 0x71, 0];
    for (let level = 1; level < 60; level++) {
      parts.push(0x5d, 0x71, level, 0x28);
      for (let i = 0; i < 10; i++) parts.push(0x68, level - 1);
      parts.push(0x65);
    }
    expect(unpickle(ops(parts)).value).toMatchObject({ kind: 'list' });
  });

  test('of a hundred thousand nested tuples is read, and is no state dict', async () => {
    const nested = ops(0x4e, new Array<number>(100_000).fill(0x85));
    expect(unpickle(nested).end).toBe(nested.length);
  });

  test.each([0n, 1n, -1n, 255n, -129n, 2n ** 70n])('the long number %s', value => {
    const bytes: number[] = [];
    for (let rest = value; bytes.length < 10; rest >>= 8n) bytes.push(Number(rest & 255n));
    expect(BigInt(unpickle(ops(0x8a, bytes.length, bytes)).value as number | bigint)).toBe(value);
  });
});

describe('a view that does not fit its storage', () => {
  interface View {
    readonly shape?: number[];
    readonly strides?: number[];
    readonly offset?: number;
    /** Elements the storage claims to have, and the number that stands before its data. */
    readonly claimed?: number;
    readonly counted?: number;
    readonly type?: string;
    readonly keys?: string[];
    readonly name?: number[];
  }
  const text = (value: string): number[] => [0x58, value.length, 0, 0, 0, ...Buffer.from(value)];
  const number = (value: number): number[] => [0x4a, ...new Uint8Array(Int32Array.of(value).buffer)];
  const tuple = (values: number[]): number[] => [0x28, ...values.flatMap(number), 0x74];
  const pickle = (...parts: number[][]): number[] => [0x80, 2, ...parts.flat(), 0x2e];
  const line = (value: string): number[] => [0x63, ...Buffer.from(value)];

  /** The old format with one tensor of 6 numbers, and whatever is wrong with it. */
  function file(view: View): Uint8Array {
    const { shape = [2, 3], strides = [3, 1], offset = 0, claimed = 6, counted = 6, type = 'FloatStorage' } = view;
    const storage = [
      0x28,
      ...text('storage'),
      ...line(`torch\n${type}\n`),
      ...text('k'),
      ...text('cpu'),
      ...number(claimed),
      0x4e,
      0x74,
      0x51,
    ];
    const rebuilt = [
      ...line('torch._utils\n_rebuild_tensor_v2\n'),
      ...[0x28, ...storage, ...number(offset), ...tuple(shape), ...tuple(strides), 0x89, 0x7d, 0x74, 0x52],
    ];
    const magic = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
    return Uint8Array.from([
      ...pickle(magic),
      ...pickle(number(1001)),
      ...pickle([0x7d], text('little_endian'), [0x88, 0x73]),
      ...pickle([0x7d], view.name ?? text('weight'), rebuilt, [0x73]),
      ...pickle([0x5d, 0x28], (view.keys ?? ['k']).flatMap(text), [0x65]),
      ...new Uint8Array(BigInt64Array.of(BigInt(counted)).buffer),
      ...new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer),
    ]);
  }

  test('the file is good when nothing is wrong', async () => {
    expect((await (await open(file({}))).floats('weight')).data).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    const turned = await (await open(file({ shape: [3, 2], strides: [1, 3] }))).floats('weight');
    expect(turned.data).toEqual(Float32Array.of(1, 4, 2, 5, 3, 6));
  });

  test.each<[string, View, RegExp]>([
    ['a negative size', { shape: [-2, 3] }, /expected a shape of whole numbers from 0, got -2/],
    ['a negative stride', { strides: [3, -1] }, /expected strides of whole numbers from 0, got -1/],
    ['a negative offset', { offset: -1 }, /expected an offset of whole numbers from 0, got -1/],
    ['too few strides', { strides: [1] }, /expected 2 strides, got 1/],
    ['an offset beyond the end', { offset: 4 }, /expected to end inside its storage of 6 elements, got element 9/],
    ['strides beyond the end', { strides: [6, 1] }, /expected to end inside its storage of 6 elements, got element 8/],
    [
      'more elements than there are',
      { shape: [4, 3], strides: [1, 1] },
      /expected at most the 6 elements of its storage, got 12/,
    ],
    ['another number of elements in the data', { counted: 5 }, /expected 6 elements, got 5/],
    [
      'a storage longer than the file',
      { claimed: 1e9, counted: 1e9 },
      /expected to end at byte 4000000\d+, got a file of \d+/,
    ],
    ['a storage of another class', { type: 'QInt8Storage' }, /got a pickle that asks for torch.QInt8Storage/],
    ['a storage that is not listed', { keys: [] }, /"storage k" expected to be in the file, got nothing/],
    [
      'a listed storage that the pickle does not have',
      { keys: ['k', 'other'] },
      /"storage keys" expected keys of storages that the pickle has, got another one/,
    ],
    ['a name that is a number', { name: [0x4b, 7] }, /expected names of tensors, got a number/],
  ])('%s', async (_, view, message) => {
    await expect(open(file(view)).then(opened => opened.floats('weight'))).rejects.toThrow(message);
  });
});

test('CRC-32 of "123456789" is 0xcbf43926, whole and in pieces', () => {
  const bytes = new TextEncoder().encode('123456789');
  expect(crc32(bytes)).toBe(0xcbf43926);
  expect(crc32(bytes.subarray(5), crc32(bytes.subarray(0, 5)))).toBe(0xcbf43926);
});

describe('damaged files', () => {
  test('of any kind are accepted or refused by a typed error', async () => {
    const { verdicts } = await fuzzPytorch(8000, 7);
    const reasons = [
      'accepted',
      'InvalidPickle',
      'InvalidArchive',
      'TensorInvalidInfo',
      'WrongChecksum',
      'E_UNSUPPORTED',
    ];
    for (const reason of reasons) expect(verdicts.get(`pytorch ${reason}`), reason).toBeGreaterThan(50);
  });

  test('are the same for the same seed', async () => {
    expect(await fuzzPytorch(300, 8)).toEqual(await fuzzPytorch(300, 8));
  });

  test('of torch itself, in thousands', async () => {
    const seeds = ['zip.bin', 'legacy.bin'].map(fixture);
    const random = randomNumbers(9);
    for (let round = 0; round < 3000; round++) {
      await judgePytorch(mutate(seeds[round % 2]!, seeds, [Uint8Array.of(0x28)], random));
    }
  });
});
