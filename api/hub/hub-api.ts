/**
 * What the hub says of a model: the commit behind a revision, and size and hash of files. Questions and their spelling are
 * @huggingface/hub's; requests, limits, retries and errors are ours.
 */
import { modelInfo, type PathInfo, pathsInfo } from '@huggingface/hub';
import { LongformerError } from '../../contract/errors.ts';
import { type HubOptions, parseEndpoint, parseToken } from './hub-options.ts';
import { hubError, type RequestOptions, request } from './request.ts';
import { retrying } from './retrying.ts';

/** A file as the hub describes it, and as it has to arrive. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** sha256 of a large file (64 digits), or git's sha1 of a small one (40). Also the name of its blob. */
  readonly hash: string;
}

/** More than any answer about a model. */
const mostAnswerBytes = 8 << 20;
/** Files asked about at once. */
const pathsAtOnce = 500;
/** More than any shard of any model. */
const mostWeightBytes = 2 ** 40;
/** More than any config or tokenizer. */
const mostTextBytes = 64 << 20;

export class HubApi {
  readonly #id: string;
  readonly #options: HubOptions;
  readonly #endpoint: string;
  /** How files of this model are asked for. */
  readonly request: RequestOptions;

  /** @throws ValueRangeError for an address or a token that is none */
  constructor(id: string, options: HubOptions) {
    this.#id = id;
    this.#options = options;
    this.#endpoint = parseEndpoint(options.endpoint);
    const { fetch, signal, patience } = options;
    this.request = { fetch, signal, idleMs: patience?.idleMs, token: parseToken(options.token) };
  }

  /** The commit a branch or tag stands at. @throws HubError, AbortedError */
  async commitOf(revision: string): Promise<string> {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision;
    const { sha } = await this.#ask(asked =>
      modelInfo({ name: this.#id, revision, additionalFields: ['sha'], ...asked }),
    );
    if (!/^[0-9a-f]{40}$/.test(sha)) throw hubError('BadResponse', this.#id, 'a commit', String(JSON.stringify(sha)));
    return sha;
  }

  /** Those of the paths that are there. @throws HubError, AbortedError */
  async list(commit: string, paths: readonly string[]): Promise<HubFile[]> {
    const found: HubFile[] = [];
    for (let begin = 0; begin < paths.length; begin += pathsAtOnce) {
      const some = paths.slice(begin, begin + pathsAtOnce);
      const infos = await this.#ask(asked =>
        pathsInfo({ repo: { type: 'model', name: this.#id }, paths: some, revision: commit, ...asked }),
      );
      for (const info of infos) if (info.type !== 'directory') found.push(this.#checked(info, some));
    }
    return found;
  }

  addressOf(commit: string, path: string): string {
    return `${this.#endpoint}/${this.#id}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
  }

  #checked({ path, size, oid, lfs }: PathInfo, asked: readonly string[]): HubFile {
    const name = `${this.#id}/${path}`;
    if (!asked.includes(path)) throw hubError('BadResponse', this.#id, 'what was asked for', String(path));
    const most = /\.(safetensors|bin)$/.test(path) ? mostWeightBytes : mostTextBytes;
    if (!Number.isSafeInteger(size) || size < 0 || size > most) {
      throw hubError('WrongSize', name, `at most ${most} bytes`, String(size));
    }
    const hash = lfs?.oid ?? oid ?? '';
    if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash)) {
      throw hubError('BadResponse', name, 'a hash', String(JSON.stringify(hash)));
    }
    return { path, size, hash };
  }

  async #ask<Result>(ask: (asked: { hubUrl: string; fetch: typeof fetch }) => Promise<Result>): Promise<Result> {
    const send: typeof fetch = async (address, init) => {
      const { method, body, headers } = init ?? {};
      const answer = await request(String(address), {
        ...this.request,
        method,
        body: body as string | undefined,
        headers: headers as Record<string, string> | undefined,
      });
      return new Response(await answer.bytes(mostAnswerBytes), { headers: answer.headers });
    };
    return retrying(async () => {
      try {
        return await ask({ hubUrl: this.#endpoint, fetch: send });
      } catch (cause) {
        if (cause instanceof LongformerError) throw cause;
        throw hubError('BadResponse', this.#id, 'an answer as the hub gives it', 'something else', cause);
      }
    }, this.#options);
  }
}
