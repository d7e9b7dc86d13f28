/**
 * A model of the hub → a directory in the cache that Python's huggingface_hub shares: `models--owner--name/{blobs,refs,snapshots}`.
 *
 * Listing, names of folders and the scan of the cache are @huggingface/hub's. Added here: only the files that are needed, progress,
 * abort, resuming, verified sizes and hashes, files that appear whole or not at all, several processes at once, and being offline.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  access,
  copyFile,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { getHFHubCachePath, getRepoFolderName, modelInfo, type PathInfo, pathsInfo } from '@huggingface/hub';
import { AbortedError, HubError, IoError } from '../../contract/errors.ts';
import { type HubOptions, parseHubName } from './hub-options.ts';
import { failure, get, hubError, retrying } from './request.ts';

/** Small files that are taken when they are there. */
const companions = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'vocab.json',
  'merges.txt',
  'tokenizer_config.json',
  'special_tokens_map.json',
];
/** Weights, the first that is there; an index stands for its shards. */
const weightFiles = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
];

/** Silence for longer than this is a broken connection. */
const stalledMs = 30_000;
/** A lock that nobody has touched for so long belongs to a process that is gone. */
const staleLockMs = 20_000;
/** More than any shard of any model. */
const mostBytes = 2 ** 40;

export interface Downloaded {
  /** The snapshot: a directory as `from_pretrained` would see it. */
  readonly directory: string;
  readonly commit: string;
  readonly files: readonly string[];
}

/** Makes sure that the files of a model are in the cache. @throws HubError, IoError, AbortedError, ValueRangeError */
export async function downloadModel(name: string, options: HubOptions = {}): Promise<Downloaded> {
  const { id, revision } = parseHubName(name, options.revision);
  const cache = options.cacheDir ?? getHFHubCachePath();
  const folder = join(cache, getRepoFolderName({ name: id, type: 'model' }));
  if (options.localFilesOnly ?? isOffline()) return cachedModel(folder, id, revision);

  const repository = new Repository(id, folder, options);
  const commit = await repository.commitOf(revision);
  const snapshot = join(folder, 'snapshots', commit);
  const listed = await repository.list(commit, [...companions, ...weightFiles]);
  const wanted = listed.filter(({ path }) => companions.includes(path));
  if (options.weights !== false) wanted.push(...(await repository.weights(commit, snapshot, listed)));
  for (const file of wanted) await repository.fetchInto(snapshot, commit, file);
  if (revision !== commit) await writeWhole(join(folder, 'refs', revision), commit);
  options.onFile?.({ status: 'ready', name: id, file: '' });
  return { directory: snapshot, commit, files: wanted.map(({ path }) => path) };
}

export function isOffline(environment: NodeJS.ProcessEnv = process.env): boolean {
  const on = (value: string | undefined): boolean => /^(1|true|yes|on)$/i.test(value ?? '');
  return on(environment.HF_HUB_OFFLINE) || on(environment.TRANSFORMERS_OFFLINE);
}

async function cachedModel(folder: string, id: string, revision: string): Promise<Downloaded> {
  const commit = /^[0-9a-f]{40}$/.test(revision)
    ? revision
    : (await readFile(join(folder, 'refs', revision), 'utf8').catch(() => '')).trim();
  const directory = join(folder, 'snapshots', commit);
  const files: string[] = [];
  for (const file of [...companions, ...weightFiles])
    if (commit !== '' && (await isThere(join(directory, file)))) files.push(file);
  if (files.includes('config.json')) return { directory, commit, files };
  throw hubError(
    'Offline',
    `${id}@${revision}`,
    'to be in the cache',
    'nothing, and downloading is switched off',
    undefined,
    'download it once without HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE and localFilesOnly.',
  );
}

class Repository {
  readonly #id: string;
  readonly #folder: string;
  readonly #options: HubOptions;
  readonly #endpoint: string;
  readonly #token: string | undefined;

  constructor(id: string, folder: string, options: HubOptions) {
    this.#id = id;
    this.#folder = folder;
    this.#options = options;
    this.#endpoint = (options.endpoint ?? process.env.HF_ENDPOINT ?? 'https://huggingface.co').replace(/\/$/, '');
    this.#token = options.token ?? process.env.HF_TOKEN;
  }

  /** The commit a branch or tag stands at. */
  async commitOf(revision: string): Promise<string> {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision;
    const { sha } = await this.#ask(`${this.#id}@${revision}`, asked =>
      modelInfo({ name: this.#id, revision, additionalFields: ['sha'], ...asked }),
    );
    if (!/^[0-9a-f]{40}$/.test(sha)) throw hubError('BadResponse', this.#id, 'a commit', JSON.stringify(sha));
    return sha;
  }

  /** Those of the names that are there. */
  async list(commit: string, paths: string[]): Promise<PathInfo[]> {
    const found = await this.#ask(this.#id, asked =>
      pathsInfo({ repo: { type: 'model', name: this.#id }, paths, revision: commit, ...asked }),
    );
    for (const { path, size, type } of found) {
      if (!paths.includes(path) || type !== 'file' || !Number.isSafeInteger(size) || size < 0 || size > mostBytes) {
        throw hubError('BadResponse', this.#id, 'what was asked for', `${type} ${path} of ${size} bytes`);
      }
    }
    return found;
  }

  /** One file, or an index and the shards it lists. */
  async weights(commit: string, snapshot: string, listed: readonly PathInfo[]): Promise<PathInfo[]> {
    const first = weightFiles.map(path => listed.find(file => file.path === path)).find(file => file !== undefined);
    if (!first) {
      throw hubError('NotFound', this.#id, `one of ${weightFiles.join(', ')}`, 'none of them');
    }
    if (!first.path.endsWith('.index.json')) return [first];
    await this.fetchInto(snapshot, commit, first);
    const shards = shardsOf(this.#id, await readFile(join(snapshot, first.path), 'utf8'));
    const found = await this.list(commit, shards);
    const missing = shards.find(shard => !found.some(({ path }) => path === shard));
    if (missing !== undefined) throw hubError('NotFound', this.#id, `the shard ${missing}`, 'no such file');
    return [first, ...found];
  }

  /** Metadata through @huggingface/hub, with our redirects, retries and errors. */
  async #ask<Result>(
    name: string,
    ask: (asked: { hubUrl: string; fetch: typeof fetch; accessToken?: string }) => Promise<Result>,
  ): Promise<Result> {
    const { signal, fetch: send = fetch } = this.#options;
    const withSignal: typeof fetch = (input, init) => send(input, { ...init, signal: signal ?? null });
    const asked = { hubUrl: this.#endpoint, fetch: withSignal, ...(this.#token ? { accessToken: this.#token } : {}) };
    return retrying(async () => {
      try {
        return await ask(asked);
      } catch (cause) {
        const { statusCode } = cause as { statusCode?: number };
        if (statusCode === 404)
          throw hubError('NotFound', name, 'a model and revision that exist', 'status 404', cause);
        if (statusCode === 401 || statusCode === 403) {
          const hint = 'the model may be private or gated, or not exist: accept its terms on the hub and set HF_TOKEN.';
          throw hubError('Unauthorized', name, 'to be let in', `status ${statusCode}`, cause, hint);
        }
        if (statusCode !== undefined && statusCode < 500 && statusCode !== 429) {
          throw hubError('BadResponse', name, 'success', `status ${statusCode}`, cause);
        }
        if (statusCode === undefined && cause instanceof SyntaxError) {
          throw hubError('BadResponse', name, 'JSON', 'something else', cause);
        }
        throw statusCode === undefined
          ? failure(name, cause, signal)
          : hubError('Network', name, 'success', `status ${statusCode}`, cause);
      }
    }, this.#options);
  }

  /** Puts one file into the snapshot, downloading it unless its blob is there. */
  async fetchInto(snapshot: string, commit: string, file: PathInfo): Promise<void> {
    const pointer = join(snapshot, file.path);
    const hash = file.lfs?.oid ?? file.oid;
    if (hash === undefined || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash)) {
      throw hubError('BadResponse', `${this.#id}/${file.path}`, 'a hash', JSON.stringify(hash));
    }
    if (await isThere(pointer)) return;
    const blob = join(this.#folder, 'blobs', hash);
    try {
      await mkdir(dirname(blob), { recursive: true });
      await mkdir(dirname(pointer), { recursive: true });
      if (!(await isThere(blob))) await this.#fetchBlob(blob, commit, file, hash);
      await link(blob, pointer);
    } catch (cause) {
      throw asTyped(cause, file.path);
    }
  }

  async #fetchBlob(blob: string, commit: string, file: PathInfo, hash: string): Promise<void> {
    const release = await takeLock(`${blob}.lock`, this.#options.signal, () => isThere(blob));
    if (!release) return; // another process has finished it
    try {
      if (await isThere(blob)) return;
      const partial = `${blob}.incomplete`;
      this.#tell('initiate', file);
      this.#tell('download', file);
      await retrying(() => this.#fetchRest(partial, commit, file), this.#options);
      await expectHash(partial, file, hash);
      await rename(partial, blob);
      this.#tell('done', file, file.size);
    } finally {
      await release();
    }
  }

  /** Appends what is missing. What has arrived stays when it fails, and the next attempt goes on from there. */
  async #fetchRest(partial: string, commit: string, file: PathInfo): Promise<void> {
    let have = await stat(partial).then(
      ({ size }) => size,
      () => 0,
    );
    if (have > file.size) have = 0;
    if (have === file.size && file.size > 0) return;
    const url = `${this.#endpoint}/${this.#id}/resolve/${commit}/${file.path.split('/').map(encodeURIComponent).join('/')}`;
    const stall = new AbortController();
    const { signal, fetch: send } = this.#options;
    const either = signal ? AbortSignal.any([signal, stall.signal]) : stall.signal;
    let timer = setTimeout(() => stall.abort(), stalledMs);
    const headers: Record<string, string> = have > 0 ? { range: `bytes=${have}-` } : {};
    const request = { fetch: send, token: this.#token, signal: either, headers };
    const out = await open(partial, have > 0 ? 'r+' : 'w');
    try {
      const response = await get(url, request);
      if (have > 0 && response.status !== 206) have = 0; // the server knows no ranges and begins anew
      await out.truncate(have);
      let at = have;
      for await (const bytes of response.body ?? []) {
        clearTimeout(timer);
        timer = setTimeout(() => stall.abort(), stalledMs);
        if (at + bytes.length > file.size) throw hubError('WrongSize', url, `${file.size} bytes`, 'more');
        await out.write(bytes, 0, bytes.length, at);
        at += bytes.length;
        this.#tell('progress', file, at);
      }
      if (at < file.size) throw hubError('Network', url, `${file.size} bytes`, `the end after ${at}`);
    } catch (cause) {
      if (cause instanceof HubError || (cause as NodeJS.ErrnoException).syscall === 'write') throw cause;
      throw failure(url, cause, signal);
    } finally {
      clearTimeout(timer);
      await out.close();
    }
  }

  #tell(status: 'initiate' | 'download' | 'progress' | 'done', { path, size }: PathInfo, loaded = 0): void {
    const progress = size === 0 ? 100 : (100 * loaded) / size;
    this.#options.onFile?.({ status, name: this.#id, file: path, loaded, total: size, progress });
  }
}

/** Names an index may list: nothing that leads out of the folder. */
function shardsOf(id: string, text: string): string[] {
  let map: unknown;
  try {
    map = (JSON.parse(text) as { weight_map?: unknown }).weight_map;
  } catch {
    map = undefined;
  }
  const names = map !== null && typeof map === 'object' ? [...new Set(Object.values(map))] : [];
  if (names.length === 0 || names.length > 10_000)
    throw hubError('BadResponse', id, 'an index with shards', `${names.length} of them`);
  for (const name of names) {
    if (typeof name !== 'string' || !/^[\w][\w.-]*\.(safetensors|bin)$/.test(name)) {
      throw hubError('UnsafeName', id, 'names of shards', JSON.stringify(name));
    }
  }
  return names as string[];
}

/** sha256 for large files, git's sha1 of a blob for small ones. A file that is wrong is removed. */
async function expectHash(path: string, file: PathInfo, expected: string): Promise<void> {
  const hash = createHash(expected.length === 64 ? 'sha256' : 'sha1');
  if (expected.length === 40) hash.update(`blob ${file.size}\0`);
  for await (const bytes of createReadStream(path)) hash.update(bytes as Buffer);
  const got = hash.digest('hex');
  if (got === expected) return;
  await rm(path, { force: true });
  const hint = 'what arrived is not what the hub describes; try again, and mistrust what lies between you and it.';
  throw hubError('WrongHash', file.path, expected, got, undefined, hint);
}

/** A relative link, as Python makes it; a copy where links are not allowed. */
async function link(blob: string, pointer: string): Promise<void> {
  await symlink(relative(dirname(pointer), blob), pointer).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return;
    if (error.code !== 'EPERM' && error.code !== 'ENOTSUP') throw error;
    await copyFile(blob, `${pointer}.incomplete`);
    await rename(`${pointer}.incomplete`, pointer);
  });
}

/**
 * One process downloads a file, others wait for it. Null when `done` came true meanwhile. The holder touches its lock; one that nobody
 * has touched for long is taken over.
 */
async function takeLock(
  path: string,
  signal: AbortSignal | undefined,
  done: () => Promise<boolean>,
): Promise<(() => Promise<void>) | null> {
  for (;;) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' });
      const beat = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), staleLockMs / 4);
      beat.unref();
      return async () => {
        clearInterval(beat);
        await rm(path, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if (await done()) return null;
    const touched = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => Date.now(),
    );
    if (Date.now() - touched > staleLockMs) await rm(path, { force: true });
    if (signal?.aborted) throw failure(path, undefined, signal);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

async function writeWhole(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.incomplete`;
  await writeFile(temporary, text);
  await rename(temporary, path);
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** An error of the operating system, such as a full disk, in our words. */
function asTyped(cause: unknown, name: string): Error {
  if (cause instanceof HubError || cause instanceof AbortedError) return cause;
  const { code } = cause as NodeJS.ErrnoException;
  return new IoError({ where: 'hub', name, expected: 'to be written into the cache', got: String(code), cause });
}
