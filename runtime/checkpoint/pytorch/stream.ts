/**
 * The stream torch.save wrote before 1.6: five pickles (magic number, protocol, machine, object, keys of the storages), then for each
 * key its number of elements and the elements. It has no checksums.
 *
 * Read before: pickle.ts. Read next: open-pytorch.ts.
 */
import { CheckpointError, type CheckpointReason, UnsupportedError } from '../../../contract/errors.ts';
import type { ByteSource } from '../byte-source.ts';
import { mostPickleBytes, type PickledFile, type Place } from './archive.ts';
import { type Unpickled, unpickle } from './pickle.ts';
import type { PickleValue, StorageRef } from './pickle-values.ts';
import { widthOf } from './state-dict.ts';

const magic = 0x1950a86a20f9469cfc6cn;
/** PROTO 2, LONG1 of ten bytes: how every such file begins. */
const firstBytes = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
/** Pickles are read from the first so many bytes; if they do not end there, from eight times as many, and so on. */
const firstTry = 1 << 20;

/** @throws CheckpointError InvalidPickle, TensorInvalidInfo, MetadataIncompleteBuffer; UnsupportedError for other files; IoError */
export async function readStream(source: ByteSource): Promise<PickledFile> {
  await expectMagic(source);
  const { value, storages, keys, end } = await readPickles(source);
  const places = new Map<string, Place>();
  let at = end;
  for (const key of keys) {
    const place = await readPlace(source, key, storages, at);
    if (places.has(place.key)) fail(`storage ${place.key}`, 'InvalidPickle', 'to be in the file once', 'twice');
    places.set(place.key, place);
    at = place.byteOffset + place.byteLength;
  }
  const rest = source.size - at;
  return {
    value,
    remarks: rest > 0 ? [`${rest} bytes after the last storage are ignored`] : [],
    placeOf: async ({ key }) =>
      places.get(key) ?? fail(`storage ${key}`, 'MissingFile', 'to be in the file', 'nothing'),
  };
}

/** Other files that are called pytorch_model.bin, by how they begin. */
async function expectMagic(source: ByteSource): Promise<void> {
  const start = await source.read(0, Math.min(512, source.size));
  if (firstBytes.every((byte, at) => start[at] === byte)) return;
  const text = String.fromCharCode(...start);
  const pickled = start[0] === 0x80;
  const got =
    text.slice(257, 262) === 'ustar'
      ? 'a .tar, which torch wrote before 0.1.10'
      : text.startsWith('version https://git-lfs')
        ? 'the pointer Git LFS keeps in place of a large file: fetch the file itself'
        : pickled
          ? 'a pickle that torch.save did not write'
          : source.size === 0
            ? 'an empty file'
            : 'something else';
  const hint = 'load it in Python and save it again: torch.save(model.state_dict(), …), or save_pretrained.';
  const expected = 'a file that torch.save wrote';
  throw new UnsupportedError({ where: 'openPytorch', name: 'format', expected, got, hint });
}

interface Pickles {
  readonly value: PickleValue;
  readonly storages: ReadonlyMap<string, StorageRef>;
  readonly keys: readonly PickleValue[];
  readonly end: number;
}

async function readPickles(source: ByteSource): Promise<Pickles> {
  const most = Math.min(source.size, mostPickleBytes);
  for (let bytes = firstTry; ; bytes *= 8) {
    const head = await source.read(0, Math.min(bytes, most));
    try {
      return parsePickles(head);
    } catch (error) {
      if (head.length === most || !(error instanceof CheckpointError)) throw error;
    }
  }
}

function parsePickles(head: Uint8Array): Pickles {
  let at = 0;
  const next = (): Unpickled => {
    const result = unpickle(head, at);
    at = result.end;
    return result;
  };
  if (next().value !== magic) fail('magic number', 'InvalidPickle', `0x${magic.toString(16)}`, 'another');
  const protocol = next().value;
  if (protocol !== 1001) fail('protocol', 'InvalidPickle', '1001', 'another');
  const machine = next().value;
  if (!(machine instanceof Map) || machine.get('little_endian') !== true) {
    throw new UnsupportedError({
      where: 'openPytorch',
      name: 'sys_info',
      expected: 'little_endian: true',
      got: 'something else',
    });
  }
  const { value, storages } = next();
  const keys = next().value;
  if (keys === null || typeof keys !== 'object' || !('kind' in keys) || keys.kind !== 'list') {
    return fail('storage keys', 'InvalidPickle', 'a list', 'something else');
  }
  return { value, storages, keys: keys.items, end: at };
}

/** What stands at `at`, which should be a storage of this key. */
async function readPlace(
  source: ByteSource,
  key: PickleValue,
  storages: ReadonlyMap<string, StorageRef>,
  at: number,
): Promise<Place & { readonly key: string }> {
  const storage = typeof key === 'string' ? storages.get(key) : undefined;
  // Its width would be unknown, and where the next one begins.
  if (!storage) return fail('storage keys', 'InvalidPickle', 'keys of storages that the pickle has', 'another one');
  const name = `storage ${storage.key}`;
  const byteLength = storage.length * widthOf(storage.dtype);
  const end = at + 8 + byteLength;
  if (end > source.size) fail(name, 'MetadataIncompleteBuffer', `to end at byte ${end}`, `a file of ${source.size}`);
  const count = new DataView((await source.read(at, at + 8)).buffer).getBigInt64(0, true);
  if (count !== BigInt(storage.length)) fail(name, 'TensorInvalidInfo', `${storage.length} elements`, String(count));
  return { key: storage.key, byteOffset: at + 8, byteLength, crc32: null };
}

function fail(name: string, reason: CheckpointReason, expected: string, got: string): never {
  throw new CheckpointError({ where: 'openPytorch', name, expected, got, reason });
}
