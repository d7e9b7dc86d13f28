/**
 * The zip archive torch.save writes since 1.6: data.pkl and data/<key> for every storage, all under one folder of any name.
 *
 * Read before: zip.ts, pickle.ts. Read next: open-pytorch.ts.
 */
import { CheckpointError, type CheckpointReason, UnsupportedError } from '../../../contract/errors.ts';
import type { ByteSource } from '../byte-source.ts';
import { crc32 } from './crc32.ts';
import { unpickle } from './pickle.ts';
import type { PickleValue, StorageRef } from './pickle-values.ts';
import { widthOf } from './state-dict.ts';
import { dataOffset, readZipDirectory, type ZipEntry } from './zip.ts';

/** A pickle of a state dict has some kilobytes; the numbers are elsewhere. */
export const mostPickleBytes = 64 << 20;

/** Where the elements of a storage are. */
export interface Place {
  readonly byteOffset: number;
  readonly byteLength: number;
  /** null: the format has no checksums. */
  readonly crc32: number | null;
}

/** A file whose pickle has been read. */
export interface PickledFile {
  readonly value: PickleValue;
  /** @throws CheckpointError when the storage is not in the file, or not as long as it says */
  placeOf(storage: StorageRef): Promise<Place>;
  readonly remarks: readonly string[];
}

/** @throws CheckpointError MissingFile, InvalidPickle, InvalidArchive, WrongChecksum; UnsupportedError; IoError */
export async function readArchive(source: ByteSource): Promise<PickledFile> {
  const entries = await readZipDirectory(source);
  const pickles = [...entries.keys()].filter(name => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) fail('data.pkl', 'MissingFile', 'one of it, in one folder', String(pickles.length));
  const root = pickles[0]!.slice(0, -'data.pkl'.length);
  const order = entries.get(`${root}byteorder`);
  if (order) await expectLittleEndian(source, order);
  const pickle = entries.get(pickles[0]!)!;
  const { value } = unpickle(await readEntry(source, pickle, 'InvalidPickle', mostPickleBytes));
  return {
    value,
    remarks: [],
    async placeOf({ key, length, dtype }) {
      const name = `${root}data/${key}`;
      const entry = entries.get(name) ?? fail(name, 'MissingFile', 'to be in the archive', 'nothing');
      const expected = length * widthOf(dtype);
      if (expected !== entry.byteLength) {
        fail(name, 'TensorInvalidInfo', `${expected} bytes, as data.pkl says`, String(entry.byteLength));
      }
      return { byteOffset: await dataOffset(source, entry), byteLength: entry.byteLength, crc32: entry.crc32 };
    },
  };
}

async function expectLittleEndian(source: ByteSource, entry: ZipEntry): Promise<void> {
  const text = new TextDecoder().decode(await readEntry(source, entry, 'InvalidArchive', 100));
  if (text === 'little') return;
  throw new UnsupportedError({ where: 'openPytorch', name: entry.name, expected: 'little', got: text });
}

/** A small entry whole. */
async function readEntry(
  source: ByteSource,
  entry: ZipEntry,
  reason: CheckpointReason,
  mostBytes: number,
): Promise<Uint8Array> {
  const { name, byteLength } = entry;
  if (byteLength > mostBytes) fail(name, reason, `at most ${mostBytes} bytes`, String(byteLength));
  const begin = await dataOffset(source, entry);
  const bytes = await source.read(begin, begin + byteLength);
  if (crc32(bytes) !== entry.crc32) fail(name, 'WrongChecksum', 'its checksum', 'another: the file is damaged');
  return bytes;
}

function fail(name: string, reason: CheckpointReason, expected: string, got: string): never {
  throw new CheckpointError({ where: 'openPytorch', name, expected, got, reason });
}
