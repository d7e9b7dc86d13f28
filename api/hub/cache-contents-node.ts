/**
 * What is in the cache, whoever put it there: list, check, remove.
 *
 * Its own scan, because the one of @huggingface/hub passes over files in folders of a snapshot, references in folders (refs/pr/7),
 * and models without references.
 */
import { lstat, readdir, readFile, realpath, rm } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { IoError } from '../../contract/errors.ts';
import { hashOf, sizeOf } from './blob-node.ts';
import { asTyped, CacheFolder, cachePath, isDirectory } from './cache-node.ts';
import { parseHubName } from './hub-options.ts';

export interface CachedFile {
  /** In the snapshot, with forward slashes. */
  readonly path: string;
  /** undefined when the link leads nowhere. */
  readonly bytes: number | undefined;
}

export interface CachedRevision {
  readonly commit: string;
  /** Branches and tags that stood here when they were last downloaded. */
  readonly refs: readonly string[];
  readonly directory: string;
  readonly files: readonly CachedFile[];
}

export interface CachedModel {
  readonly id: string;
  readonly directory: string;
  /** On the disk: every blob once, with what is unfinished. */
  readonly bytes: number;
  /** Of downloads that have not come to their end. */
  readonly unfinishedBytes: number;
  readonly revisions: readonly CachedRevision[];
}

/** ok; damaged: other bytes than its name says; missing: a link that leads nowhere; unknown: its name is no hash. */
export type FileState = 'ok' | 'damaged' | 'missing' | 'unknown';

export interface VerifiedFile {
  readonly id: string;
  readonly commit: string;
  readonly path: string;
  readonly state: FileState;
}

/** The models in the cache by name; none where there is no cache. @throws IoError */
export async function listCache(cacheDir?: string): Promise<CachedModel[]> {
  const cache = cachePath(cacheDir);
  const names = await readdir(cache).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new IoError({ where: 'cache', name: cache, expected: 'a directory', got: String(error.code), cause: error });
  });
  const models: CachedModel[] = [];
  for (const name of names.sort()) {
    const directory = join(cache, name);
    if (name.startsWith('models--') && (await isDirectory(directory))) models.push(await describe(name, directory));
  }
  return models;
}

async function describe(name: string, directory: string): Promise<CachedModel> {
  const refs = await refsOf(join(directory, 'refs'));
  const revisions: CachedRevision[] = [];
  for (const commit of (await namesIn(join(directory, 'snapshots'))).sort()) {
    const snapshot = join(directory, 'snapshots', commit);
    const files: CachedFile[] = [];
    for (const path of await filesIn(snapshot)) files.push({ path, bytes: await sizeOf(join(snapshot, path)) });
    revisions.push({ commit, refs: refs.get(commit) ?? [], directory: snapshot, files });
  }
  let bytes = 0;
  let unfinishedBytes = 0;
  for (const path of await filesIn(directory)) {
    const stats = await lstat(join(directory, path)).catch(() => undefined);
    if (!stats?.isFile()) continue; // a link, or gone meanwhile
    bytes += stats.size;
    if (path.endsWith('.incomplete')) unfinishedBytes += stats.size;
  }
  return { id: name.split('--').slice(1).join('/'), directory, bytes, unfinishedBytes, revisions };
}

async function refsOf(folder: string): Promise<Map<string, string[]>> {
  const refs = new Map<string, string[]>();
  for (const name of (await filesIn(folder)).sort()) {
    const commit = (await readFile(join(folder, name), 'utf8').catch(() => '')).trim();
    refs.set(commit, [...(refs.get(commit) ?? []), name]);
  }
  return refs;
}

/**
 * Hashes files again and compares them with what the hub called them.
 *
 * id: one model, or undefined for all. onFile hears of each file as it is done.
 * @throws IoError for a model that is not there, AbortedError
 */
export async function verifyCache(
  options: {
    readonly id?: string;
    readonly cacheDir?: string;
    readonly signal?: AbortSignal;
    readonly onFile?: (file: VerifiedFile) => void;
  } = {},
): Promise<VerifiedFile[]> {
  const { id, cacheDir, signal, onFile } = options;
  const models = id === undefined ? await listCache(cacheDir) : [await findModel(id, cacheDir)];
  const verified: VerifiedFile[] = [];
  const known = new Map<string, FileState>(); // blobs that several revisions share are read once
  for (const model of models) {
    for (const { commit, directory, files } of model.revisions) {
      for (const { path } of files) {
        const blob = await realpath(join(directory, path)).catch(() => '');
        const state = known.get(blob) ?? (await stateOf(blob, model.directory, signal));
        if (blob !== '') known.set(blob, state);
        const file = { id: model.id, commit, path, state };
        verified.push(file);
        onFile?.(file);
      }
    }
  }
  return verified;
}

async function stateOf(blob: string, directory: string, signal: AbortSignal | undefined): Promise<FileState> {
  const size = await sizeOf(blob);
  if (size === undefined) return 'missing';
  const hash = basename(blob);
  const isBlob = blob.startsWith((await realpath(directory)) + sep) && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash);
  if (!isBlob) return 'unknown'; // a copy, where links are not allowed
  try {
    return (await hashOf(blob, { path: blob, size, hash }, signal)) === hash ? 'ok' : 'damaged';
  } catch (error) {
    throw asTyped(error, blob);
  }
}

/**
 * Removes a model with all its revisions. dryRun: only looks what would go.
 *
 * @throws IoError for a model that is not there, ValueRangeError for what is no name
 */
export async function removeFromCache(
  id: string,
  { cacheDir, dryRun = false }: { readonly cacheDir?: string; readonly dryRun?: boolean } = {},
): Promise<CachedModel> {
  const model = await findModel(id, cacheDir);
  if (dryRun) return model;
  await rm(model.directory, { recursive: true, force: true }).catch(error => {
    throw asTyped(error, model.directory);
  });
  return model;
}

async function findModel(id: string, cacheDir: string | undefined): Promise<CachedModel> {
  const { path } = new CacheFolder(parseHubName(id).id, cacheDir);
  if (!id.includes('@') && (await isDirectory(path))) return describe(basename(path), path);
  const hint = 'the names are in: longformer cache list.';
  throw new IoError({ where: 'cache', name: id, expected: 'a model in the cache', got: 'nothing there', hint });
}

const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);

/** Files and links below a folder, with forward slashes; links are not followed. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter(entry => !entry.isDirectory())
    .map(({ parentPath, name }) => relative(folder, join(parentPath, name)).split(sep).join('/'))
    .sort();
}
