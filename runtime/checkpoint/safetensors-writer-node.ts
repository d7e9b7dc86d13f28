/**
 * A safetensors writer into a file: data goes to a temporary file beside the target, which takes the target's place in one step.
 * Readers see the old file or the new one, never a part; a reader that has the old file open keeps it.
 */
import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { ioError } from './byte-source-node.ts';
import {
  type ByteSink,
  createSafetensorsWriter,
  type SafetensorsWriter,
  type TensorDeclaration,
} from './safetensors-writer.ts';

/** Where a file is written until it is complete: beside its target, so that renaming stays within one disk. */
export const temporaryPath = (path: string): string => `${path}.${randomUUID()}.partial`;

/**
 * Begins `path`. Call `finish` or `abort` on the result; a failed write or finish aborts by itself.
 *
 * temporary: for callers who must remove it themselves, because they may end this thread at any time.
 * @throws IoError when the temporary file cannot be made, ValueRangeError for impossible declarations.
 */
export async function createSafetensorsFile(
  path: string,
  tensors: readonly TensorDeclaration[],
  metadata: ReadonlyMap<string, string> = new Map(),
  temporary: string = temporaryPath(path),
): Promise<SafetensorsWriter> {
  return createSafetensorsWriter(await createFileSink(path, temporary), tensors, metadata);
}

/** @throws IoError */
export async function createFileSink(path: string, temporary = temporaryPath(path)): Promise<ByteSink> {
  const failed = (cause: unknown): never => {
    throw ioError('createSafetensorsFile', path, 'a file that can be written', cause);
  };
  // wx: never through a symbolic link that somebody else put there.
  const handle = await open(temporary, 'wx').catch(failed);
  return {
    async write(position, bytes) {
      let done = 0;
      while (done < bytes.length) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done).catch(failed);
        done += bytesWritten;
      }
    },
    async commit() {
      // The data first, then the name: after a crash there is no file of the right name with holes in it.
      await handle.sync().catch(failed);
      await handle.close().catch(failed);
      await rename(temporary, path).catch(failed);
    },
    async discard() {
      await Promise.allSettled([handle.close()]); // whether that works or not, the file must go
      await rm(temporary, { force: true }).catch(failed);
    },
  };
}
