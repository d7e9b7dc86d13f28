/**
 * The cache on the disk, as Python's huggingface_hub lays it out: `models--owner--name/{blobs,refs,snapshots}`.
 *
 * Where things are, and putting them there so that they appear whole or not at all. Read next: download-node.ts, cache-contents-node.ts.
 */
import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, readFile, rename, rm, stat, statfs, symlink, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative } from 'node:path';
import { getHFHubCachePath, getRepoFolderName } from '@huggingface/hub';
import { IoError, LongformerError } from '../../contract/errors.ts';
import { type BlobPlace, sizeOf } from './blob-node.ts';

/** Default: HF_HUB_CACHE, or hub/ in HF_HOME, or in ~/.cache/huggingface. */
export function cachePath(cacheDir?: string): string {
  const path = cacheDir ?? getHFHubCachePath();
  // Without a home the rest of it would lie wherever the program was started.
  const named = ['HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE', 'HF_HOME', 'XDG_CACHE_HOME'].some(name => process.env[name]);
  if (cacheDir !== undefined || isAbsolute(path) || named) return path;
  throw new IoError({
    where: 'hub',
    name: 'cacheDir',
    expected: 'a home directory to keep the cache in',
    got: 'none',
    hint: 'set HF_HUB_CACHE or HF_HOME, or give cacheDir.',
  });
}

/** The folder of one model in the cache. */
export class CacheFolder {
  readonly path: string;
  readonly #locks: string;

  constructor(id: string, cacheDir?: string) {
    const name = getRepoFolderName({ name: id, type: 'model' });
    this.path = join(cachePath(cacheDir), name);
    this.#locks = join(cachePath(cacheDir), '.locks', name);
  }

  snapshot(commit: string): string {
    return join(this.path, 'snapshots', commit);
  }

  place(hash: string): BlobPlace {
    return { blob: join(this.path, 'blobs', hash), lock: join(this.#locks, `${hash}.longformer.lock`) };
  }

  /** The commit a revision stood at when it was last downloaded; undefined when it was not. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision;
    const text = await readFile(join(this.path, 'refs', revision), 'utf8').catch(() => '');
    return /^[0-9a-f]{40}$/.test(text.trim()) ? text.trim() : undefined;
  }

  /** Nothing is written when it says so already, so that a cache may be read-only. */
  async setCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit || (await this.commitOf(revision)) === commit) return;
    const ref = join(this.path, 'refs', revision);
    await mkdir(dirname(ref), { recursive: true });
    await this.#appear(ref, temporary => writeFile(temporary, commit));
  }

  /** A relative link from a snapshot to a blob, as Python makes it; a copy where links are not allowed. */
  async link(hash: string, pointer: string): Promise<void> {
    const { blob } = this.place(hash);
    await mkdir(dirname(pointer), { recursive: true });
    await this.#appear(pointer, temporary =>
      symlink(relative(dirname(pointer), blob), temporary).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPERM' && error.code !== 'ENOTSUP' && error.code !== 'ENOSYS') throw error;
        return copyFile(blob, temporary);
      }),
    );
  }

  /** Makes the folder blobs are written to. */
  async prepare(): Promise<void> {
    await mkdir(join(this.path, 'blobs'), { recursive: true });
  }

  async #appear(path: string, write: (temporary: string) => Promise<void>): Promise<void> {
    await this.prepare();
    const temporary = join(this.path, 'blobs', `${randomUUID()}.incomplete`);
    try {
      await write(temporary);
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
  }

  /** @throws IoError when so many more bytes will not fit; systems that do not know are believed */
  async expectRoom(bytes: number): Promise<void> {
    await mkdir(this.path, { recursive: true });
    const { bavail, bsize } = await statfs(this.path);
    if (bavail === 0 || bytes <= bavail * bsize) return;
    throw noRoom(this.path, `${bytes} bytes of room`, `${bavail * bsize}`);
  }
}

function noRoom(path: string, expected: string, got: string, cause?: unknown): IoError {
  const hint = 'make room (longformer cache list), or let HF_HUB_CACHE name another disk.';
  return new IoError({ where: 'hub', name: path, expected, got, hint, cause });
}

/** Errors of the file system in our words. */
export function asTyped(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof LongformerError || code === undefined) return error;
  if (code === 'ENOSPC') return noRoom(path, 'room for it', code, error);
  return new IoError({ where: 'hub', name: path, expected: 'to be written to the cache', got: code, cause: error });
}

/** Whether a file of that size is there, or of any. */
export async function isThere(path: string, size?: number): Promise<boolean> {
  const found = await sizeOf(path);
  return found !== undefined && (size === undefined || found === size);
}

export async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    stats => stats.isDirectory(),
    () => false,
  );
}
