/**
 * A folder of files at an address → CheckpointFiles: ranges where the server knows them, whole files where not. Runs anywhere.
 *
 * Nothing is kept beyond the browser's own cache. On Node the hub has a cache on disk: download-node.ts.
 */
import { HubError, ValueRangeError } from '../../contract/errors.ts';
import { type ByteSource, createMemorySource, expectRangeInside } from '../../runtime/checkpoint/byte-source.ts';
import type { CheckpointFiles } from '../../runtime/checkpoint/open.ts';
import { type HubOptions, parseAddress, parseToken } from './hub-options.ts';
import { type Answer, hubError, type RequestOptions, request } from './request.ts';
import { type Patience, retrying } from './retrying.ts';

/** A server without ranges sends whole files, which are then in memory. A larger one is refused. */
const mostWholeBytes = 2 ** 31;

/** Opens an http(s) folder; files are looked for when they are asked for. @throws ValueRangeError for what is no address */
export function openUrl(address: string, options: HubOptions = {}): CheckpointFiles {
  if (/[?#]/.test(parseAddress('address', address).href)) {
    throw new ValueRangeError({ where: 'hub', name: 'address', expected: 'a folder, without ? and #', got: 'more' });
  }
  const folder = address.endsWith('/') ? address : `${address}/`;
  const { fetch, signal, patience, token } = options;
  const asked = { fetch, signal, idleMs: patience?.idleMs, token: parseToken(token) };
  const open = (fileName: string): Promise<ByteSource | undefined> => {
    const url = new URL(fileName.split('/').map(encodeURIComponent).join('/'), folder).href;
    return new UrlFile(url, asked, patience).open();
  };
  return {
    name: address,
    open,
    openListed: async fileName => {
      const safe = fileName.split('/').every(part => part !== '' && part !== '.' && part !== '..');
      if (!safe || /[\\:%\0]/.test(fileName))
        throw hubError('UnsafeName', fileName, 'a file inside the folder', 'a way out');
      return open(fileName);
    },
  };
}

class UrlFile {
  readonly #url: string;
  readonly #options: RequestOptions;
  readonly #patience: Patience | undefined;
  #etag: string | null = null;

  constructor(url: string, options: RequestOptions, patience: Patience | undefined) {
    this.#url = url;
    this.#options = options;
    this.#patience = patience;
  }

  /** undefined when there is no such file. @throws HubError, AbortedError */
  async open(): Promise<ByteSource | undefined> {
    try {
      return await this.#retrying(() => this.#probe());
    } catch (error) {
      if (error instanceof HubError && error.reason === 'NotFound') return undefined;
      throw error;
    }
  }

  /** Asks for the first byte, to learn the size and whether there are ranges. */
  async #probe(): Promise<ByteSource | undefined> {
    const first = await this.#get({ range: 'bytes=0-0' }).catch(error => {
      // Nothing has no first byte.
      if (error instanceof HubError && error.got === 'status 416') return undefined;
      throw error;
    });
    // Servers of single-page applications answer with their page to whatever they do not have. No file of ours is one.
    if (/^text\/html\b/i.test(first?.headers.get('content-type') ?? '')) {
      first!.discard();
      return undefined;
    }
    if (first?.status === 200) return this.#whole(first);
    const total = /^bytes 0-0\/(\d+)$/.exec(first?.headers.get('content-range') ?? '')?.[1];
    const size = Number(total ?? Number.NaN);
    if (!first || !Number.isSafeInteger(size)) {
      first?.discard();
      return this.#whole(await this.#get({}));
    }
    this.#etag = first.headers.get('etag');
    await first.bytes(1);
    return {
      size,
      read: async (begin, end, into) => {
        expectRangeInside(this.#url, begin, end, size);
        const bytes = into?.subarray(0, end - begin) ?? new Uint8Array(end - begin);
        await this.#read(begin, bytes);
        return bytes;
      },
      close: async () => {},
    };
  }

  /** Fills `bytes`; what a cut connection has brought is not asked for again. */
  async #read(begin: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    let at = 0;
    const step = async (): Promise<void> => {
      if (at === bytes.length) return;
      const answer = await this.#get({ range: `bytes=${begin + at}-${begin + bytes.length - 1}` });
      const etag = answer.headers.get('etag');
      const range = answer.headers.get('content-range');
      const isRest = range === null || range.startsWith(`bytes ${begin + at}-`); // hidden from pages by some servers
      if (answer.status !== 206 || !isRest || (this.#etag !== null && etag !== null && etag !== this.#etag)) {
        answer.discard();
        throw hubError('BadResponse', this.#url, 'the file that was opened', 'another one: it changed meanwhile');
      }
      for await (const piece of answer.chunks()) {
        if (at + piece.length > bytes.length) {
          throw hubError('WrongSize', this.#url, `${bytes.length} bytes`, 'more');
        }
        bytes.set(piece, at);
        at += piece.length;
      }
      if (at < bytes.length) throw hubError('Network', this.#url, `${bytes.length} bytes`, `the end after ${at}`);
    };
    await this.#retrying(step, () => at);
  }

  async #whole(answer: Answer): Promise<ByteSource> {
    const length = answer.headers.get('content-length');
    if (Number(length ?? 0) > mostWholeBytes) {
      answer.discard();
      throw hubError('WrongSize', this.#url, `ranges, or at most ${mostWholeBytes} bytes`, `${length} without ranges`);
    }
    return createMemorySource(await answer.bytes(mostWholeBytes));
  }

  #get(headers: Record<string, string>): Promise<Answer> {
    return request(this.#url, { ...this.#options, headers });
  }

  #retrying<Result>(work: () => Promise<Result>, arrived?: () => number): Promise<Result> {
    return retrying(work, { signal: this.#options.signal, patience: this.#patience, ...(arrived ? { arrived } : {}) });
  }
}
