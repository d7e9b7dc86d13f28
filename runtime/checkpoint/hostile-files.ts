/**
 * Every kind of damaged or hostile safetensors file we know of, made in memory: the negative suite of safetensors.ts, and the
 * seeds of fuzz.ts. Verdicts are the safetensors crate's unless a line says otherwise.
 */
import type { CheckpointReason } from '../../contract/errors.ts';

export interface HostileFile {
  readonly fault: string;
  /** The reason it is refused for, or accepted. */
  readonly verdict: CheckpointReason | 'accepted';
  readonly bytes: Uint8Array;
  /** Why we differ from the crate, where we do. */
  readonly differs?: string;
}

/** A file: length field (the header's own length unless given), header, data. */
export function safetensorsFile(
  header: string | Uint8Array,
  data: number | Uint8Array = 0,
  length?: bigint,
): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const tail = typeof data === 'number' ? new Uint8Array(data) : data;
  const bytes = new Uint8Array(8 + text.length + tail.length);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(tail, 8 + text.length);
  return bytes;
}

/** One entry, with any of its fields replaced by JSON text; '' leaves a field out. */
export function entry(fields: { dtype?: string; shape?: string; offsets?: string; extra?: string } = {}): string {
  const { dtype = '"U8"', shape = '[1]', offsets = '[0,1]', extra = '' } = fields;
  const parts = [
    dtype && `"dtype":${dtype}`,
    shape && `"shape":${shape}`,
    offsets && `"data_offsets":${offsets}`,
    extra,
  ];
  return `{${parts.filter(part => part !== '').join(',')}}`;
}

/** A header with the tensor "a" made of these fields. */
const one = (fields: Parameters<typeof entry>[0]): string => `{"a":${entry(fields)}}`;
const valid = one({});
const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
const utf8 = (...parts: (string | number[])[]): Uint8Array =>
  Uint8Array.from(parts.flatMap(part => (typeof part === 'string' ? [...new TextEncoder().encode(part)] : part)));

const unreadable = 'InvalidHeaderDeserialization';

const lengthField: [string, HostileFile['verdict'], Uint8Array, string?][] = [
  ['empty file', 'HeaderTooSmall', new Uint8Array(0)],
  ['7 bytes', 'HeaderTooSmall', new Uint8Array(7)],
  ['N = 100,000,001', 'HeaderTooLarge', safetensorsFile(valid, 1, 100_000_001n)],
  ['N = 2^32', 'HeaderTooLarge', safetensorsFile(valid, 1, 2n ** 32n)],
  ['N = 2^53', 'HeaderTooLarge', safetensorsFile(valid, 1, 2n ** 53n)],
  ['N = 2^63', 'HeaderTooLarge', safetensorsFile(valid, 1, 2n ** 63n)],
  ['N = 2^64 - 1', 'HeaderTooLarge', safetensorsFile(valid, 1, 2n ** 64n - 1n)],
  ['N = 100,000,000 on a small file', 'InvalidHeaderLength', safetensorsFile(valid, 1, 100_000_000n)],
  ['N one byte beyond the file', 'InvalidHeaderLength', safetensorsFile(valid, 1, BigInt(valid.length + 2))],
  ['N one short', unreadable, safetensorsFile(valid, 1, BigInt(valid.length - 1))],
  ['N one long', unreadable, safetensorsFile(valid, 1, BigInt(valid.length + 1))],
  ['N = 0', unreadable, new Uint8Array(8)],
  ['a header above our own limit', 'HeaderTooLarge', safetensorsFile(' '.repeat(25_000_001)), 'the crate takes 100 MB'],
];

const encodings: [string, HostileFile['verdict'], Uint8Array | string, string?][] = [
  ['header not UTF-8', 'InvalidHeader', utf8('{"a', [0xff], '":', entry(), '}')],
  ['overlong encoding of "/"', 'InvalidHeader', utf8('{"a', [0xc0, 0xaf], '":', entry(), '}')],
  ['surrogate encoded in UTF-8', 'InvalidHeader', utf8('{"a', [0xed, 0xa0, 0x80], '":', entry(), '}')],
  ['byte order mark', unreadable, utf8([0xef, 0xbb, 0xbf], valid)],
  ['no-break space before the object', unreadable, `\u00a0${valid}`],
  ['vertical tab before the object', unreadable, `\v${valid}`],
  ['comment', unreadable, `/**/${valid}`],
  ['NaN', unreadable, one({ shape: '[NaN]' })],
  ['trailing comma in the object', unreadable, `{"a":${entry()},}`],
  ['trailing comma in a list', unreadable, one({ shape: '[1,]' })],
  ['two documents', unreadable, `${valid}{}`],
  ['trailing NUL', unreadable, `${valid}\0`],
  ['the last control character in a name', unreadable, `{"a\u001f":${entry()}}`],
  ['DEL in a name', 'accepted', `{"a\u007f":${entry()}}`],
  ['control character in a name', unreadable, `{"a\n":${entry()}}`],
  ['8 zero bytes as a header', unreadable, new Uint8Array(8)],
  ['lone surrogate escape', unreadable, `{"\\ud800":${entry()}}`],
  ['surrogate escapes in the wrong order', unreadable, `{"\\udc00\\ud800":${entry()}}`],
  ['escape that does not exist', unreadable, `{"\\x61":${entry()}}`],
  ['name that ends in a backslash', unreadable, '{"\\'],
  ['surrogate pair by escapes', 'accepted', `{"\\ud83d\\ude00":${entry()}}`],
  ['top level list', unreadable, '[]'],
  ['top level number', unreadable, '1'],
  ['top level string', unreadable, '"a"'],
  ['top level null', unreadable, 'null'],
  ['leading and trailing white space', 'accepted', ` \t\r\n${valid} \t\r\n`],
  ['no tensors', 'accepted', '{}'],
  ['unclosed object', unreadable, valid.slice(0, -1)],
  ['name without quotes', unreadable, `{a:${entry()}}`],
  ['no colon', unreadable, `{"a" ${entry()}}`],
  ['single quotes', unreadable, valid.replaceAll('"', "'")],
];

const lastWins = 'the crate keeps the last one, though its README forbids it';
const names: [string, HostileFile['verdict'], string, string?][] = [
  ['the same tensor twice', 'DuplicateName', `{"a":${entry()},"a":${entry()}}`, lastWins],
  ['one name, two tensors', 'DuplicateName', `{"a":${entry()},"a":${entry({ offsets: '[1,2]' })}}`, lastWins],
  ['one name, once written \\u0061', 'DuplicateName', `{"a":${entry()},"\\u0061":${entry()}}`, lastWins],
  ['__metadata__ twice', unreadable, `{"__metadata__":{},"__metadata__":{},"a":${entry()}}`],
  ['__metadata__ null, then an object', unreadable, `{"__metadata__":null,"__metadata__":{},"a":${entry()}}`],
  ['a key twice in __metadata__', 'DuplicateName', `{"__metadata__":{"k":"1","k":"2"},"a":${entry()}}`, lastWins],
  ['__metadata__ null', 'accepted', `{"__metadata__":null,"a":${entry()}}`],
  ['__metadata__ with text', 'accepted', `{"__metadata__":{"format":"pt","__proto__":"x"},"a":${entry()}}`],
  ...['1', '[]', '"x"', 'true', 'nul', '{"k":1}', '{"k":{}}', '{"k":null}', '{"k":["x"]}'].map(
    (value): [string, HostileFile['verdict'], string] => [
      `__metadata__ ${value}`,
      unreadable,
      `{"__metadata__":${value},"a":${entry()}}`,
    ],
  ),
  ['name ../../etc/passwd', 'accepted', `{"../../etc/passwd":${entry()}}`],
  ['empty name', 'accepted', `{"":${entry()}}`],
  ['name __proto__', 'accepted', `{"__proto__":${entry()}}`],
  ['name constructor', 'accepted', `{"constructor":${entry()}}`],
  ['name with NUL', 'accepted', `{"\\u0000":${entry()}}`],
];

const entries: [string, HostileFile['verdict'], string, string?][] = [
  ['entry as a list', unreadable, '{"a":["U8",[1],[0,1]]}', 'the crate takes it, by accident of serde'],
  ['unknown field', unreadable, one({ extra: '"x":1' }), 'the crate ignores it'],
  ['200 levels in an unknown field', unreadable, one({ extra: `"x":${nested(200)}` })],
  ['100,000 levels in an unknown field', unreadable, one({ extra: `"x":${nested(100_000)}` })],
  ['100,000 levels instead of the header', unreadable, nested(100_000)],
  ['100,000 levels as a shape', unreadable, one({ shape: nested(100_000) })],
  ['no dtype', unreadable, one({ dtype: '' })],
  ['no shape', unreadable, one({ shape: '' })],
  ['no data_offsets', unreadable, one({ offsets: '' })],
  ['null entry', unreadable, '{"a":null}'],
  ['dtype twice', unreadable, one({ extra: '"dtype":"U8"' })],
  ['shape twice', unreadable, one({ extra: '"shape":[1]' })],
  ['data_offsets twice', unreadable, one({ extra: '"data_offsets":[0,1]' })],
  ...['"U9"', '"u8"', '"I4"', '"__proto__"', '"constructor"', '""', '8', 'null', '["U8"]'].map(
    (dtype): [string, HostileFile['verdict'], string] => [`dtype ${dtype}`, unreadable, one({ dtype })],
  ),
  ...[
    '-1',
    '1.0',
    '1e0',
    '1E0',
    '-0',
    '"1"',
    'null',
    'true',
    '[1]',
    '{}',
    '01',
    '+1',
    '0x1',
    '18446744073709551616',
  ].map((extent): [string, HostileFile['verdict'], string] => [
    `extent ${extent}`,
    unreadable,
    one({ shape: `[${extent}]` }),
  ]),
  ['extent of 1,000 digits', unreadable, one({ shape: `[${'9'.repeat(1000)}]` })],
  ['shape that is a number', unreadable, one({ shape: '1' })],
  ...['[]', '[0]', '[0,1,1]', '[0,-1]', '[0,1.0]', '["0",1]', '[0,18446744073709551616]', '{}', 'null'].map(
    (offsets): [string, HostileFile['verdict'], string] => [`data_offsets ${offsets}`, unreadable, one({ offsets })],
  ),
  ['rank 64', 'accepted', one({ shape: `[${Array(64).fill(1)}]` })],
  ['rank 65', 'RankTooLarge', one({ shape: `[${Array(65).fill(1)}]` }), 'the crate takes any rank'],
  ['rank 1000', 'RankTooLarge', one({ shape: `[${Array(1000).fill(1)}]` }), 'the crate takes any rank'],
];

const huge = '4294967296'; // 2^32
const places: [string, HostileFile['verdict'], string, number, string?][] = [
  [
    '2^53 + 1 elements, 2^53 bytes',
    'TensorInvalidInfo',
    one({ shape: '[9007199254740993]', offsets: '[0,9007199254740992]' }),
    1,
  ],
  [
    '2^53 + 1 elements and bytes',
    'MetadataIncompleteBuffer',
    one({ shape: '[9007199254740993]', offsets: '[0,9007199254740993]' }),
    1,
  ],
  ['element count beyond 2^64', 'ValidationOverflow', one({ shape: `[${huge},${huge},${huge}]` }), 1],
  ['bit count beyond 2^64', 'ValidationOverflow', one({ dtype: '"F64"', shape: `[${huge},1073741824]` }), 1],
  ['2^64 bits', 'ValidationOverflow', one({ dtype: '"F64"', shape: '[288230376151711744]' }), 1],
  ['2^64 - 64 bits', 'TensorInvalidInfo', one({ dtype: '"F64"', shape: '[288230376151711743]' }), 1],
  ['[huge, huge, 0]', 'ValidationOverflow', one({ shape: `[${huge},${huge},0]`, offsets: '[0,0]' }), 0],
  [
    '[0, huge, huge]',
    'ValidationOverflow',
    one({ shape: `[0,${huge},${huge}]`, offsets: '[0,0]' }),
    0,
    'the crate stops at the 0',
  ],
  [
    '[0, 2^53]',
    'ValidationOverflow',
    one({ shape: '[0,9007199254740992]', offsets: '[0,0]' }),
    0,
    'not exact as a number here',
  ],
  ['[0, 2^53 - 1]', 'accepted', one({ shape: '[0,9007199254740991]', offsets: '[0,0]' }), 0],
  ['begin after end', 'InvalidOffset', one({ offsets: '[1,0]' }), 1],
  [
    'begin after end, from 0',
    'InvalidOffset',
    `{"a":${entry({ shape: '[1]' })},"b":${entry({ offsets: '[1,0]' })}}`,
    1,
  ],
  ['hole at the start', 'InvalidOffset', one({ offsets: '[1,2]' }), 2],
  ['hole in the middle', 'InvalidOffset', `{"a":${entry()},"b":${entry({ offsets: '[2,3]' })}}`, 3],
  [
    'overlap',
    'InvalidOffset',
    `{"a":${entry({ shape: '[2]', offsets: '[0,2]' })},"b":${entry({ offsets: '[1,2]' })}}`,
    2,
  ],
  [
    'one range inside another',
    'InvalidOffset',
    `{"a":${entry({ shape: '[4]', offsets: '[0,4]' })},"b":${entry({ offsets: '[0,1]' })}}`,
    4,
  ],
  ['identical ranges', 'InvalidOffset', `{"a":${entry()},"b":${entry()}}`, 1],
  ['names in another order than the data', 'accepted', `{"a":${entry({ offsets: '[1,2]' })},"b":${entry()}}`, 2],
  [
    'empty tensors between others',
    'accepted',
    `{"a":${entry({ shape: '[0]', offsets: '[1,1]' })},"b":${entry()},"c":${entry({ shape: '[0]', offsets: '[1,1]' })}}`,
    1,
  ],
  ['range shorter than the shape', 'TensorInvalidInfo', one({ shape: '[2]' }), 1],
  ['range longer than the shape', 'TensorInvalidInfo', one({ offsets: '[0,2]' }), 2],
  ['bytes for no elements', 'TensorInvalidInfo', one({ shape: '[0]' }), 1],
  ['no bytes for a scalar', 'TensorInvalidInfo', one({ shape: '[]', offsets: '[0,0]' }), 0],
  ['scalar', 'accepted', one({ shape: '[]' }), 1],
  ['3 elements of F4', 'MisalignedSlice', one({ dtype: '"F4"', shape: '[3]', offsets: '[0,2]' }), 2],
  ['1 element of F6', 'MisalignedSlice', one({ dtype: '"F6_E2M3"', shape: '[1]' }), 1],
  ['2 elements of F4', 'accepted', one({ dtype: '"F4"', shape: '[2]' }), 1],
  ['truncated by one byte', 'MetadataIncompleteBuffer', one({ shape: '[2]', offsets: '[0,2]' }), 1],
  ['one byte more', 'MetadataIncompleteBuffer', valid, 2],
  ['another format after the data', 'MetadataIncompleteBuffer', valid, 1000],
  ['no tensors, but data', 'MetadataIncompleteBuffer', '{}', 1],
  ['data beyond the file', 'MetadataIncompleteBuffer', one({ shape: '[1000000]', offsets: '[0,1000000]' }), 1],
  ['F32 at an odd offset', 'accepted', `{"a":${entry()},"b":${entry({ dtype: '"F32"', offsets: '[1,5]' })}}`, 5],
];

/** Headers with very many entries; made when asked for, since they have megabytes. */
export const crowds: readonly {
  fault: string;
  verdict: HostileFile['verdict'];
  make: () => Uint8Array;
  differs?: string;
}[] = [
  { fault: '100,000 tensors on one range', verdict: 'InvalidOffset', make: () => crowd(100_000, entry(), 1) },
  {
    fault: '200,000 empty tensors',
    verdict: 'TooManyTensors',
    make: () => crowd(200_000, entry({ shape: '[0]', offsets: '[0,0]' }), 0),
    differs: 'the crate takes any number',
  },
  {
    fault: '100,000 empty tensors',
    verdict: 'accepted',
    make: () => crowd(100_000, entry({ shape: '[0]', offsets: '[0,0]' }), 0),
  },
];

const crowd = (count: number, each: string, data: number): Uint8Array =>
  safetensorsFile(`{${Array.from({ length: count }, (_, i) => `"tensor.${i}":${each}`).join(',')}}`, data);

/** Bytes of data that the entries of a header refer to most often here. */
const oneByte = 1;

export const hostileFiles: readonly HostileFile[] = [
  ...lengthField.map(([fault, verdict, bytes, differs]) => ({ fault, verdict, bytes, differs })),
  ...encodings.map(([fault, verdict, header, differs]) => {
    const data = header === '{}' ? 0 : oneByte;
    return { fault, verdict, bytes: safetensorsFile(header, data), differs };
  }),
  ...[...names, ...entries].map(([fault, verdict, header, differs]) => {
    return { fault, verdict, bytes: safetensorsFile(header, oneByte), differs };
  }),
  ...places.map(([fault, verdict, header, data, differs]) => {
    return { fault, verdict, bytes: safetensorsFile(header, data), differs };
  }),
];
