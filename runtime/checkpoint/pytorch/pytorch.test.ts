/** Files that torch wrote, and files that somebody sent. The fixtures come from conformance/generate/make_pytorch_files.py. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { LongformerError } from '../../../contract/errors.ts';
import { createMemorySource } from '../byte-source.ts';
import { openSafetensors, type TensorFile } from '../safetensors.ts';
import { crc32 } from './crc32.ts';
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

describe('what torch writes', () => {
  test.each(['zip.bin', 'legacy.bin'])('%s has the tensors of its safetensors twin', async name => {
    const twin = await valuesOf(await openSafetensors(createMemorySource(fixture('good.safetensors'))));
    const got = await valuesOf(await open(fixture(name)));
    expect([...got.keys()].sort()).toEqual([...twin.keys()].sort());
    for (const [tensor, value] of twin) expect(got.get(tensor), tensor).toEqual(value);
  });

  test('a checkpoint of Lightning has its tensors under "state_dict"', async () => {
    const { tensors } = await open(fixture('lightning.bin'));
    expect([...tensors.keys()]).toEqual(['model.weight']);
  });

  test.each(['parameters.bin', 'module-state.bin'])('%s', async name => {
    const { tensors } = await open(fixture(name));
    expect([...tensors.values()].map(({ shape }) => shape)).toEqual([[3, 2], [3]]);
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
    ['bad-plain-pickle.bin', 'unpickle: "byte 2" expected protocol 2, got 4.'],
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
      /expected 4000000000 bytes, got the end of the file/,
    ],
    ['a storage of another class', { type: 'QInt8Storage' }, /got a pickle that asks for torch.QInt8Storage/],
    ['a storage that is not listed', { keys: [] }, /"storage k" expected to be in the file, got nothing/],
    [
      'a listed storage that nobody uses',
      { keys: ['k', 'other'] },
      /"storage other" expected to be used by a tensor, got nobody/,
    ],
    ['a name that is a number', { name: [0x4b, 7] }, /expected names of tensors, got number/],
  ])('%s', async (_, view, message) => {
    await expect(open(file(view)).then(opened => opened.floats('weight'))).rejects.toThrow(message);
  });
});

test('CRC-32 of "123456789" is 0xcbf43926, whole and in pieces', () => {
  const bytes = new TextEncoder().encode('123456789');
  expect(crc32(bytes)).toBe(0xcbf43926);
  expect(crc32(bytes.subarray(5), crc32(bytes.subarray(0, 5)))).toBe(0xcbf43926);
});

test.each(['zip.bin', 'legacy.bin'])('whatever happens to %s, only typed errors come out', async name => {
  const good = fixture(name);
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % below;
  };
  let refused = 0;
  for (let round = 0; round < 3000; round++) {
    let bytes = good.slice();
    for (let change = 0; change <= random(3); change++) {
      const at = random(bytes.length);
      const kind = random(4);
      if (kind === 0) bytes[at]! ^= 1 << random(8);
      else if (kind === 1) bytes[at] = [0, 255, 0x28, 0x2e, 0x52, 0x80][random(6)]!;
      else if (kind === 2) bytes = bytes.slice(0, at + 1);
      else bytes.copyWithin(at, random(bytes.length), random(bytes.length));
    }
    try {
      await valuesOf(await open(bytes));
    } catch (error) {
      if (!(error instanceof LongformerError)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(500);
});
