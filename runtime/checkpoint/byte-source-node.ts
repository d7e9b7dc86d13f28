/**
 * Byte sources over files. The only reader of files in this folder besides open-node.ts.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { IoError } from '../../contract/errors.ts';
import { type ByteSource, expectRangeInside } from './byte-source.ts';

/** Node reads at most 2 GiB - 1 at once; smaller pieces also keep one slow read from holding everything up. */
const bytesPerRead = 1 << 28;

/**
 * Opens a file for reading ranges. The file stays open until `close`.
 *
 * @throws IoError when it is missing, unreadable or not a regular file.
 */
export async function openFileSource(path: string): Promise<ByteSource> {
  const handle = await open(path, 'r').catch(cause => {
    throw ioError('openFileSource', path, 'a readable file', cause);
  });
  const stats = await handle.stat();
  if (!stats.isFile()) {
    await handle.close();
    throw new IoError({ where: 'openFileSource', name: path, expected: 'a regular file', got: 'something else' });
  }
  return {
    size: stats.size,
    async read(begin, end, into) {
      expectRangeInside(path, begin, end, stats.size);
      const bytes = into?.subarray(0, end - begin) ?? new Uint8Array(end - begin);
      return readExactly(handle, path, begin, end, bytes);
    },
    close: () => handle.close(),
  };
}

async function readExactly(
  handle: FileHandle,
  path: string,
  begin: number,
  end: number,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  let done = 0;
  while (done < bytes.length) {
    const wanted = Math.min(bytesPerRead, bytes.length - done);
    const { bytesRead } = await handle.read(bytes, done, wanted, begin + done).catch(cause => {
      throw ioError('byteSource.read', path, `bytes ${begin}..${end}`, cause);
    });
    if (bytesRead === 0) {
      // It was longer when it was opened.
      const got = `the end of the file at byte ${begin + done}`;
      throw new IoError({ where: 'byteSource.read', name: path, expected: `bytes ${begin}..${end}`, got });
    }
    done += bytesRead;
  }
  return bytes;
}

/** An error of the operating system in our words; the original stays in `cause`. */
export function ioError(where: string, path: string, expected: string, cause: unknown): IoError {
  const { code } = cause as NodeJS.ErrnoException;
  return new IoError({ where, name: path, expected, got: String(code), cause });
}
