/**
 * pytorch_model.bin → TensorFile, in both formats: the zip archive since torch 1.6, and the stream of pickles before.
 *
 * Nothing in the file is run (pickle.ts). Storages are read when a tensor is asked for and not kept; their checksums are compared the
 * first time. Views are materialised only inside their storage, and never larger than it. Read before: pickle.ts, zip.ts.
 */
import type { TensorScratch } from '../../../contract/checkpoint.ts';
import { CheckpointError, type CheckpointReason, formatShape, UnsupportedError } from '../../../contract/errors.ts';
import type { ByteSource } from '../byte-source.ts';
import { decodeFloats, decodeIntegers, dtypeBits, expectFinite } from '../dtypes.ts';
import type { SafetensorsOptions, TensorFile, TensorInfo } from '../safetensors.ts';
import { crc32 } from './crc32.ts';
import { isTensor, type PickleValue, type TensorRef, unpickle } from './pickle.ts';
import { dataOffset, readZipDirectory, type ZipEntry } from './zip.ts';

/** A pickle of a state dict has some kilobytes; the numbers are elsewhere. */
const mostPickleBytes = 64 << 20;
const mostTensors = 100_000;
const bytesChecked = 8 << 20;

/** Where the elements of a storage are. */
interface Place {
  readonly byteOffset: number;
  readonly byteLength: number;
  /** null: the format has no checksums. */
  readonly crc32: number | null;
}

/**
 * Opens a file that torch.save wrote from a state dict, or from a dictionary with one under "state_dict".
 *
 * @throws CheckpointError InvalidPickle, InvalidArchive, TensorInvalidInfo, MissingFile, …; UnsupportedError; IoError. The source is closed then.
 */
export async function openPytorch(source: ByteSource, options: SafetensorsOptions = {}): Promise<TensorFile> {
  try {
    const start = await source.read(0, Math.min(4, source.size));
    const isZip = start[0] === 0x50 && start[1] === 0x4b;
    const { value, placeOf } = isZip ? await readArchive(source) : await readStream(source);
    const { tensors, remarks } = stateDict(value);
    return createFile(source, tensors, remarks, placeOf, options.allowNonFinite ?? false);
  } catch (error) {
    await source.close();
    throw error;
  }
}

interface Read {
  readonly value: PickleValue;
  /** @throws CheckpointError when the storage is not in the file, or not as long as it says */
  placeOf(tensor: TensorRef): Promise<Place>;
}

/** data.pkl and data/<key>, all under one folder of any name. */
async function readArchive(source: ByteSource): Promise<Read> {
  const entries = await readZipDirectory(source);
  const pickles = [...entries.keys()].filter(name => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) fail('data.pkl', 'MissingFile', 'one of it', `${pickles.length}`);
  const root = pickles[0]!.slice(0, -'data.pkl'.length);
  const order = entries.get(`${root}byteorder`);
  if (order) {
    const text = new TextDecoder().decode(await readEntry(source, order));
    if (text !== 'little') {
      throw new UnsupportedError({
        where: 'openPytorch',
        name: 'byteorder',
        expected: 'little',
        got: text.slice(0, 20),
      });
    }
  }
  const pickle = entries.get(pickles[0]!)!;
  if (pickle.byteLength > mostPickleBytes)
    fail('data.pkl', 'InvalidPickle', `at most ${mostPickleBytes} bytes`, `${pickle.byteLength}`);
  const { value } = unpickle(await readEntry(source, pickle));
  return {
    value,
    async placeOf({ storage }) {
      const name = `${root}data/${storage.key}`;
      const entry = entries.get(name) ?? fail(name, 'MissingFile', 'to be in the archive', 'nothing');
      expectBytes(name, storage.length, storage.dtype, entry.byteLength);
      return { byteOffset: await dataOffset(source, entry), byteLength: entry.byteLength, crc32: entry.crc32 };
    },
  };
}

async function readEntry(source: ByteSource, entry: ZipEntry): Promise<Uint8Array> {
  const begin = await dataOffset(source, entry);
  const bytes = await source.read(begin, begin + entry.byteLength);
  if (crc32(bytes) !== entry.crc32) fail(entry.name, 'WrongChecksum', 'its checksum', 'another: the file is damaged');
  return bytes;
}

const streamMagic = 0x1950a86a20f9469cfc6cn;

/** Five pickles (magic number, protocol, machine, object, keys), then for each key its number of elements and its data. */
async function readStream(source: ByteSource): Promise<Read> {
  const head = await source.read(0, Math.min(source.size, mostPickleBytes));
  let at = 0;
  const next = (): PickleValue => {
    const { value, end } = unpickle(head, at);
    at = end;
    return value;
  };
  if (head[0] !== 0x80 || next() !== streamMagic) {
    throw new UnsupportedError({
      where: 'openPytorch',
      name: 'format',
      expected: 'a file that torch.save wrote',
      got: 'something else (a .tar of the first versions, or no PyTorch file)',
      hint: 'load it in Python and save it again.',
    });
  }
  const protocol = next();
  if (protocol !== 1001) fail('protocol', 'InvalidPickle', '1001', String(protocol));
  const machine = next();
  if (!(machine instanceof Map) || machine.get('little_endian') !== true) {
    throw new UnsupportedError({
      where: 'openPytorch',
      name: 'sys_info',
      expected: 'little endian',
      got: 'something else',
    });
  }
  const value = next();
  const keys = next();
  if (!(keys && typeof keys === 'object' && 'kind' in keys && keys.kind === 'list')) {
    return fail('storage keys', 'InvalidPickle', 'a list', 'something else');
  }
  const lengths = new Map<string, { length: number; dtype: string }>();
  for (const { storage } of stateDict(value).tensors.values()) lengths.set(storage.key, storage);
  const places = new Map<string, Place>();
  for (const key of keys.items) {
    const declared = typeof key === 'string' ? lengths.get(key) : undefined;
    // A storage that no tensor of the state dict uses has no known width, and what stands behind it cannot be found.
    if (typeof key !== 'string' || !declared)
      return fail(`storage ${String(key)}`, 'InvalidPickle', 'to be used by a tensor', 'nobody');
    if (at + 8 > source.size) fail(`storage ${key}`, 'MetadataIncompleteBuffer', 'to be in the file', 'its end');
    const count = new DataView((await source.read(at, at + 8)).buffer).getBigInt64(0, true);
    if (count !== BigInt(declared.length))
      fail(`storage ${key}`, 'TensorInvalidInfo', `${declared.length} elements`, String(count));
    const byteLength = declared.length * widthOf(declared.dtype);
    if (at + 8 + byteLength > source.size)
      fail(`storage ${key}`, 'MetadataIncompleteBuffer', `${byteLength} bytes`, 'the end of the file');
    places.set(key, { byteOffset: at + 8, byteLength, crc32: null });
    at += 8 + byteLength;
  }
  return {
    value,
    placeOf: async ({ storage }) => {
      const place =
        places.get(storage.key) ?? fail(`storage ${storage.key}`, 'MissingFile', 'to be in the file', 'nothing');
      expectBytes(`storage ${storage.key}`, storage.length, storage.dtype, place.byteLength);
      return place;
    },
  };
}

/** The tensors of a state dict by name. @throws CheckpointError when it is something else */
function stateDict(value: PickleValue): { tensors: Map<string, TensorRef>; remarks: string[] } {
  const inner = value instanceof Map ? value.get('state_dict') : undefined;
  const dict = inner instanceof Map ? inner : value;
  if (!(dict instanceof Map)) return fail('state dict', 'InvalidPickle', 'a dictionary of tensors', 'something else');
  const tensors = new Map<string, TensorRef>();
  const others: string[] = [];
  for (const [name, entry] of dict) {
    if (typeof name !== 'string') fail('state dict', 'InvalidPickle', 'names of tensors', typeof name);
    else if (isTensor(entry)) tensors.set(name, expectInside(name, entry));
    else others.push(name);
  }
  if (tensors.size > mostTensors)
    fail('state dict', 'TooManyTensors', `at most ${mostTensors} tensors`, String(tensors.size));
  return { tensors, remarks: others.map(name => `"${name}" is no tensor and is left out`) };
}

/** A view must lie in its storage, and have no more elements than it: an expanded one would be terabytes from nothing. */
function expectInside(name: string, tensor: TensorRef): TensorRef {
  const { storage, offset, shape, strides } = tensor;
  const elements = shape.reduce((product, extent) => product * extent, 1);
  const last = shape.reduce((sum, extent, axis) => sum + (extent - 1) * strides[axis]!, offset);
  if (elements > 0 && !(last < storage.length)) {
    fail(name, 'TensorInvalidInfo', `to end inside its storage of ${storage.length} elements`, `element ${last}`);
  }
  if (!(elements <= storage.length)) {
    const got = `${elements}: shape ${formatShape(shape)}, strides ${formatShape(strides)}`;
    fail(name, 'TensorInvalidInfo', `at most the ${storage.length} elements of its storage`, got);
  }
  return tensor;
}

const widthOf = (dtype: string): number => dtypeBits(dtype)! / 8;

function expectBytes(name: string, elements: number, dtype: string, byteLength: number): void {
  const expected = elements * widthOf(dtype);
  if (expected !== byteLength) fail(name, 'TensorInvalidInfo', `${expected} bytes`, String(byteLength));
}

function createFile(
  source: ByteSource,
  refs: ReadonlyMap<string, TensorRef>,
  remarks: readonly string[],
  placeOf: (tensor: TensorRef) => Promise<Place>,
  allowNonFinite: boolean,
): TensorFile {
  const tensors = new Map<string, TensorInfo>();
  for (const [name, { storage, offset, shape }] of refs) {
    const width = widthOf(storage.dtype);
    const byteLength = shape.reduce((product, extent) => product * extent, 1) * width;
    tensors.set(name, { name, dtype: storage.dtype, shape, byteOffset: offset * width, byteLength });
  }
  const checked = new Set<string>();
  const refOf = (name: string): TensorRef =>
    refs.get(name) ?? fail(name, 'TensorNotFound', 'to be in the file', 'nothing');

  /** The elements of a tensor, row by row, as bytes. */
  async function elements(name: string, scratch?: TensorScratch): Promise<Uint8Array<ArrayBuffer>> {
    const ref = refOf(name);
    const { byteLength } = tensors.get(name)!;
    const place = await placeOf(ref);
    const width = widthOf(ref.storage.dtype);
    const begin = place.byteOffset + ref.offset * width;
    if (byteLength === 0) return new Uint8Array(0);
    if (!isContiguous(ref)) {
      await check(ref.storage.key, place);
      const all = await source.read(place.byteOffset, place.byteOffset + place.byteLength);
      return gather(all, ref, width);
    }
    const bytes = await source.read(begin, begin + byteLength, scratch?.take(byteLength));
    // Most tensors are their whole storage, and then it is read once.
    if (byteLength === place.byteLength) expectChecksum(ref.storage.key, place, crc32OnceFor(ref.storage.key, bytes));
    else await check(ref.storage.key, place);
    return bytes;
  }

  function crc32OnceFor(key: string, bytes: Uint8Array): number | null {
    return checked.has(key) ? null : crc32(bytes);
  }

  async function check(key: string, place: Place): Promise<void> {
    if (place.crc32 === null || checked.has(key)) return;
    let sum = 0;
    for (let at = 0; at < place.byteLength; at += bytesChecked) {
      const end = Math.min(at + bytesChecked, place.byteLength);
      sum = crc32(await source.read(place.byteOffset + at, place.byteOffset + end), sum);
    }
    expectChecksum(key, place, sum);
  }

  function expectChecksum(key: string, place: Place, sum: number | null): void {
    if (place.crc32 === null || sum === null) return;
    if (sum !== place.crc32) fail(`storage ${key}`, 'WrongChecksum', 'its checksum', 'another: the file is damaged');
    checked.add(key);
  }

  return {
    tensors,
    metadata: new Map(),
    remarks,
    info: name => tensors.get(name) ?? fail(name, 'TensorNotFound', 'to be in the file', 'nothing'),
    bytes: async (name, begin = 0, end) => (await elements(name)).slice(begin, end),
    async floats(name, scratch) {
      const { storage, shape } = refOf(name);
      const data = decodeFloats(name, storage.dtype, await elements(name, scratch));
      if (!allowNonFinite) expectFinite(name, data);
      return { shape, data };
    },
    async integers(name) {
      const { storage, shape } = refOf(name);
      return { shape, data: decodeIntegers(name, storage.dtype, await elements(name)) };
    },
    close: () => source.close(),
  };
}

/** Rows after one another, as safetensors has them. Axes of one element may have any stride. */
function isContiguous({ shape, strides }: TensorRef): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

/** A transposed or strided view, copied row by row. */
function gather(storage: Uint8Array, { offset, shape, strides }: TensorRef, width: number): Uint8Array<ArrayBuffer> {
  const count = shape.reduce((product, extent) => product * extent, 1);
  const out = new Uint8Array(count * width);
  const index = new Array<number>(shape.length).fill(0);
  let from = offset;
  for (let element = 0; element < count; element++) {
    for (let byte = 0; byte < width; byte++) out[element * width + byte] = storage[from * width + byte]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

function fail(name: string, reason: CheckpointReason, expected: string, got: string): never {
  throw new CheckpointError({ where: 'openPytorch', name, expected, got, reason });
}
