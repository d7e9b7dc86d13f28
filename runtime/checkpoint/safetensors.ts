/**
 * Reads safetensors files: 8 bytes of header length, a JSON header, then the data of all tensors without gaps.
 *
 * The header is checked completely before anything else is believed: offsets follow each other without hole or overlap, shapes
 * fit ranges, the last tensor ends where the file ends. Data is read tensor by tensor, when asked for, and never kept.
 * Source: the README of safetensors and its crate (Metadata::validate), whose names the reasons have. Where the crate
 * is laxer than its README (equal names, array entries, extra fields) we refuse. Read before: scan-header.ts, dtypes.ts.
 */

import type { TensorScratch } from '../../contract/checkpoint.ts';
import { CheckpointError, type CheckpointReason, formatShape } from '../../contract/errors.ts';
import type { Tensor } from '../../contract/tensor.ts';
import type { ByteSource } from './byte-source.ts';
import { decodeFloats, decodeIntegers, dtypeBits, expectFinite } from './dtypes.ts';
import { type ScannedTensor, scanHeader } from './scan-header.ts';

/** What the header says about one tensor, checked. */
export interface TensorInfo {
  readonly name: string;
  /** As in the file: F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, BOOL, or one that cannot be read. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Place of its data, from the start of the file. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** An integer tensor as int32, whatever its width in the file. */
export interface IntegerTensor {
  readonly shape: readonly number[];
  readonly data: Int32Array;
}

/** Tensors by name, in one file or in many. */
export interface TensorFile {
  /** In the order of their data. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: ReadonlyMap<string, string>;
  /** What is odd about it but does no harm, in sentences without a full stop. */
  readonly remarks: readonly string[];
  /** @throws CheckpointError (TensorNotFound) */
  info(name: string): TensorInfo;
  /**
   * F64 stays double; F32, F16 and BF16 become float32 without loss.
   * @throws CheckpointError (TensorNotFound, WrongDtype, NotFinite), UnsupportedError, IoError
   */
  floats(name: string, scratch?: TensorScratch): Promise<Tensor>;
  /**
   * Any integer or boolean dtype.
   * @throws CheckpointError (TensorNotFound, WrongDtype, IntegerOutOfRange), UnsupportedError, IoError
   */
  integers(name: string): Promise<IntegerTensor>;
  /** The bytes as they stand in the file, or bytes [begin, end) of them. @throws CheckpointError (TensorNotFound), IoError */
  bytes(name: string, begin?: number, end?: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

export interface SafetensorsOptions {
  /** A header longer than this is refused. Default 25 MB, as in huggingface.js; Longformer's largest has about 60 kB. */
  readonly maxHeaderBytes?: number;
  /** Default 100,000. */
  readonly maxTensors?: number;
  /** Default 64. */
  readonly maxRank?: number;
  /** Hand out NaN and infinities instead of refusing them. Default false. */
  readonly allowNonFinite?: boolean;
}

/** The limit of the format itself. */
const largestHeader = 100_000_000n;
const lengthBytes = 8;

/**
 * Opens a safetensors file. The source is closed by `close`, or here when the file is refused.
 *
 * @throws CheckpointError with a reason for every way in which the header can be wrong; IoError.
 */
export async function openSafetensors(source: ByteSource, options: SafetensorsOptions = {}): Promise<TensorFile> {
  try {
    const lengthField = await source.read(0, Math.min(lengthBytes, source.size));
    const headerBytes = parseHeaderLength(lengthField, source.size, options);
    const header = await source.read(lengthBytes, lengthBytes + headerBytes);
    const { tensors, metadata } = parseSafetensorsHeader(header, source.size - lengthBytes - headerBytes, options);
    return createTensorFile(source, tensors, metadata, options.allowNonFinite ?? false);
  } catch (error) {
    await source.close();
    throw error;
  }
}

function createTensorFile(
  source: ByteSource,
  tensors: ReadonlyMap<string, TensorInfo>,
  metadata: ReadonlyMap<string, string>,
  allowNonFinite: boolean,
): TensorFile {
  const info = (name: string): TensorInfo =>
    tensors.get(name) ?? fail(name, 'TensorNotFound', 'to be in the file', 'nothing');
  const bytes: TensorFile['bytes'] = async (name, begin = 0, end = info(name).byteLength) => {
    return source.read(info(name).byteOffset + begin, info(name).byteOffset + end);
  };
  return {
    tensors,
    metadata,
    remarks: [],
    info,
    bytes,
    async floats(name, scratch) {
      const { dtype, shape, byteOffset, byteLength } = info(name);
      const into = scratch?.take(byteLength);
      const data = decodeFloats(name, dtype, await source.read(byteOffset, byteOffset + byteLength, into));
      if (!allowNonFinite) expectFinite(name, data);
      return { shape, data };
    },
    async integers(name) {
      const { dtype, shape } = info(name);
      return { shape, data: decodeIntegers(name, dtype, await bytes(name)) };
    },
    close: () => source.close(),
  };
}

/**
 * The number in the first 8 bytes: length of the header.
 *
 * @throws CheckpointError HeaderTooSmall, HeaderTooLarge, InvalidHeaderLength
 */
export function parseHeaderLength(lengthField: Uint8Array, fileBytes: number, options: SafetensorsOptions): number {
  const { maxHeaderBytes = 25_000_000 } = options;
  if (lengthField.length < lengthBytes) {
    fail('header length', 'HeaderTooSmall', '8 bytes', `a file of ${fileBytes}`, incompleteDownload);
  }
  // Compared as BigInt: Number() would round 2^64 - 1, and a rounded length is somebody else's length.
  const length = new DataView(lengthField.buffer, lengthField.byteOffset).getBigUint64(0, true);
  if (length > largestHeader) {
    fail('header length', 'HeaderTooLarge', `at most ${largestHeader} bytes`, String(length), notSafetensors);
  }
  if (length > fileBytes - lengthBytes) {
    const room = `at most the ${fileBytes - lengthBytes} bytes that follow`;
    fail('header length', 'InvalidHeaderLength', room, String(length), incompleteDownload);
  }
  if (length > maxHeaderBytes) {
    fail('header length', 'HeaderTooLarge', `at most ${maxHeaderBytes} bytes`, String(length), 'raise maxHeaderBytes.');
  }
  return Number(length);
}

const incompleteDownload = 'the download is incomplete; compare its sha256 with the model card.';
const notSafetensors = 'this is not a safetensors file.';

/**
 * Header bytes → checked tensors, in the order of their data.
 *
 * header: the bytes after the length field; dataBytes: how many bytes follow them in the file.
 * @throws CheckpointError for every fault but those of the length field.
 */
export function parseSafetensorsHeader(
  header: Uint8Array,
  dataBytes: number,
  options: SafetensorsOptions = {},
): { tensors: Map<string, TensorInfo>; metadata: Map<string, string> } {
  const { maxTensors = 100_000, maxRank = 64 } = options;
  const scanned = scanHeader(decodeUtf8(header), { maxTensors, maxRank });
  for (const { name, dtype } of scanned.tensors) {
    if (dtypeBits(dtype) === undefined) {
      fail(name, 'InvalidHeaderDeserialization', 'a dtype of the format', JSON.stringify(dtype));
    }
  }
  const dataStart = lengthBytes + header.length;
  const tensors = new Map<string, TensorInfo>();
  let dataEnd = 0n;
  for (const entry of scanned.tensors.sort(byPlace)) {
    expectPlace(entry, dataEnd);
    dataEnd = entry.end;
  }
  if (dataEnd !== BigInt(dataBytes)) {
    const cut = scanned.tensors.find(({ end }) => end > dataBytes);
    const expected = `data that ends at byte ${BigInt(dataStart) + dataEnd}`;
    const hint = cut ? incompleteDownload : 'bytes after the last tensor are not allowed.';
    fail(cut?.name ?? 'data', 'MetadataIncompleteBuffer', expected, `a file of ${dataStart + dataBytes}`, hint);
  }
  // Only now, with every range inside the file, are the offsets known to be exact as numbers.
  for (const { name, dtype, shape, begin, end } of scanned.tensors) {
    const byteLength = Number(end - begin);
    tensors.set(name, { name, dtype, shape: shape.map(Number), byteOffset: dataStart + Number(begin), byteLength });
  }
  return { tensors, metadata: scanned.metadata };
}

/** @throws CheckpointError InvalidHeader. Subtle: without `fatal` bad bytes would become U+FFFD, without `ignoreBOM` a BOM vanish. */
function decodeUtf8(header: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header);
  } catch {
    return fail('header', 'InvalidHeader', 'UTF-8', 'other bytes', notSafetensors);
  }
}

function byPlace(a: ScannedTensor, b: ScannedTensor): number {
  if (a.begin !== b.begin) return a.begin < b.begin ? -1 : 1;
  if (a.end !== b.end) return a.end < b.end ? -1 : 1;
  return 0;
}

const largestU64 = 2n ** 64n - 1n;

/**
 * Checks one tensor against the end of the one before it, in the order of the crate's checks.
 *
 * @throws CheckpointError InvalidHeaderDeserialization (unknown dtype), InvalidOffset, ValidationOverflow, MisalignedSlice,
 *   TensorInvalidInfo
 */
function expectPlace({ name, dtype, shape, begin, end }: ScannedTensor, previousEnd: bigint): void {
  const range = `${begin}..${end}`;
  if (begin !== previousEnd || end < begin) {
    fail(name, 'InvalidOffset', `data from byte ${previousEnd}, without hole or overlap`, range);
  }
  const bits = BigInt(dtypeBits(dtype)!);
  // Differs: the crate multiplies in order, so [0, huge, huge] passes and [huge, huge, 0] overflows. Here both overflow.
  const bitsBesideZeros = shape.reduce((product, extent) => product * (extent || 1n), bits);
  if (bitsBesideZeros > largestU64) {
    fail(name, 'ValidationOverflow', 'fewer than 2^64 bits', `shape ${formatShape(shape)} of ${dtype}`);
  }
  const totalBits = shape.includes(0n) ? 0n : bitsBesideZeros;
  if (totalBits % 8n !== 0n) fail(name, 'MisalignedSlice', 'whole bytes', `${totalBits} bits`);
  if (end - begin !== totalBits / 8n) {
    const expected = `${totalBits / 8n} bytes for shape ${formatShape(shape)} of ${dtype}`;
    fail(name, 'TensorInvalidInfo', expected, `${end - begin} bytes, ${range}`);
  }
  // Without elements nothing else bounds the extents. (With elements, the end of the file does.)
  if (totalBits === 0n && shape.some(extent => extent > Number.MAX_SAFE_INTEGER)) {
    fail(name, 'ValidationOverflow', 'extents of at most 2^53-1', `shape ${formatShape(shape)}`);
  }
}

function fail(name: string, reason: CheckpointReason, expected: string, got: string, hint?: string): never {
  throw new CheckpointError({ where: 'safetensors', name, expected, got, hint, reason });
}
