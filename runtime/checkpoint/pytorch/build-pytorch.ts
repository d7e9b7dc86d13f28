/**
 * PyTorch files put together instruction by instruction, good ones and others: for hostile-pytorch.ts and for fuzzing.
 *
 * Source: Python's pickletools, torch.save, PKWARE's APPNOTE. What torch itself writes lies in fixtures/.
 */
import { crc32 } from './crc32.ts';

/** Instructions of a pickle, or bytes of an archive. */
export type Ops = readonly (number | string | Ops)[];

/** Text stands for its UTF-8. */
export function bytesOf(ops: Ops): Uint8Array {
  const out: number[] = [];
  const put = (part: Ops[number]): void => {
    if (typeof part === 'number') out.push(part);
    else if (typeof part === 'string') out.push(...new TextEncoder().encode(part));
    else part.forEach(put);
  };
  ops.forEach(put);
  return Uint8Array.from(out);
}

const littleEndian = (value: number | bigint, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 255n));

export const text = (value: string | number[]): Ops => {
  const encoded = typeof value === 'string' ? [...new TextEncoder().encode(value)] : value;
  return [0x58, littleEndian(encoded.length, 4), encoded];
};
export const integer = (value: number): Ops => [0x4a, littleEndian(value, 4)];
/** LONG1 of eight bytes. */
export const long = (value: number | bigint): Ops => [0x8a, 8, littleEndian(value, 8)];
export const global = (name: string): Ops => {
  const dot = name.lastIndexOf('.');
  return ['c', name.slice(0, dot), 0x0a, name.slice(dot + 1), 0x0a];
};
export const tuple = (...items: Ops[]): Ops => [0x28, items, 0x74];
export const counts = (values: readonly number[]): Ops => tuple(...values.map(long));
export const reduce = (name: string, ...given: Ops[]): Ops => [global(name), tuple(...given), 0x52];
export const orderedDict = reduce('collections.OrderedDict');
export const dict = (...entries: [key: Ops, value: Ops][]): Ops => [0x7d, 0x28, entries.flat(), 0x75];
export const pickle = (...ops: Ops): Ops => [0x80, 2, ops, 0x2e];

export interface StorageFields {
  readonly type?: string;
  readonly key?: string;
  readonly length?: number;
  /** A sixth item. */
  readonly part?: Ops;
}

export const storage = ({ type = 'torch.FloatStorage', key = '0', length = 6, part }: StorageFields = {}): Ops => [
  tuple(text('storage'), global(type), text(key), text('cpu'), long(length), ...(part ? [part] : [])),
  0x51,
];

export interface TensorFields extends StorageFields {
  readonly offset?: number;
  readonly shape?: readonly number[];
  readonly strides?: readonly number[];
  /** A seventh argument. */
  readonly metadata?: Ops;
}

/** Unless told otherwise: 2 rows of 3 numbers. */
export function tensor(fields: TensorFields = {}): Ops {
  const { offset = 0, shape = [2, 3], strides = [3, 1], metadata } = fields;
  const given = [storage(fields), long(offset), counts(shape), counts(strides), [0x89], orderedDict];
  return reduce('torch._utils._rebuild_tensor_v2', ...given, ...(metadata ? [metadata] : []));
}

/** A state dict with the tensor "a". */
export const stateDict = (fields: TensorFields = {}): Ops => pickle(dict([text('a'), tensor(fields)]));

export const sixNumbers: readonly number[] = [...new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer)];

export interface ZipPart {
  /** Bytes, when it is to be no text. */
  readonly name: string | readonly number[];
  readonly data: readonly number[] | Uint8Array;
  readonly method?: number;
  readonly flags?: number;
  /** What the directory says instead. */
  readonly size?: number;
  readonly packed?: number;
  readonly sum?: number;
  readonly headerOffset?: number;
  /** Sizes in a zip64 field. */
  readonly wide?: boolean;
}

export interface ZipFields {
  readonly wide?: boolean;
  readonly count?: number;
  readonly directorySize?: number;
  readonly directoryOffset?: number;
  /** Of the zip64 record, as its locator says. */
  readonly recordOffset?: number;
  readonly recordSignature?: number;
  readonly comment?: string;
}

/** An archive of stored entries with data descriptors, as torch writes them. */
export function zip(parts: readonly ZipPart[], fields: ZipFields = {}): Uint8Array {
  let body: number[] = [];
  const directory: number[] = [];
  for (const part of parts) {
    const { name, data, method = 0, flags = 0x808, wide = false } = part;
    const encoded = typeof name === 'string' ? [...new TextEncoder().encode(name)] : name;
    const bytes = Uint8Array.from(data);
    const { size = bytes.length, packed = bytes.length, sum = crc32(bytes), headerOffset = body.length } = part;
    const u16 = (value: number): number[] => littleEndian(value, 2);
    const u32 = (value: number): number[] => littleEndian(value, 4);
    // The local header knows neither sum nor sizes: they follow the data. Four bytes of padding, as torch aligns.
    body.push(
      ...[0x50, 0x4b, 3, 4],
      ...u16(0),
      ...u16(flags),
      ...u16(method),
      ...u32(0),
      ...u32(0),
      ...u32(0),
      ...u32(0),
    );
    body.push(...u16(encoded.length), ...u16(8), ...encoded, ...[0x46, 0x42, 4, 0, 0, 0, 0, 0]);
    body = body.concat([...bytes]); // spread would be arguments on the stack, however many
    body.push(...[0x50, 0x4b, 7, 8], ...u32(sum), ...u32(bytes.length), ...u32(bytes.length));
    const extra = wide
      ? [
          ...u16(0x5455),
          ...u16(1),
          0,
          ...u16(1),
          ...u16(24),
          ...[size, packed, headerOffset].flatMap(n => littleEndian(n, 8)),
        ]
      : [];
    const narrow = (value: number): number[] => u32(wide ? 0xffffffff : value);
    directory.push(...[0x50, 0x4b, 1, 2], ...u16(0), ...u16(0), ...u16(flags), ...u16(method), ...u32(0), ...u32(sum));
    directory.push(...narrow(packed), ...narrow(size), ...u16(encoded.length), ...u16(extra.length), ...u16(0));
    directory.push(...u16(0), ...u16(0), ...u32(0), ...narrow(headerOffset), ...encoded, ...extra);
  }
  return Uint8Array.from([...body, ...directory, ...zipEnd(parts.length, directory.length, body.length, fields)]);
}

function zipEnd(entries: number, bytes: number, begin: number, fields: ZipFields): number[] {
  const { wide = false, count = entries, directorySize = bytes, directoryOffset = begin, comment = '' } = fields;
  const { recordOffset = begin + bytes, recordSignature = 0x06064b50 } = fields;
  const numbers = [...littleEndian(count, 8), ...littleEndian(directorySize, 8), ...littleEndian(directoryOffset, 8)];
  const record = [...littleEndian(recordSignature, 4), ...new Array<number>(28).fill(0), ...numbers];
  const locator = [...littleEndian(0x07064b50, 4), 0, 0, 0, 0, ...littleEndian(recordOffset, 8), 1, 0, 0, 0];
  const end = [
    ...[0x50, 0x4b, 5, 6, 0, 0, 0, 0],
    ...littleEndian(wide ? 0xffff : count, 2),
    ...littleEndian(wide ? 0xffff : count, 2),
    ...littleEndian(wide ? 0xffffffff : directorySize, 4),
    ...littleEndian(wide ? 0xffffffff : directoryOffset, 4),
    ...littleEndian(comment.length, 2),
    ...new TextEncoder().encode(comment),
  ];
  return wide ? [...record, ...locator, ...end] : end;
}

export interface ArchiveFields {
  readonly pickle?: Ops;
  readonly data?: readonly number[];
  readonly byteorder?: string;
  readonly more?: readonly ZipPart[];
  readonly end?: ZipFields;
}

/** What torch.save writes since 1.6. */
export function archive({
  pickle: ops = stateDict(),
  data = sixNumbers,
  byteorder,
  more = [],
  end,
}: ArchiveFields = {}): Uint8Array {
  const order = byteorder === undefined ? [] : [{ name: 'm/byteorder', data: bytesOf([byteorder]) }];
  const parts = [{ name: 'm/data.pkl', data: bytesOf(ops) }, ...order, { name: 'm/data/0', data }, ...more];
  return zip(parts, end);
}

const magic: Ops = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

export interface StreamFields {
  readonly magic?: Ops;
  readonly protocol?: Ops;
  readonly machine?: Ops;
  readonly pickle?: Ops;
  readonly keys?: Ops;
  /** What follows the pickles. */
  readonly data?: readonly number[];
}

export const storageData = (count: number, data: readonly number[] = sixNumbers): number[] => [
  ...littleEndian(count, 8),
  ...data,
];

/** What torch.save wrote before 1.6. */
export function stream(fields: StreamFields = {}): Uint8Array {
  const machine = dict([text('protocol_version'), integer(1001)], [text('little_endian'), [0x88]]);
  return bytesOf([
    pickle(fields.magic ?? magic),
    pickle(fields.protocol ?? integer(1001)),
    pickle(fields.machine ?? machine),
    fields.pickle ?? stateDict(),
    pickle(fields.keys ?? [0x5d, 0x28, text('0'), 0x65]),
    ...(fields.data ?? storageData(6)),
  ]);
}
