/** What the hub is asked with, and names of models on it. Runs anywhere. */
import { ValueRangeError } from '../../contract/errors.ts';
import type { Patience } from './retrying.ts';

/** What a progress callback hears; the words of transformers.js. */
export interface FileProgress {
  readonly status: 'initiate' | 'download' | 'progress' | 'done' | 'ready';
  /** The model. */
  readonly name: string;
  readonly file: string;
  readonly loaded?: number;
  readonly total?: number;
  /** 0..100. */
  readonly progress?: number;
}

export interface HubOptions {
  /** Branch, tag or commit; default main. HF `revision`. */
  readonly revision?: string;
  /** Default: HF_HUB_CACHE, or hub/ in HF_HOME, or in ~/.cache/huggingface. */
  readonly cacheDir?: string;
  /** Only what is in the cache. Default: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE. HF `local_files_only`. */
  readonly localFilesOnly?: boolean;
  /** Default HF_TOKEN. */
  readonly token?: string;
  /** Default HF_ENDPOINT, or https://huggingface.co. */
  readonly endpoint?: string;
  readonly fetch?: typeof fetch;
  readonly signal?: AbortSignal;
  readonly onFile?: (progress: FileProgress) => void;
  /** false: tokenizer and config only. Default true. */
  readonly weights?: boolean;
  readonly patience?: Patience;
}

export interface HubName {
  readonly id: string;
  readonly revision: string;
}

export const defaultEndpoint = 'https://huggingface.co';

/** No `--` and no `..`, as on the hub: folders of the cache join the parts of a name by `--`. */
const part = /^(?!.*(--|\.\.))\w[\w.-]*$/;

/** `owner/name`, `name` or either with `@revision`. @throws ValueRangeError */
export function parseHubName(name: string, revision = 'main'): HubName {
  const [id = '', given = revision, ...rest] = name.split('@');
  const parts = id.split('/');
  const good = rest.length === 0 && parts.length <= 2 && parts.every(each => part.test(each) && each.length <= 96);
  if (good && isRevision(given)) return { id, revision: given };
  throw new ValueRangeError({
    where: 'hub',
    name: 'model',
    expected: 'a directory, owner/name or owner/name@revision',
    got: JSON.stringify(good ? `${id}@${given}` : name),
  });
}

/** A name that git takes and that is a path inside refs/ whatever the system: no way out, no empty or hidden part. */
function isRevision(name: string): boolean {
  return name.length <= 255 && name.split('/').every(each => /^\w[\w.+-]*$/.test(each) && !each.includes('..'));
}

/** The folder of a model's files on the hub. */
export function hubFolder(name: string, options: HubOptions = {}): string {
  const { id, revision } = parseHubName(name, options.revision);
  return `${parseEndpoint(options.endpoint)}/${id}/resolve/${encodeURIComponent(revision)}/`;
}

/** The hub's address without a slash at its end. @throws ValueRangeError */
export function parseEndpoint(endpoint = defaultEndpoint): string {
  parseAddress('endpoint', endpoint);
  return endpoint.replace(/\/+$/, '');
}

/** @throws ValueRangeError for what is no http(s) address, or has a password in it, which would end up in messages */
export function parseAddress(name: string, address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '') return url;
  const got = url && (url.username !== '' || url.password !== '') ? 'one with a name in it' : JSON.stringify(address);
  throw new ValueRangeError({ where: 'hub', name, expected: 'an http or https address', got });
}

/** A token that can be sent; it appears in no message. @throws ValueRangeError */
export function parseToken(token: string | undefined): string | undefined {
  const trimmed = token?.trim();
  if (!trimmed) return undefined;
  if (/^[\x21-\x7e]+$/.test(trimmed)) return trimmed;
  throw new ValueRangeError({ where: 'hub', name: 'token', expected: 'printable ASCII', got: 'other characters' });
}
