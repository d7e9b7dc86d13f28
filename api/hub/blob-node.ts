/**
 * One file of the hub → a blob of the cache, verified before it has its name. What arrived of it stays when it fails.
 *
 * The file it grows in is ours alone (Python's has another name), so that two programs never write to the same one.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { constants, copyFile, type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { HubError } from '../../contract/errors.ts';
import type { HubFile } from './hub-api.ts';
import { takeLock } from './lock-node.ts';
import { type Answer, failure, hubError, type RequestOptions, request } from './request.ts';
import { type Patience, retrying } from './retrying.ts';

export interface BlobPlace {
  readonly blob: string;
  readonly lock: string;
}

export interface BlobSource {
  readonly url: string;
  readonly request: RequestOptions;
  readonly patience?: Patience;
}

/**
 * Makes sure that the blob is there. `tell` hears how many bytes are, also while another process downloads it.
 *
 * @throws HubError, AbortedError; errors of the file system as they are
 */
export async function fetchBlob(
  { blob, lock }: BlobPlace,
  file: HubFile,
  source: BlobSource,
  tell: (loaded: number) => void,
): Promise<void> {
  const partial = partialOf(blob);
  const { signal } = source.request;
  const isDone = async (): Promise<boolean> => {
    const loaded = await sizeOf(partial);
    if (loaded !== undefined) tell(Math.min(loaded, file.size));
    return (await sizeOf(blob)) === file.size;
  };
  for (;;) {
    const taken = await takeLock(lock, signal, isDone);
    if (!taken) return;
    try {
      if ((await sizeOf(blob)) === file.size) return;
      if (taken.tookOver) await makeOwn(partial);
      await new BlobDownload(partial, file, source, taken.held, tell).run();
      if (!(await taken.held())) throw new LockLost();
      await rename(partial, blob);
      return;
    } catch (error) {
      if (error instanceof LockLost) continue; // this process stood still for long, and another goes on with the file
      // Nothing more will fit, and what is there takes room from others.
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') await rm(partial, { force: true });
      throw error;
    } finally {
      await taken.release();
    }
  }
}

class LockLost extends Error {}

/** Under its name stands another file afterwards, so that who has the old one open writes to nothing of ours. */
async function makeOwn(partial: string): Promise<void> {
  if ((await sizeOf(partial)) === undefined) return;
  const copy = `${partial.slice(0, -'.incomplete'.length)}.${randomUUID()}.incomplete`;
  await copyFile(partial, copy, constants.COPYFILE_FICLONE);
  await rename(copy, partial);
}

export const partialOf = (blob: string): string => `${blob}.longformer.incomplete`;

class BlobDownload {
  readonly #partial: string;
  readonly #file: HubFile;
  readonly #source: BlobSource;
  readonly #held: () => Promise<boolean>;
  readonly #tell: (loaded: number) => void;
  /** Whether some bytes are from an earlier request, which may have got another file. */
  #resumed = false;
  /** Of the file whose beginning is on the disk. */
  #etag: string | undefined;
  #arrived = 0;

  constructor(
    partial: string,
    file: HubFile,
    source: BlobSource,
    held: () => Promise<boolean>,
    tell: (loaded: number) => void,
  ) {
    this.#partial = partial;
    this.#file = file;
    this.#source = source;
    this.#held = held;
    this.#tell = tell;
  }

  async run(): Promise<void> {
    const { patience, request } = this.#source;
    const options = { patience, signal: request.signal, arrived: () => this.#arrived };
    await retrying(() => this.#attempt(), options);
    let got = await hashOf(this.#partial, this.#file, request.signal);
    if (got !== this.#file.hash && this.#resumed) {
      // Two halves of different files. Once more from the beginning.
      await rm(this.#partial, { force: true });
      this.#resumed = false;
      await retrying(() => this.#attempt(), options);
      got = await hashOf(this.#partial, this.#file, request.signal);
    }
    if (got === this.#file.hash) return;
    await rm(this.#partial, { force: true });
    const hint = 'what arrived is not what the hub describes; try again, and mistrust what lies between you and it.';
    throw hubError('WrongHash', this.#file.path, this.#file.hash, got, undefined, hint);
  }

  /** Appends what is missing. */
  async #attempt(): Promise<void> {
    if (!(await this.#held())) throw new LockLost();
    const { size } = this.#file;
    let have = (await sizeOf(this.#partial)) ?? 0;
    if (have > size) have = 0;
    if (have > 0) this.#resumed = true;
    if (have === size && size > 0) return;
    const out = await open(this.#partial, have > 0 ? 'r+' : 'w');
    try {
      await this.#append(out, have);
      await out.sync();
    } catch (error) {
      if (error instanceof HubError && error.reason === 'WrongSize') await out.truncate(0);
      throw error;
    } finally {
      await out.close();
    }
  }

  async #append(out: FileHandle, have: number): Promise<void> {
    const { url, request: options } = this.#source;
    const { size } = this.#file;
    const headers: Record<string, string> = have > 0 ? { range: `bytes=${have}-` } : {};
    if (have > 0 && this.#etag !== undefined) headers['if-range'] = this.#etag;
    const answer = await request(url, { ...options, headers }).catch(async error => {
      if (error instanceof HubError && error.got === 'status 416') throw await this.#beginAnew(out, 'status 416');
      throw error;
    });
    if (answer.status === 206 && !continues(answer, have, size)) {
      answer.discard();
      throw await this.#beginAnew(out, answer.headers.get('content-range') ?? 'a part without its place');
    }
    let at = answer.status === 206 ? have : 0; // a whole file where a part was asked for: no ranges there, or it changed
    const declared = declaredLength(answer);
    if (declared !== undefined && at + declared > size) {
      answer.discard();
      throw hubError('WrongSize', url, `${size} bytes`, String(at + declared));
    }
    await out.truncate(at);
    this.#etag = strongEtag(answer);
    for await (const bytes of answer.chunks()) {
      if (at + bytes.length > size) throw hubError('WrongSize', url, `${size} bytes`, 'more');
      await writeAll(out, bytes, at);
      at += bytes.length;
      this.#arrived += bytes.length;
      this.#tell(at);
    }
    if (at < size) throw hubError('Network', url, `${size} bytes`, `the end after ${at}`);
  }

  /** The server cannot go on from here. The next attempt asks for everything. */
  async #beginAnew(out: FileHandle, got: string): Promise<HubError> {
    await out.truncate(0);
    return hubError('Network', this.#source.url, 'the rest of the file', got);
  }
}

async function writeAll(out: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await out.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
  }
}

/** Whether a part begins where the last one ended. */
function continues({ headers }: Answer, have: number, size: number): boolean {
  const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers.get('content-range') ?? '');
  return range !== null && Number(range[1]) === have && (range[3] === '*' || Number(range[3]) === size);
}

/** Bytes to come; unknown when there is no length or it is that of a compressed body. */
function declaredLength({ headers }: Answer): number | undefined {
  const length = headers.get('content-length');
  return length === null || headers.has('content-encoding') ? undefined : Number(length);
}

/** Weak ones promise no equal bytes. */
function strongEtag({ headers }: Answer): string | undefined {
  const etag = headers.get('etag') ?? '';
  return etag.startsWith('"') ? etag : undefined;
}

/** sha256 of the file, or git's sha1, whichever the expected hash is. */
export async function hashOf(path: string, { size, hash }: HubFile, signal?: AbortSignal): Promise<string> {
  const hashing = createHash(hash.length === 64 ? 'sha256' : 'sha1');
  if (hash.length === 40) hashing.update(`blob ${size}\0`);
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20, signal }))
      hashing.update(bytes as Buffer);
  } catch (error) {
    throw signal?.aborted ? failure(path, error, signal) : error;
  }
  return hashing.digest('hex');
}

/** Bytes of the file a path leads to, or undefined. */
export async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    stats => (stats.isFile() ? stats.size : undefined),
    () => undefined,
  );
}
