import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createMemorySource } from './byte-source.ts';
import { openFileSource } from './byte-source-node.ts';
import { openSafetensors, type TensorFile } from './safetensors.ts';
import { type ByteSink, createSafetensorsWriter, writeSafetensors } from './safetensors-writer.ts';
import { createFileSink, createSafetensorsFile } from './safetensors-writer-node.ts';

const open = (bytes: Uint8Array): Promise<TensorFile> => openSafetensors(createMemorySource(bytes));
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe('writeSafetensors', () => {
  test('the bytes of a file', () => {
    const file = writeSafetensors([
      { name: 'b', dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) },
      { name: 'a', dtype: 'F32', shape: [], data: Float64Array.of(0.5) },
    ]);
    const header =
      '{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}';
    expect(decode(file.subarray(8, 8 + header.length))).toBe(header);
    const padded = Math.ceil(header.length / 8) * 8;
    expect(new DataView(file.buffer).getBigUint64(0, true)).toBe(BigInt(padded));
    expect(decode(file.subarray(8 + header.length, 8 + padded))).toBe(' '.repeat(padded - header.length));
    expect(new Float32Array(file.buffer.slice(8 + padded))).toEqual(Float32Array.of(0.5, 1, 2));
  });

  test('wide dtypes come first, so that every tensor is aligned', async () => {
    const file = await open(
      writeSafetensors([
        { name: 'a', dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) },
        { name: 'b', dtype: 'F32', shape: [1], data: Float32Array.of(1) },
        { name: 'c', dtype: 'F64', shape: [1], data: Float64Array.of(1) },
        { name: 'd', dtype: 'I64', shape: [1], data: Int32Array.of(-7) },
      ]),
    );
    expect([...file.tensors.keys()]).toEqual(['c', 'd', 'b', 'a']);
    for (const { dtype, byteOffset } of file.tensors.values()) {
      expect(byteOffset % ({ F64: 8, I64: 8, F32: 4 }[dtype] ?? 1)).toBe(0);
    }
    expect((await file.integers('d')).data[0]).toBe(-7);
  });

  test('every pair of dtype and data', async () => {
    const floats = [0.1, -2];
    const tensors = [
      { name: 'F64 from doubles', dtype: 'F64', shape: [2], data: Float64Array.from(floats) },
      { name: 'F64 from floats', dtype: 'F64', shape: [2], data: Float32Array.from(floats) },
      { name: 'F32 from doubles', dtype: 'F32', shape: [2], data: Float64Array.from(floats) },
      { name: 'F32 from floats', dtype: 'F32', shape: [2], data: Float32Array.from(floats) },
    ];
    const file = await open(writeSafetensors(tensors));
    expect((await file.floats('F64 from doubles')).data).toEqual(Float64Array.from(floats));
    expect((await file.floats('F64 from floats')).data).toEqual(Float64Array.from(floats, Math.fround));
    for (const from of ['doubles', 'floats']) {
      expect((await file.floats(`F32 from ${from}`)).data).toEqual(Float32Array.from(floats));
    }
    const integers = await open(
      writeSafetensors([
        { name: 'I64', dtype: 'I64', shape: [1], data: BigInt64Array.of(-5n) },
        { name: 'I32', dtype: 'I32', shape: [1], data: Int32Array.of(-5) },
        { name: 'F16', dtype: 'F16', shape: [1], data: Uint8Array.of(0x00, 0x3c) },
      ]),
    );
    expect((await integers.integers('I64')).data[0]).toBe(-5);
    expect((await integers.integers('I32')).data[0]).toBe(-5);
    expect((await integers.floats('F16')).data[0]).toBe(1);
  });

  test('a view into a larger buffer is written as the view', async () => {
    const data = Float64Array.of(1, 2, 3).subarray(1, 2);
    const file = await open(writeSafetensors([{ name: 't', dtype: 'F64', shape: [1], data }]));
    expect((await file.floats('t')).data).toEqual(Float64Array.of(2));
  });

  const t = { name: 't', dtype: 'F32', shape: [1], data: Float32Array.of(1) };
  const refused: [string, Parameters<typeof writeSafetensors>[0], string, string][] = [
    ['too few elements', [{ ...t, shape: [2] }], 'E_SHAPE', '"t" expected 2 elements, got 1.'],
    [
      'bytes that are no whole element',
      [{ ...t, data: new Uint8Array(3) }],
      'E_SHAPE',
      '"t" expected 1 elements, got 0.75.',
    ],
    ['a name twice', [t, t], 'E_RANGE', '"t" expected a name of its own, got it twice.'],
    [
      'a reserved name',
      [{ ...t, name: '__metadata__' }],
      'E_RANGE',
      '"__metadata__" expected a name that is not reserved, got it.',
    ],
    [
      'a name that is no text',
      [{ ...t, name: '\ud800' }],
      'E_RANGE',
      '"\\u{d800}" expected well-formed Unicode, got a lone surrogate.',
    ],
    ['an unknown dtype', [{ ...t, dtype: 'Q8' }], 'E_RANGE', '"t" expected a dtype of whole bytes, got Q8.'],
    ['a dtype of less than a byte', [{ ...t, dtype: 'F4' }], 'E_RANGE', '"t" expected a dtype of whole bytes, got F4.'],
    ['a negative extent', [{ ...t, shape: [1, -1] }], 'E_RANGE', '"t.shape[1]" expected an integer >= 0, got -1.'],
    ['a broken extent', [{ ...t, shape: [0.5] }], 'E_RANGE', '"t.shape[0]" expected an integer >= 0, got 0.5.'],
    [
      'too many bytes',
      [{ ...t, shape: [2 ** 52] }],
      'E_RANGE',
      '"t" expected at most 2^53-1 bytes in all, got 18014398509481984.',
    ],
  ];
  const hint = '\n  Hint: F64 and F32 take floats, I64 and I32 integers; any dtype takes its bytes as Uint8Array.';
  const unwritable: [string, Parameters<typeof writeSafetensors>[0], string, string][] = [
    [
      'F16 from floats',
      [{ ...t, dtype: 'F16' }],
      'E_UNSUPPORTED',
      `"t" expected data that can be written as F16, got Float32Array.${hint}`,
    ],
    [
      'I64 from floats',
      [{ ...t, dtype: 'I64' }],
      'E_UNSUPPORTED',
      `"t" expected data that can be written as I64, got Float32Array.${hint}`,
    ],
    [
      'I32 from bigints',
      [{ ...t, dtype: 'I32', data: BigInt64Array.of(1n) }],
      'E_UNSUPPORTED',
      `"t" expected data that can be written as I32, got BigInt64Array.${hint}`,
    ],
    [
      'F32 from integers',
      [{ ...t, data: Int32Array.of(1) }],
      'E_UNSUPPORTED',
      `"t" expected data that can be written as F32, got Int32Array.${hint}`,
    ],
  ];
  test.each([...refused, ...unwritable])('%s', (_, tensors, code, message) => {
    expect(() => writeSafetensors(tensors)).toThrow(
      expect.objectContaining({ code, message: `writeSafetensors: ${message}` }),
    );
  });
});

test.each([
  ['key', new Map([['\udc00', '']])],
  ['value', new Map([['k', '\ud800']])],
])('metadata whose %s is no text', (_, metadata) => {
  const message = 'writeSafetensors: "__metadata__" expected well-formed Unicode, got a lone surrogate.';
  expect(() => writeSafetensors([], metadata)).toThrow(expect.objectContaining({ code: 'E_RANGE', message }));
});

/** Keeps what is written, and fails at the n-th step if told to. */
function memorySink(failAt = Infinity): ByteSink & { bytes: Uint8Array; committed: boolean; discarded: number } {
  let steps = 0;
  const step = (): void => {
    if (++steps === failAt) throw new Error(`step ${failAt}`);
  };
  return {
    bytes: new Uint8Array(1000),
    committed: false,
    discarded: 0,
    async write(position, bytes) {
      step();
      this.bytes.set(bytes, position);
    },
    async commit() {
      step();
      this.committed = true;
    },
    async discard() {
      this.discarded++;
    },
  };
}

const declarations = [
  { name: 'a', dtype: 'F64', shape: [2, 3] },
  { name: 'b', dtype: 'F32', shape: [0] },
  { name: 'c', dtype: 'F32', shape: [4] },
];

describe('piece by piece', () => {
  test('any order gives the bytes of all at once', async () => {
    const a = Float64Array.of(1, 2, 3, 4, 5, 6);
    const c = Float64Array.of(7, 8, 9, 10);
    const whole = writeSafetensors(declarations.map(d => ({ ...d, data: { a, b: new Float64Array(0), c }[d.name]! })));
    const pieces: [string, number, number][] = [
      ['a', 4, 6],
      ['c', 0, 1],
      ['a', 0, 1],
      ['c', 2, 4],
      ['a', 2, 4],
      ['a', 1, 2],
      ['a', 3, 3],
      ['c', 1, 2],
    ];
    for (const order of [pieces, pieces.toReversed(), pieces.toSorted()]) {
      const sink = memorySink();
      const writer = await createSafetensorsWriter(sink, declarations);
      for (const [name, begin, end] of order) await writer.write(name, begin, { a, c }[name]!.subarray(begin, end));
      await writer.finish();
      expect(sink).toMatchObject({ committed: true, discarded: 0 });
      expect(sink.bytes.subarray(0, whole.length)).toEqual(whole);
    }
  });

  const wrong: [string, string, number, number, string][] = [
    ['unknown name', 'x', 0, 1, '"x" expected a declared tensor, got another name.'],
    ['past the end', 'a', 5, 2, '"a" expected elements inside 0..6, got 5..7.'],
    ['negative offset', 'a', -1, 1, '"a" expected elements inside 0..6, got -1..0.'],
    ['broken offset', 'a', 0.5, 1, '"a" expected elements inside 0..6, got 0.5..1.5.'],
    ['the same again', 'a', 2, 2, '"a" expected each element once, got 2..4 again.'],
    ['over the front', 'a', 1, 2, '"a" expected each element once, got 1..3 again.'],
    ['over the back', 'a', 3, 2, '"a" expected each element once, got 3..5 again.'],
    ['over everything', 'a', 0, 6, '"a" expected each element once, got 0..6 again.'],
  ];
  test.each(wrong)('%s is refused, and the writer goes on', async (_, name, offset, length, message) => {
    const sink = memorySink();
    const writer = await createSafetensorsWriter(sink, declarations);
    await writer.write('a', 2, new Float64Array(2));
    await expect(writer.write(name, offset, new Float64Array(length))).rejects.toMatchObject({
      code: 'E_RANGE',
      message: `writeSafetensors: ${message}`,
    });
    for (const [begin, end] of [
      [0, 2],
      [4, 6],
    ] as const)
      await writer.write('a', begin, new Float64Array(end - begin));
    await writer.write('c', 0, new Float64Array(4));
    await writer.finish();
    expect(sink.committed).toBe(true);
  });

  const gaps: [string, [number, number][], number][] = [
    ['nothing', [], 0],
    ['the front', [[1, 6]], 0],
    [
      'the middle',
      [
        [0, 2],
        [3, 6],
      ],
      2,
    ],
    ['the end', [[0, 5]], 5],
  ];
  test.each(gaps)('finish without %s leaves nothing', async (_, ranges, gap) => {
    const sink = memorySink();
    const writer = await createSafetensorsWriter(sink, declarations);
    await writer.write('c', 0, new Float64Array(4));
    for (const [begin, end] of ranges) await writer.write('a', begin, new Float64Array(end - begin));
    await expect(writer.finish()).rejects.toMatchObject({
      code: 'E_SHAPE',
      message: `writeSafetensors: "a" expected all 6 elements, got none at ${gap}.`,
    });
    expect(sink).toMatchObject({ committed: false, discarded: 1 });
  });

  test('a failure of any step discards the file, once', async () => {
    for (let failAt = 1; ; failAt++) {
      const sink = memorySink(failAt);
      let writer: Awaited<ReturnType<typeof createSafetensorsWriter>> | undefined;
      const whole = async (): Promise<void> => {
        writer = await createSafetensorsWriter(sink, declarations);
        await writer.write('a', 0, new Float64Array(6));
        await writer.write('c', 0, new Float64Array(4));
        await writer.finish();
      };
      const failed = await whole().then(
        () => false,
        () => true,
      );
      await writer?.abort();
      expect(sink).toMatchObject({ committed: !failed, discarded: failed ? 1 : 0 });
      if (!failed) {
        expect(failAt).toBe(5); // header, two pieces, commit: every one of them has failed before
        break;
      }
    }
  });

  test('abort discards once; nothing can be done afterwards', async () => {
    const sink = memorySink();
    const writer = await createSafetensorsWriter(sink, declarations);
    await writer.abort();
    await writer.abort();
    expect(sink.discarded).toBe(1);
    const message = 'writeSafetensors: "writer" expected to be open, got a finished, aborted or failed one.';
    await expect(writer.write('a', 0, new Float64Array(1))).rejects.toMatchObject({ message });
    await expect(writer.finish()).rejects.toMatchObject({ message });
  });

  test('impossible declarations discard the file', async () => {
    const sink = memorySink();
    await expect(createSafetensorsWriter(sink, [declarations[0]!, declarations[0]!])).rejects.toMatchObject({
      code: 'E_RANGE',
    });
    expect(sink.discarded).toBe(1);
  });
});

describe('on disk', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'longformer-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const t = [{ name: 't', dtype: 'F32', shape: [2] }];

  test('the file appears when it is finished, and only then', async () => {
    const path = join(directory, 'out.safetensors');
    await writeFile(path, 'old');
    const writer = await createSafetensorsFile(path, t, new Map([['k', 'v']]));
    await writer.write('t', 1, Float64Array.of(2));
    await writer.write('t', 0, Float32Array.of(1));
    expect(await readFile(path, 'utf8')).toBe('old');
    await writer.finish();
    expect(await readdir(directory)).toEqual(['out.safetensors']);
    const file = await openSafetensors(await openFileSource(path));
    expect((await file.floats('t')).data).toEqual(Float32Array.of(1, 2));
    expect(file.metadata.get('k')).toBe('v');
    await file.close();
  });

  test('abort and a failed finish leave the old file and nothing else', async () => {
    const path = join(directory, 'out.safetensors');
    await writeFile(path, 'old');
    await (await createSafetensorsFile(path, t)).abort();
    await expect((await createSafetensorsFile(path, t)).finish()).rejects.toMatchObject({ code: 'E_SHAPE' });
    expect(await readdir(directory)).toEqual(['out.safetensors']);
    expect(await readFile(path, 'utf8')).toBe('old');
  });

  test('a failed rename leaves nothing', async () => {
    const writer = await createSafetensorsFile(directory, [], undefined, join(directory, 'temporary'));
    await expect(writer.finish()).rejects.toMatchObject({
      code: 'E_IO',
      subject: directory,
      expected: 'a file that can be written',
    });
    expect(await readdir(directory)).toEqual([]);
  });

  test('a directory that is not there', async () => {
    const path = join(directory, 'absent', 'out.safetensors');
    await expect(createSafetensorsFile(path, t)).rejects.toMatchObject({
      code: 'E_IO',
      message: `createSafetensorsFile: "${path}" expected a file that can be written, got ENOENT.`,
      cause: expect.objectContaining({ code: 'ENOENT' }),
    });
  });

  test('the temporary file is never written through a link', async () => {
    const victim = join(directory, 'victim');
    const temporary = join(directory, 'temporary');
    await writeFile(victim, 'old');
    await symlink(victim, temporary);
    await expect(createFileSink(join(directory, 'out'), temporary)).rejects.toMatchObject({ got: 'EEXIST' });
    expect(await readFile(victim, 'utf8')).toBe('old');
  });

  test('a failed write is an IoError', async () => {
    const sink = await createFileSink(join(directory, 'out'));
    await sink.discard();
    await expect(sink.write(0, Uint8Array.of(1))).rejects.toMatchObject({ code: 'E_IO', got: 'EBADF' });
  });
});
