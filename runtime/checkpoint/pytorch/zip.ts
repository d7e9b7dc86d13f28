/**
 * The archive inside a pytorch_model.bin since torch 1.6: a zip file whose entries are stored, not compressed.
 *
 * Only the central directory is believed; local headers have other sizes in almost every file torch writes, and are looked at only
 * for where the data begins. Source: PKWARE's APPNOTE, sections 4.3.7 to 4.3.16.
 */
import { CheckpointError, UnsupportedError } from '../../../contract/errors.ts';
import type { ByteSource } from '../byte-source.ts';

export interface ZipEntry {
  readonly name: string;
  readonly byteLength: number;
  readonly crc32: number;
  /** Place of its local header. */
  readonly headerOffset: number;
}

const mostDirectoryBytes = 64 << 20;
const mostEntries = 200_000;
const endBytes = 22;
const mostCommentBytes = 65_535;

/** Entries by name. @throws CheckpointError InvalidArchive; UnsupportedError for compressed and encrypted entries; IoError */
export async function readZipDirectory(source: ByteSource): Promise<Map<string, ZipEntry>> {
  const tailBegin = Math.max(0, source.size - endBytes - mostCommentBytes);
  const tail = viewOf(await source.read(tailBegin, source.size));
  let end = tail.byteLength - endBytes;
  // Its comment must reach to the end of the file: bytes of the data may look like it.
  const isEnd = (at: number): boolean =>
    tail.getUint32(at, true) === 0x06054b50 && at + endBytes + tail.getUint16(at + 20, true) === tail.byteLength;
  while (end >= 0 && !isEnd(end)) end--;
  if (end < 0) fail('end of central directory', 'to be there', 'none: the file is cut off, or no archive');
  let [count, size, offset] = [
    tail.getUint16(end + 10, true),
    tail.getUint32(end + 12, true),
    tail.getUint32(end + 16, true),
  ];
  const locator = end - 20;
  if (locator >= 0 && tail.getUint32(locator, true) === 0x07064b50) {
    const at = wide(tail, locator + 8);
    if (at + 56 > source.size) fail('zip64 directory', 'to be inside the file', `byte ${at}`);
    const record = viewOf(await source.read(at, at + 56));
    if (record.getUint32(0, true) !== 0x06064b50) fail('zip64 directory', 'its signature', 'other bytes');
    [count, size, offset] = [wide(record, 32), wide(record, 40), wide(record, 48)];
  }
  if (count > mostEntries) fail('entries', `at most ${mostEntries}`, String(count));
  if (size > mostDirectoryBytes) fail('central directory', `at most ${mostDirectoryBytes} bytes`, String(size));
  if (offset + size > source.size)
    fail('central directory', 'to be inside the file', `bytes ${offset}..${offset + size}`);
  return readEntries(viewOf(await source.read(offset, offset + size)), count, source.size);
}

function readEntries(directory: DataView, count: number, fileBytes: number): Map<string, ZipEntry> {
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > directory.byteLength || directory.getUint32(at, true) !== 0x02014b50) {
      fail(`entry ${i}`, 'to be in the central directory', 'other bytes');
    }
    const [flags, method] = [directory.getUint16(at + 8, true), directory.getUint16(at + 10, true)];
    const lengths = [28, 30, 32].map(field => directory.getUint16(at + field, true)) as [number, number, number];
    const [nameLength, extraLength, commentLength] = lengths;
    const next = at + 46 + nameLength + extraLength + commentLength;
    if (next > directory.byteLength) fail(`entry ${i}`, 'to end inside the directory', 'beyond it');
    const name = textOf(directory, at + 46, nameLength);
    if (method !== 0 || flags & 1) {
      throw new UnsupportedError({
        where: 'readZip',
        name,
        expected: 'entries that are stored, as torch writes them',
        got: flags & 1 ? 'an encrypted one' : `a compressed one (method ${method})`,
        hint: 'load it in Python and save it again.',
      });
    }
    const [packed, size, headerOffset] = widened(
      directory,
      [directory.getUint32(at + 20, true), directory.getUint32(at + 24, true), directory.getUint32(at + 42, true)],
      at + 46 + nameLength,
      extraLength,
    );
    if (packed !== size) fail(name, 'equal sizes, as it is stored', `${packed} and ${size}`);
    if (headerOffset + 30 + size > fileBytes) fail(name, 'to be inside the file', `${size} bytes from ${headerOffset}`);
    if (entries.has(name)) fail(name, 'one entry', 'two');
    entries.set(name, { name, byteLength: size, crc32: directory.getUint32(at + 16, true), headerOffset });
    at = next;
  }
  return entries;
}

/** Fields of 0xffffffff stand in the zip64 extra field, in this order. */
function widened(
  directory: DataView,
  [packed, size, offset]: [number, number, number],
  extra: number,
  extraLength: number,
): [packed: number, size: number, offset: number] {
  let at = extra;
  while (at + 4 <= extra + extraLength && directory.getUint16(at, true) !== 1)
    at += 4 + directory.getUint16(at + 2, true);
  let field = at + 4;
  const read = (value: number): number => {
    if (value !== 0xffffffff) return value;
    if (field + 8 > extra + extraLength) return fail('zip64 sizes', 'to be there', 'none');
    field += 8;
    return wide(directory, field - 8);
  };
  const wideSize = read(size);
  return [read(packed), wideSize, read(offset)];
}

/** Where an entry's data begins. @throws CheckpointError InvalidArchive */
export async function dataOffset(source: ByteSource, { name, headerOffset, byteLength }: ZipEntry): Promise<number> {
  const header = viewOf(await source.read(headerOffset, headerOffset + 30));
  if (header.getUint32(0, true) !== 0x04034b50) fail(name, 'a local header', 'other bytes');
  const begin = headerOffset + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  if (begin + byteLength > source.size) fail(name, 'to be inside the file', `bytes ${begin}..${begin + byteLength}`);
  return begin;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A 64-bit number; beyond 2^53 there is no file. */
function wide(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : fail('a size', 'at most 2^53', String(value));
}

function textOf(view: DataView, at: number, length: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array(view.buffer, view.byteOffset + at, length));
  } catch {
    return fail('the name of an entry', 'UTF-8', 'other bytes');
  }
}

function fail(name: string, expected: string, got: string): never {
  throw new CheckpointError({ where: 'readZip', name, expected, got, reason: 'InvalidArchive' });
}
