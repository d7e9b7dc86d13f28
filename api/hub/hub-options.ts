/** What the hub is asked with, and names of models on it. Runs anywhere. */
import { ValueRangeError } from '../../contract/errors.ts';

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
}

export interface HubName {
  readonly id: string;
  readonly revision: string;
}

const part = /^[\w-][\w.-]*$/;

/** `owner/name`, `name` or either with `@revision`. @throws ValueRangeError */
export function parseHubName(name: string, revision = 'main'): HubName {
  const [id = '', given = revision, ...rest] = name.split('@');
  const parts = id.split('/');
  const good = rest.length === 0 && parts.length <= 2 && parts.every(each => part.test(each) && each.length <= 96);
  if (good && /^[\w][\w./-]*$/.test(given) && !given.includes('..') && given.length <= 255)
    return { id, revision: given };
  throw new ValueRangeError({
    where: 'hub',
    name: 'model',
    expected: 'a directory, owner/name or owner/name@revision',
    got: JSON.stringify(name),
  });
}

/** The folder of a model's files on the hub. */
export function hubFolder(name: string, { revision, endpoint = 'https://huggingface.co' }: HubOptions = {}): string {
  const parsed = parseHubName(name, revision);
  return `${endpoint.replace(/\/$/, '')}/${parsed.id}/resolve/${encodeURIComponent(parsed.revision)}/`;
}
