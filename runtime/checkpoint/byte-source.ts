/**
 * Where bytes come from: something with a size that hands out ranges. A file, memory, a web server that knows ranges.
 *
 * Nothing above this line knows whether a checkpoint lies on a disk. Read next: safetensors.ts.
 */
import { IoError } from '../../contract/errors.ts';

export interface ByteSource {
  /** Bytes in all. */
  readonly size: number;
  /**
   * Exactly the bytes [begin, end), in memory of the caller's own: changing them changes nothing else.
   *
   * into: memory the source may put them in, at least as large; one that cannot takes memory of its own.
   * @throws IoError when they cannot be read in full.
   */
  read(begin: number, end: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** A byte source over bytes that are already in memory. They are not copied until they are read. */
export function createMemorySource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.byteLength,
    async read(begin, end) {
      expectRangeInside('memory', begin, end, bytes.byteLength);
      return new Uint8Array(bytes.subarray(begin, end));
    },
    async close() {},
  };
}

/** @throws IoError unless 0 <= begin <= end <= size. */
export function expectRangeInside(name: string, begin: number, end: number, size: number): void {
  if (begin >= 0 && begin <= end && end <= size) return;
  throw new IoError({
    where: 'byteSource.read',
    name,
    expected: `a range inside its ${size} bytes`,
    got: `${begin}..${end}`,
  });
}
