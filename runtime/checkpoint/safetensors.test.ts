import { describe, expect, test } from 'vitest';
import { type ByteSource, createMemorySource } from './byte-source.ts';
import { entry, safetensorsFile } from './hostile-files.ts';
import { openSafetensors, parseSafetensorsHeader, type SafetensorsOptions, type TensorFile } from './safetensors.ts';
import { writeSafetensors } from './safetensors-writer.ts';

const open = (bytes: Uint8Array, options: SafetensorsOptions = {}): Promise<TensorFile> =>
  openSafetensors(createMemorySource(bytes), options);

/** A file with one tensor "t" of these bytes, after a tensor of one byte, so that nothing is aligned. */
function unaligned(dtype: string, bytes: Uint8Array, elements: number): Uint8Array {
  const t = entry({ dtype: `"${dtype}"`, shape: `[${elements}]`, offsets: `[1,${1 + bytes.length}]` });
  return safetensorsFile(`{"first":${entry()},"t":${t}}`, new Uint8Array([9, ...bytes]));
}

/** The bytes of typed arrays, whatever their kind. */
const raw = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

describe('floats', () => {
  test('F64 stays double', async () => {
    const values = Float64Array.of(Math.PI, -0, 5e-324, 1.7976931348623157e308);
    const { shape, data } = await (await open(unaligned('F64', raw(values), 4))).floats('t');
    expect(shape).toEqual([4]);
    expect(data).toEqual(values);
  });

  test('F32 is read as it stands', async () => {
    const values = Float32Array.of(0.1, -0, 1e-45, 3.4e38);
    expect((await (await open(unaligned('F32', raw(values), 4))).floats('t')).data).toEqual(values);
  });

  test('F16: every one of its 65,536 values', async () => {
    const bits = Uint16Array.from({ length: 0x10000 }, (_, i) => i);
    const file = await open(unaligned('F16', raw(bits), bits.length), { allowNonFinite: true });
    const { data } = await file.floats('t');
    expect(data).toBeInstanceOf(Float32Array);
    const known: [number, number][] = [
      [0x0000, 0],
      [0x8000, -0],
      [0x0001, 2 ** -24],
      [0x03ff, 1023 * 2 ** -24],
      [0x0400, 2 ** -14],
      [0x3c00, 1],
      [0xc000, -2],
      [0x3555, 0.333251953125],
      [0x7bff, 65504],
      [0x7c00, Infinity],
      [0xfc00, -Infinity],
      [0x7e00, NaN],
    ];
    for (const [pattern, value] of known) expect(data[pattern]).toBe(value);
    // Positive finite values grow with their pattern, each by one step of its exponent.
    for (let i = 1; i < 0x7c00; i++) expect(data[i]! - data[i - 1]!).toBe(2 ** (Math.max((i - 1) >> 10, 1) - 25));
    for (let i = 0; i < 0x7c00; i++) expect(data[i + 0x8000]).toBe(-data[i]!);
  });

  test('BF16 is the upper half of F32', async () => {
    const bits = Uint16Array.of(0x3f80, 0xbf80, 0x0000, 0x8000, 0x0001, 0x4049);
    const { data } = await (await open(unaligned('BF16', raw(bits), 6))).floats('t');
    expect([...data]).toEqual([1, -1, 0, -0, 2 ** -133, 3.140625]);
  });

  test('a tensor is the caller’s own: nothing is shared with the file or the next read', async () => {
    const bytes = writeSafetensors([{ name: 't', dtype: 'F32', shape: [1], data: Float32Array.of(1) }]);
    const file = await open(bytes);
    const { data } = await file.floats('t');
    data[0] = 7;
    expect((await file.floats('t')).data[0]).toBe(1);
  });

  test.each([NaN, Infinity, -Infinity])('%d is refused, naming tensor and element', async value => {
    const values = Float32Array.of(0, 1, value);
    await expect((await open(unaligned('F32', raw(values), 3))).floats('t')).rejects.toMatchObject({
      reason: 'NotFinite',
      message: `safetensors: "t[2]" expected a finite number, got ${value}.`,
    });
    const lenient = await open(unaligned('F32', raw(values), 3), { allowNonFinite: true });
    expect((await lenient.floats('t')).data[2]).toBe(value);
  });

  test('integers are no floats', async () => {
    await expect((await open(unaligned('I32', raw(Int32Array.of(1)), 1))).floats('t')).rejects.toMatchObject({
      reason: 'WrongDtype',
      message: 'safetensors: "t" expected dtype F64, F32, F16, BF16, got I32.',
    });
  });

  test.each(['F8_E4M3', 'F8_E5M2', 'F8_E8M0', 'F8_E5M2FNUZ', 'F8_E4M3FNUZ'])('%s is not supported', async dtype => {
    await expect((await open(unaligned(dtype, Uint8Array.of(1), 1))).floats('t')).rejects.toMatchObject({
      code: 'E_UNSUPPORTED',
      message:
        `safetensors: "t" expected dtype F64, F32, F16, BF16, got ${dtype}.\n` +
        '  Hint: convert the checkpoint to F32, F16 or BF16.',
    });
  });
});

describe('integers', () => {
  const cases: [string, ArrayBufferView, number[]][] = [
    ['I64', BigInt64Array.of(-2147483648n, 2147483647n, 0n), [-2147483648, 2147483647, 0]],
    ['I32', Int32Array.of(-1, 5), [-1, 5]],
    ['I16', Int16Array.of(-32768, 32767), [-32768, 32767]],
    ['I8', Int8Array.of(-128, 127), [-128, 127]],
    ['U64', BigUint64Array.of(50264n), [50264]],
    ['U32', Uint32Array.of(2147483647), [2147483647]],
    ['U16', Uint16Array.of(65535), [65535]],
    ['U8', Uint8Array.of(0, 255), [0, 255]],
    ['BOOL', Uint8Array.of(0, 1, 2, 255), [0, 1, 1, 1]],
  ];
  test.each(cases)('%s', async (dtype, values, expected) => {
    const file = await open(unaligned(dtype, raw(values), expected.length));
    expect(await file.integers('t')).toEqual({ shape: [expected.length], data: Int32Array.from(expected) });
  });

  const outside: [string, ArrayBufferView, string][] = [
    ['I64', BigInt64Array.of(0n, 2147483648n), '2147483648'],
    ['I64', BigInt64Array.of(0n, -2147483649n), '-2147483649'],
    ['I64', BigInt64Array.of(0n, 9007199254740993n), '9007199254740993'],
    ['U64', BigUint64Array.of(0n, 2n ** 64n - 1n), '18446744073709551615'],
    ['U32', Uint32Array.of(0, 4294967295), '4294967295'],
  ];
  test.each(outside)('%s beyond 32 bits is refused, not wrapped', async (dtype, values, got) => {
    await expect((await open(unaligned(dtype, raw(values), 2))).integers('t')).rejects.toMatchObject({
      reason: 'IntegerOutOfRange',
      message: `safetensors: "t[1]" expected an integer in -2147483648..2147483647, got ${got}.`,
    });
  });

  test('floats are no integers', async () => {
    await expect((await open(unaligned('F32', raw(Float32Array.of(1)), 1))).integers('t')).rejects.toMatchObject({
      reason: 'WrongDtype',
      message: 'safetensors: "t" expected dtype I64, I32, I16, I8, U64, U32, U16, U8, BOOL, got F32.',
    });
  });
});

describe('the file', () => {
  test('names that mean something to JavaScript are names', async () => {
    const names = ['__proto__', 'constructor', 'toString', '7', ''];
    const file = await open(
      writeSafetensors(names.map((name, i) => ({ name, dtype: 'I32', shape: [], data: Int32Array.of(i) }))),
    );
    for (const [i, name] of names.entries()) expect((await file.integers(name)).data[0]).toBe(i);
    await expect(file.integers('hasOwnProperty')).rejects.toMatchObject({ reason: 'TensorNotFound' });
  });

  test('a tensor that is not there', async () => {
    const file = await open(safetensorsFile('{}'));
    const message = 'safetensors: "absent" expected to be in the file, got nothing.';
    expect(() => file.info('absent')).toThrow(expect.objectContaining({ reason: 'TensorNotFound', message }));
    await expect(file.floats('absent')).rejects.toMatchObject({ message });
    await expect(file.bytes('absent')).rejects.toMatchObject({ message });
  });

  test('bytes, or some of them, and metadata', async () => {
    const metadata = new Map([['format', 'pt']]);
    const file = await open(
      writeSafetensors([{ name: 't', dtype: 'U8', shape: [4], data: Uint8Array.of(1, 2, 3, 4) }], metadata),
    );
    expect(await file.bytes('t')).toEqual(Uint8Array.of(1, 2, 3, 4));
    expect(await file.bytes('t', 1, 3)).toEqual(Uint8Array.of(2, 3));
    expect(file.metadata).toEqual(metadata);
    expect(file.remarks).toEqual([]);
    expect(file.info('t')).toMatchObject({ name: 't', dtype: 'U8', shape: [4], byteLength: 4 });
  });

  test('bytes read from memory are copies', async () => {
    const bytes = Uint8Array.of(1, 2);
    const read = await createMemorySource(bytes).read(0, 2);
    read[0] = 7;
    expect(bytes[0]).toBe(1);
  });

  test('tensors come in the order of their data', async () => {
    const header = `{"a":${entry({ offsets: '[2,3]' })},"b":${entry()},"c":${entry({ offsets: '[1,2]' })}}`;
    expect([...(await open(safetensorsFile(header, 3))).tensors.keys()]).toEqual(['b', 'c', 'a']);
  });

  test('empty tensors stand before the one that begins where they do, whatever the order of the names', async () => {
    const empty = entry({ shape: '[0]', offsets: '[0,0]' });
    for (const header of [`{"a":${empty},"b":${entry()}}`, `{"b":${entry()},"a":${empty}}`]) {
      expect([...(await open(safetensorsFile(header, 1))).tensors.keys()]).toEqual(['a', 'b']);
    }
  });

  test('a source may hand out part of a larger buffer', async () => {
    const bytes = writeSafetensors([{ name: 't', dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) }]);
    const memory = createMemorySource(bytes);
    const source: ByteSource = {
      ...memory,
      read: async (begin, end) => new Uint8Array([0, ...(await memory.read(begin, end)), 0]).subarray(1, -1),
    };
    expect((await (await openSafetensors(source)).floats('t')).data).toEqual(Float32Array.of(1, 2));
  });

  test('the source is closed by close, and when the file is refused', async () => {
    let closed = 0;
    const source = (bytes: Uint8Array): ByteSource => ({
      ...createMemorySource(bytes),
      close: async () => void closed++,
    });
    await (await openSafetensors(source(safetensorsFile('{}')))).close();
    expect(closed).toBe(1);
    await expect(openSafetensors(source(new Uint8Array(3)))).rejects.toThrow();
    expect(closed).toBe(2);
  });

  test('opening reads the header and nothing else', async () => {
    const bytes = writeSafetensors([{ name: 't', dtype: 'F32', shape: [1000], data: new Float32Array(1000) }]);
    const memory = createMemorySource(bytes);
    const ranges: [number, number][] = [];
    const source: ByteSource = {
      ...memory,
      read: (begin, end) => {
        ranges.push([begin, end]);
        return memory.read(begin, end);
      },
    };
    await openSafetensors(source);
    expect(ranges).toEqual([
      [0, 8],
      [8, bytes.length - 4000],
    ]);
  });

  test('no read of any length field reaches beyond the file', async () => {
    for (const length of [2n ** 64n - 1n, 100_000_000n, 1000n]) {
      const memory = createMemorySource(safetensorsFile('{}', 0, length));
      const source: ByteSource = {
        ...memory,
        read: (begin, end) => {
          expect(end).toBeLessThanOrEqual(memory.size);
          return memory.read(begin, end);
        },
      };
      await expect(openSafetensors(source)).rejects.toMatchObject({ code: 'E_CHECKPOINT' });
    }
  });
});

describe('messages', () => {
  const incomplete = '\n  Hint: the download is incomplete; compare its sha256 with the model card.';
  const other = '\n  Hint: this is not a safetensors file.';
  const one = (fields: Parameters<typeof entry>[0]): string => `{"a":${entry(fields)}}`;
  const messages: [string, Uint8Array, string][] = [
    ['HeaderTooSmall', new Uint8Array(3), `"header length" expected 8 bytes, got a file of 3.${incomplete}`],
    [
      'HeaderTooLarge',
      safetensorsFile('{}', 0, 2n ** 64n - 1n),
      `"header length" expected at most 100000000 bytes, got 18446744073709551615.${other}`,
    ],
    [
      'InvalidHeaderLength',
      safetensorsFile('{}', 0, 3n),
      `"header length" expected at most the 2 bytes that follow, got 3.${incomplete}`,
    ],
    ['InvalidHeader', safetensorsFile(Uint8Array.of(0xff)), `"header" expected UTF-8, got other bytes.${other}`],
    ['InvalidHeaderDeserialization', safetensorsFile('[]'), `"header[0]" expected '{', got "[]".`],
    [
      'InvalidHeaderDeserialization',
      safetensorsFile('{"a'),
      '"header[3]" expected a closed string without control characters, got its end.',
    ],
    [
      'InvalidHeaderDeserialization',
      safetensorsFile('{"\\ud800":1}'),
      '"header[2]" expected a string with valid escapes, got "\\\\ud800\\":1}".',
    ],
    [
      'InvalidHeaderDeserialization',
      safetensorsFile(one({ shape: '[1.5]' }), 1),
      '"header[28]" expected an integer in 0..2^64-1, got "1.5],\\"data_offsets\\":".',
    ],
    ...['.0', 'e0', 'E0'].map((rest): [string, Uint8Array, string] => [
      'InvalidHeaderDeserialization',
      safetensorsFile(one({ offsets: `[0,1${rest}]` }), 1),
      `"header[49]" expected an integer in 0..2^64-1, got "1${rest}]}}".`,
    ]),
    [
      'InvalidHeaderDeserialization',
      safetensorsFile(one({ extra: '"b":1' }), 1),
      '"header[52]" expected dtype, shape and data_offsets, each once, got "\\"b\\":1}}".',
    ],
    [
      'InvalidHeaderDeserialization',
      safetensorsFile(one({ dtype: '' }), 1),
      '"header[5]" expected an entry with dtype, shape and two data_offsets, got "{\\"shape\\":[1],\\"data_o".',
    ],
    [
      'InvalidHeaderDeserialization',
      safetensorsFile(one({ offsets: '[0,1,2]' }), 1),
      '"header[51]" expected two offsets, got "2]}}".',
    ],
    [
      'InvalidHeaderDeserialization',
      safetensorsFile('{"__metadata__":{},"__metadata__":{}}'),
      '"header[34]" expected __metadata__ once, got "{}}".',
    ],
    [
      'InvalidHeaderDeserialization',
      safetensorsFile('{}x'),
      '"header[2]" expected nothing after the header object, got "x".',
    ],
    [
      'InvalidHeaderDeserialization',
      safetensorsFile(one({ dtype: '"Q4"' }), 1),
      '"a" expected a dtype of the format, got "Q4".',
    ],
    [
      'DuplicateName',
      safetensorsFile(`{"a":${entry()},"a":{}}`, 1),
      '"header[57]" expected the name "a" once, got "{}}".',
    ],
    [
      'DuplicateName',
      safetensorsFile('{"__metadata__":{"k":"","k":""}}'),
      '"header[28]" expected "k" once in __metadata__, got "\\"\\"}}".',
    ],
    [
      'RankTooLarge',
      safetensorsFile(one({ shape: `[${Array(65).fill(1)}]` }), 1),
      '"header[156]" expected at most 64 dimensions, got "1],\\"data_offsets\\":[0".',
    ],
    [
      'InvalidOffset',
      safetensorsFile(one({ offsets: '[1,2]' }), 2),
      '"a" expected data from byte 0, without hole or overlap, got 1..2.',
    ],
    [
      'ValidationOverflow',
      safetensorsFile(one({ shape: '[4294967296,4294967296]' }), 1),
      '"a" expected fewer than 2^64 bits, got shape (4294967296, 4294967296) of U8.',
    ],
    [
      'ValidationOverflow',
      safetensorsFile(one({ shape: '[0,9007199254740992]', offsets: '[0,0]' })),
      '"a" expected extents of at most 2^53-1, got shape (0, 9007199254740992).',
    ],
    ['MisalignedSlice', safetensorsFile(one({ dtype: '"F4"' }), 1), '"a" expected whole bytes, got 4 bits.'],
    [
      'TensorInvalidInfo',
      safetensorsFile(one({ shape: '[2]' }), 1),
      '"a" expected 2 bytes for shape (2) of U8, got 1 bytes, 0..1.',
    ],
    [
      'MetadataIncompleteBuffer',
      safetensorsFile(`{"a":${entry()},"b":${entry({ offsets: '[1,2]' })}}`, 1),
      `"b" expected data that ends at byte 115, got a file of 114.${incomplete}`,
    ],
    [
      'MetadataIncompleteBuffer',
      safetensorsFile(one({}), 3),
      '"data" expected data that ends at byte 62, got a file of 64.\n  Hint: bytes after the last tensor are not allowed.',
    ],
  ];
  test.each(messages)('%s %#', async (reason, bytes, message) => {
    await expect(open(bytes)).rejects.toMatchObject({
      code: 'E_CHECKPOINT',
      name: 'CheckpointError',
      reason,
      message: `safetensors: ${message}`,
    });
  });

  test('our own limits', async () => {
    const two = safetensorsFile(`{"a":${entry()},"b":${entry({ offsets: '[1,2]' })}}`, 2);
    await expect(open(two, { maxTensors: 1 })).rejects.toMatchObject({
      reason: 'TooManyTensors',
      message: `safetensors: "header[57]" expected at most 1 tensors, got ${JSON.stringify(entry().slice(0, 20))}.`,
    });
    await expect(open(two, { maxHeaderBytes: two.length - 10, maxTensors: 2 })).resolves.toBeDefined();
    await expect(open(two, { maxHeaderBytes: two.length - 11 })).rejects.toMatchObject({ reason: 'HeaderTooLarge' });
    await expect(open(two, { maxHeaderBytes: 10 })).rejects.toMatchObject({
      reason: 'HeaderTooLarge',
      message: 'safetensors: "header length" expected at most 10 bytes, got 105.\n  Hint: raise maxHeaderBytes.',
    });
    await expect(open(safetensorsFile(one({ shape: '[1,1]' }), 1), { maxRank: 1 })).rejects.toMatchObject({
      reason: 'RankTooLarge',
    });
  });

  test('names of the file cannot write to the terminal, nor fill it', () => {
    const name = `\u001b[2J${'x'.repeat(1000)}`;
    const header = `{${JSON.stringify(name)}:${entry({ offsets: '[1,2]' })}}`;
    expect(() => parseSafetensorsHeader(new TextEncoder().encode(header), 2)).toThrow(
      expect.objectContaining({
        subject: name,
        message: `safetensors: "\\u{1b}[2J${'x'.repeat(196)}…" expected data from byte 0, without hole or overlap, got 1..2.`,
      }),
    );
  });
});
