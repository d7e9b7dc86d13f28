/**
 * A folder of files at an address → CheckpointFiles: ranges where the server knows them, whole files where not. Runs anywhere.
 *
 * Nothing is kept beyond the browser's own cache. On Node the hub has a cache on disk: download-node.ts.
 */
import { HubError } from '../../contract/errors.ts';
import { type ByteSource, createMemorySource, expectRangeInside } from '../../runtime/checkpoint/byte-source.ts';
import type { CheckpointFiles } from '../../runtime/checkpoint/open.ts';
import type { HubOptions } from './hub-options.ts';
import { failure, get, hubError, retrying } from './request.ts';

/** A server without ranges sends whole files, which are then in memory. A larger one is refused. */
const mostWholeBytes = 2 ** 31;

/** Opens an http(s) folder; files are looked for when they are asked for. */
export function openUrl(address: string, options: HubOptions = {}): CheckpointFiles {
  const folder = address.endsWith('/') ? address : `${address}/`;
  const open = (fileName: string): Promise<ByteSource | undefined> =>
    openUrlSource(new URL(fileName.split('/').map(encodeURIComponent).join('/'), folder).href, options);
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

/** undefined when there is no such file. @throws HubError, AbortedError */
async function openUrlSource(url: string, options: HubOptions): Promise<ByteSource | undefined> {
  const { signal } = options;
  const first = await retrying(() => get(url, { ...options, headers: { range: 'bytes=0-0' } }), options).catch(
    error => {
      if (error instanceof HubError && error.reason === 'NotFound') return undefined;
      throw error;
    },
  );
  if (!first) return undefined;
  const size = Number(/^bytes 0-0\/(\d+)$/.exec(first.headers.get('content-range') ?? '')?.[1] ?? Number.NaN);
  if (first.status !== 206 || !Number.isSafeInteger(size)) return wholeSource(url, first, signal);
  const etag = first.headers.get('etag');
  await first.arrayBuffer();
  return {
    size,
    read(begin, end) {
      expectRangeInside(url, begin, end, size);
      if (begin === end) return Promise.resolve(new Uint8Array(0));
      return retrying(async () => {
        const response = await get(url, { ...options, headers: { range: `bytes=${begin}-${end - 1}` } });
        const now = response.headers.get('etag');
        if (response.status !== 206 || (etag !== null && now !== null && now !== etag)) {
          await response.body?.cancel();
          throw hubError('BadResponse', url, 'the file that was opened', 'another one: it changed meanwhile');
        }
        const bytes = await response.arrayBuffer().catch(cause => {
          throw failure(url, cause, signal);
        });
        if (bytes.byteLength !== end - begin) {
          throw hubError('Network', url, `${end - begin} bytes`, String(bytes.byteLength));
        }
        return new Uint8Array(bytes);
      }, options);
    },
    close: async () => {},
  };
}

async function wholeSource(url: string, response: Response, signal: AbortSignal | undefined): Promise<ByteSource> {
  const declared = Number(response.headers.get('content-length') ?? 0);
  if (declared > mostWholeBytes) {
    await response.body?.cancel();
    throw hubError(
      'BadResponse',
      url,
      `ranges, or at most ${mostWholeBytes} bytes`,
      `${declared} bytes without ranges`,
    );
  }
  const bytes = await response.arrayBuffer().catch(cause => {
    throw failure(url, cause, signal);
  });
  return createMemorySource(new Uint8Array(bytes));
}
