/**
 * pytorch_model.bin → TensorFile, in both formats: the zip archive since torch 1.6, and the stream of pickles before.
 *
 * Nothing in the file is run (pickle.ts). Storages are read when a tensor is asked for and not kept; the checksum of each is compared the
 * first time it is touched. Views are materialised only inside their storage, and never larger than it.
 * Read before: archive.ts, stream.ts, state-dict.ts.
 */
import type { TensorScratch } from '../../../contract/checkpoint.ts';
import { CheckpointError, type CheckpointReason } from '../../../contract/errors.ts';
import type { ByteSource } from '../byte-source.ts';
import { decodeFloats, decodeIntegers, expectFinite } from '../dtypes.ts';
import type { SafetensorsOptions, TensorFile, TensorInfo } from '../safetensors.ts';
import { type PickledFile, type Place, readArchive } from './archive.ts';
import { crc32 } from './crc32.ts';
import type { TensorRef } from './pickle-values.ts';
import { bytesOf, gather, isContiguous, lastOf, stateDictOf, widthOf } from './state-dict.ts';
import { readStream } from './stream.ts';

/** Of a storage that is read only for its checksum. */
const bytesPerPiece = 8 << 20;

/**
 * Opens a file that torch.save wrote from a state dict, or from a dictionary with one under "state_dict".
 *
 * @throws CheckpointError InvalidPickle, InvalidArchive, WrongChecksum, TensorInvalidInfo, MissingFile, …; UnsupportedError for formats and
 *   names that are not on the list; IoError. The source is closed then.
 */
export async function openPytorch(source: ByteSource, options: SafetensorsOptions = {}): Promise<TensorFile> {
  try {
    const start = await source.read(0, Math.min(2, source.size));
    const isZip = start[0] === 0x50 && start[1] === 0x4b;
    const { value, placeOf, remarks } = isZip ? await readArchive(source) : await readStream(source);
    const dict = stateDictOf(value, source.size);
    const all = [...remarks, ...dict.remarks];
    return createFile(source, dict.tensors, all, placeOf, options.allowNonFinite ?? false);
  } catch (error) {
    await source.close();
    throw error;
  }
}

function createFile(
  source: ByteSource,
  refs: ReadonlyMap<string, TensorRef>,
  remarks: readonly string[],
  placeOf: PickledFile['placeOf'],
  allowNonFinite: boolean,
): TensorFile {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, ref] of refs) {
    const { storage, offset, shape } = ref;
    // Offsets are from the start of the storage: where that is, nobody has looked yet.
    const byteOffset = offset * widthOf(storage.dtype);
    tensors.set(name, { name, dtype: storage.dtype, shape, byteOffset, byteLength: bytesOf(ref) });
  }
  const info = (name: string): TensorInfo =>
    tensors.get(name) ?? fail(name, 'TensorNotFound', 'to be in the file', 'nothing');
  const checked = new Set<string>();

  /** Bytes [begin, stop) of a tensor, row by row. */
  async function read(
    name: string,
    begin: number,
    stop: number,
    scratch?: TensorScratch,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { byteOffset, byteLength } = info(name);
    if (byteLength === 0) return new Uint8Array(0);
    const ref = refs.get(name)!;
    const place = await placeOf(ref.storage);
    const first = place.byteOffset + byteOffset;
    if (!isContiguous(ref)) {
      await check(ref.storage.key, place);
      const end = place.byteOffset + (lastOf(ref) + 1) * widthOf(ref.storage.dtype);
      return gather(await source.read(first, end), ref).subarray(begin, stop);
    }
    // Most tensors are their whole storage, and then it is read once.
    const isWhole = stop - begin === place.byteLength;
    if (!isWhole) await check(ref.storage.key, place);
    const bytes = await source.read(first + begin, first + stop, scratch?.take(stop - begin));
    if (isWhole && !checked.has(ref.storage.key)) expectChecksum(ref.storage.key, place, crc32(bytes));
    return bytes;
  }

  /** Reads a storage for its checksum only. */
  async function check(key: string, place: Place): Promise<void> {
    if (place.crc32 === null || checked.has(key)) return;
    let sum = 0;
    for (let at = 0; at < place.byteLength; at += bytesPerPiece) {
      const end = Math.min(at + bytesPerPiece, place.byteLength);
      sum = crc32(await source.read(place.byteOffset + at, place.byteOffset + end), sum);
    }
    expectChecksum(key, place, sum);
  }

  function expectChecksum(key: string, place: Place, sum: number): void {
    if (place.crc32 !== null && sum !== place.crc32) {
      fail(`storage ${key}`, 'WrongChecksum', 'its checksum', 'another: the file is damaged');
    }
    checked.add(key);
  }

  return {
    tensors,
    metadata: new Map(),
    remarks,
    info,
    bytes: async (name, begin = 0, end = info(name).byteLength) => read(name, begin, end),
    async floats(name, scratch) {
      const { dtype, shape, byteLength } = info(name);
      const data = decodeFloats(name, dtype, await read(name, 0, byteLength, scratch));
      if (!allowNonFinite) expectFinite(name, data);
      return { shape, data };
    },
    async integers(name) {
      const { dtype, shape, byteLength } = info(name);
      return { shape, data: decodeIntegers(name, dtype, await read(name, 0, byteLength)) };
    },
    close: () => source.close(),
  };
}

function fail(name: string, reason: CheckpointReason, expected: string, got: string): never {
  throw new CheckpointError({ where: 'openPytorch', name, expected, got, reason });
}
