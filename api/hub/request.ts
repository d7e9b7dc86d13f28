/**
 * One HTTP request as a careful client makes it: redirects followed by hand, the token kept at home, an end to waiting. Runs anywhere.
 */
import { AbortedError, HubError, type HubReason } from '../../contract/errors.ts';

export interface RequestOptions {
  readonly fetch?: typeof fetch;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

const mostRedirects = 5;

/**
 * GET. Statuses that are no success are typed errors; redirects to other origins are followed without the token, and never from
 * https to http.
 *
 * @throws HubError, AbortedError
 */
export async function get(url: string, options: RequestOptions = {}): Promise<Response> {
  const { fetch: send = fetch, token, signal } = options;
  const home = new URL(url).origin;
  let address = new URL(url);
  for (let hop = 0; hop <= mostRedirects; hop++) {
    const headers = { ...options.headers };
    if (token !== undefined && address.origin === home) headers.authorization = `Bearer ${token}`;
    const response = await send(address, { headers, redirect: 'manual', signal }).catch(cause => {
      throw failure(url, cause, signal);
    });
    // A browser hides where a redirect leads, and follows it under rules of its own.
    if (response.type === 'opaqueredirect')
      return checked(url, await send(address, { headers: options.headers, signal }));
    const target = response.headers.get('location');
    if (response.status < 300 || response.status > 399 || target === null) return checked(url, response);
    await response.body?.cancel();
    const next = new URL(target, address);
    if (!/^https?:$/.test(next.protocol) || (address.protocol === 'https:' && next.protocol === 'http:')) {
      throw hubError('Redirect', url, 'a redirect to https', next.protocol);
    }
    address = next;
  }
  throw hubError('Redirect', url, `at most ${mostRedirects} redirects`, 'more');
}

function checked(url: string, response: Response): Response {
  const { status } = response;
  if (response.ok) return response;
  void response.body?.cancel().catch(() => {});
  if (status === 404) throw hubError('NotFound', url, 'a model, revision and file that exist', 'status 404');
  if (status === 401 || status === 403) {
    const hint = 'the model may be private or gated, or not exist: accept its terms on the hub and set HF_TOKEN.';
    throw hubError('Unauthorized', url, 'to be let in', `status ${status}`, undefined, hint);
  }
  const reason = status === 429 || status >= 500 ? 'Network' : 'BadResponse';
  throw hubError(reason, url, 'success', `status ${status}`, retryAfter(response));
}

/** Seconds the server asks to wait, as a cause that `retrying` understands. */
class RetryAfter extends Error {
  readonly seconds: number;
  constructor(seconds: number) {
    super(`retry after ${seconds} s`);
    this.seconds = seconds;
  }
}

const retryAfter = (response: Response): RetryAfter | undefined => {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  return seconds >= 0 ? new RetryAfter(Math.min(seconds, 60)) : undefined;
};

export function hubError(
  reason: HubReason,
  name: string,
  expected: string,
  got: string,
  cause?: unknown,
  hint?: string,
): HubError {
  return new HubError({ where: 'hub', name, expected, got, cause, hint, reason });
}

/** A broken connection, or the caller's abort. */
export function failure(url: string, cause: unknown, signal?: AbortSignal): HubError | AbortedError {
  if (signal?.aborted) {
    return new AbortedError({ where: 'hub', name: url, expected: 'to finish', got: 'an abort', cause: signal.reason });
  }
  const { message, cause: deeper } = cause as Error & { cause?: { code?: string } };
  return hubError('Network', url, 'an answer', deeper?.code ?? message, cause);
}

export interface RetryOptions {
  readonly signal?: AbortSignal;
  /** Attempts in all. */
  readonly attempts?: number;
  /** Wait before the second attempt; doubled for each further one. */
  readonly firstDelayMs?: number;
}

/** Tries again what failed for a reason that may pass. */
export async function retrying<Result>(
  work: (attempt: number) => Promise<Result>,
  { signal, attempts = 5, firstDelayMs = 300 }: RetryOptions = {},
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      if (!(error instanceof HubError) || error.reason !== 'Network' || attempt >= attempts) throw error;
      const asked = error.cause instanceof RetryAfter ? 1000 * error.cause.seconds : 0;
      await sleep(Math.max(asked, firstDelayMs * 2 ** (attempt - 1)), signal);
    }
  }
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(failure('waiting', undefined, signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, milliseconds);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}
