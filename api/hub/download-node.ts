/**
 * A model of the hub → a directory in the cache that Python's huggingface_hub shares.
 *
 * Only the files that are needed, with progress, abort, resuming, verified sizes and hashes; several processes may fill one cache at
 * once. Read next: hub-api.ts (what there is), blob-node.ts (one file), cache-node.ts (the disk). docs/hub.md tells users.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HubError } from '../../contract/errors.ts';
import { maxIndexBytes } from '../../runtime/checkpoint/shards.ts';
import { fetchBlob, partialOf, sizeOf } from './blob-node.ts';
import { asTyped, CacheFolder, isThere } from './cache-node.ts';
import { HubApi, type HubFile } from './hub-api.ts';
import { type FileProgress, type HubOptions, parseHubName } from './hub-options.ts';
import { hubError } from './request.ts';

/** Small files that are taken when they are there. */
const companions = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'vocab.json',
  'merges.txt',
  'tokenizer_config.json',
  'special_tokens_map.json',
  '1_Pooling/config.json',
];
/** What a tokenizer.json makes superfluous. */
const oldTokenizer = ['vocab.json', 'merges.txt'];
/** Weights, the first that is there; an index stands for its shards. */
const weightFiles = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
];
const maxShards = 1000;

export interface Downloaded {
  /** The snapshot: a directory as `from_pretrained` would see it. */
  readonly directory: string;
  readonly commit: string;
  readonly files: readonly string[];
}

/**
 * Makes sure that the files of a model are in the cache.
 *
 * @throws HubError, IoError (among others a full disk), AbortedError, ValueRangeError. What has arrived stays, and is not asked for again.
 */
export async function downloadModel(name: string, options: HubOptions = {}): Promise<Downloaded> {
  const { id, revision } = parseHubName(name, options.revision);
  const folder = new CacheFolder(id, options.cacheDir);
  const done =
    (options.localFilesOnly ?? isOffline())
      ? await cachedModel(folder, id, revision, options.weights ?? true)
      : await new Download(id, folder, options).run(revision);
  options.onFile?.({ status: 'ready', name: id, file: '' });
  return done;
}

export function isOffline(environment: NodeJS.ProcessEnv = process.env): boolean {
  const on = (value: string | undefined): boolean => /^(1|true|yes|on)$/i.test(value ?? '');
  return on(environment.HF_HUB_OFFLINE) || on(environment.TRANSFORMERS_OFFLINE);
}

/** What is in the cache, complete or not at all. */
async function cachedModel(folder: CacheFolder, id: string, revision: string, weights: boolean): Promise<Downloaded> {
  const missing = (expected: string, got: string): HubError => {
    const hint = 'download it once without HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE and localFilesOnly.';
    return hubError('Offline', `${id}@${revision}`, expected, got, undefined, hint);
  };
  const commit = await folder.commitOf(revision);
  const directory = folder.snapshot(commit ?? 'none');
  const files: string[] = [];
  for (const file of companions) if (await isThere(join(directory, file))) files.push(file);
  if (commit === undefined || !files.includes('config.json')) {
    throw missing('to be in the cache', 'nothing, and downloading is switched off');
  }
  if (weights) {
    const there = await Promise.all(weightFiles.map(file => isThere(join(directory, file))));
    const first = weightFiles[there.indexOf(true)];
    if (first === undefined) throw missing('its weights in the cache', 'none, and downloading is switched off');
    files.push(first, ...(await shardsBeside(id, directory, first)));
    for (const file of files) {
      if (!(await isThere(join(directory, file)))) {
        throw missing(`${file} in the cache`, 'no such file, and downloading is switched off');
      }
    }
  }
  return { directory, commit, files };
}

class Download {
  readonly #id: string;
  readonly #folder: CacheFolder;
  readonly #options: HubOptions;
  readonly #hub: HubApi;

  constructor(id: string, folder: CacheFolder, options: HubOptions) {
    const { HF_ENDPOINT, HF_TOKEN } = process.env;
    this.#id = id;
    this.#folder = folder;
    this.#options = options;
    const endpoint = options.endpoint ?? (HF_ENDPOINT || undefined);
    this.#hub = new HubApi(id, { ...options, endpoint, token: options.token ?? HF_TOKEN });
  }

  async run(revision: string): Promise<Downloaded> {
    const commit = await this.#hub.commitOf(revision).catch(error => this.#unreachable(error, revision));
    const directory = this.#folder.snapshot(commit);
    const listed = await this.#hub.list(commit, [...companions, ...weightFiles]);
    const isListed = (path: string): boolean => listed.some(file => file.path === path);
    const wanted = listed.filter(
      ({ path }) => companions.includes(path) && !(oldTokenizer.includes(path) && isListed('tokenizer.json')),
    );
    if (this.#options.weights ?? true) wanted.push(...(await this.#weights(commit, directory, listed)));
    try {
      await this.#expectRoom(directory, wanted);
      for (const file of wanted) await this.#fetch(directory, commit, file);
      await this.#folder.setCommit(revision, commit);
    } catch (error) {
      throw asTyped(error, this.#folder.path);
    }
    return { directory, commit, files: wanted.map(({ path }) => path) };
  }

  /** One file, or an index and the shards it lists. */
  async #weights(commit: string, directory: string, listed: readonly HubFile[]): Promise<HubFile[]> {
    const first = weightFiles.map(path => listed.find(file => file.path === path)).find(file => file !== undefined);
    if (!first) {
      throw hubError('NotFound', this.#id, `one of ${weightFiles.join(', ')}`, 'none of them');
    }
    if (!first.path.endsWith('.index.json')) return [first];
    if (first.size > maxIndexBytes) {
      throw hubError('WrongSize', `${this.#id}/${first.path}`, `at most ${maxIndexBytes} bytes`, String(first.size));
    }
    await this.#fetch(directory, commit, first).catch(error => {
      throw asTyped(error, this.#folder.path);
    });
    const shards = await shardsBeside(this.#id, directory, first.path);
    const found = await this.#hub.list(commit, shards);
    const missing = shards.find(shard => !found.some(({ path }) => path === shard));
    if (missing !== undefined) throw hubError('NotFound', this.#id, `the shard ${missing}`, 'no such file');
    return [first, ...found];
  }

  /** @throws IoError before anything large is asked for */
  async #expectRoom(directory: string, files: readonly HubFile[]): Promise<void> {
    let bytes = 0;
    const counted = new Set<string>();
    for (const { path, size, hash } of files) {
      if (counted.has(hash)) continue;
      counted.add(hash);
      const { blob } = this.#folder.place(hash);
      if ((await isThere(join(directory, path), size)) || (await isThere(blob, size))) continue;
      bytes += size - Math.min(size, (await sizeOf(partialOf(blob))) ?? 0);
    }
    if (bytes > 0) await this.#folder.expectRoom(bytes);
  }

  /** Puts one file into the snapshot, downloading it unless its blob is there. */
  async #fetch(directory: string, commit: string, file: HubFile): Promise<void> {
    const pointer = join(directory, file.path);
    this.#tell('initiate', file, 0);
    if (!(await isThere(pointer, file.size))) {
      const place = this.#folder.place(file.hash);
      if (!(await isThere(place.blob, file.size))) {
        this.#tell('download', file, 0);
        const { request } = this.#hub;
        const source = { url: this.#hub.addressOf(commit, file.path), request, patience: this.#options.patience };
        await this.#folder.prepare();
        await fetchBlob(place, file, source, loaded => this.#tell('progress', file, loaded));
      }
      await this.#folder.link(file.hash, pointer);
    }
    this.#tell('done', file, file.size);
  }

  #tell(status: FileProgress['status'], { path, size }: HubFile, loaded: number): void {
    const progress = size === 0 ? 100 : (100 * loaded) / size;
    this.#options.onFile?.({ status, name: this.#id, file: path, loaded, total: size, progress });
  }

  /** Nothing is taken from the cache unasked, but it is said that it could be. */
  async #unreachable(error: unknown, revision: string): Promise<never> {
    if (error instanceof HubError && error.reason === 'Network' && (await this.#folder.commitOf(revision))) {
      const hint = 'the cache has this model: localFilesOnly, or HF_HUB_OFFLINE=1, takes what is there.';
      throw hubError('Network', error.subject, error.expected, error.got, error.cause, hint);
    }
    throw error;
  }
}

/** The shards that an index in the directory lists; none for another file. @throws HubError for names that lead out of the folder */
async function shardsBeside(id: string, directory: string, index: string): Promise<string[]> {
  if (!index.endsWith('.index.json')) return [];
  let map: unknown;
  try {
    map = (JSON.parse(await readFile(join(directory, index), 'utf8')) as { weight_map?: unknown }).weight_map;
  } catch (cause) {
    throw hubError('BadResponse', `${id}/${index}`, 'an index with shards', 'no JSON', cause);
  }
  const names = map !== null && typeof map === 'object' ? [...new Set(Object.values(map))] : [];
  if (names.length === 0 || names.length > maxShards) {
    throw hubError('BadResponse', `${id}/${index}`, `an index with 1..${maxShards} shards`, `${names.length} of them`);
  }
  for (const name of names) {
    if (typeof name !== 'string' || !/^\w[\w.-]*\.(safetensors|bin)$/.test(name)) {
      throw hubError('UnsafeName', `${id}/${index}`, 'names of shards', JSON.stringify(name));
    }
  }
  return names as string[];
}
