/**
 * One HTTP request as a careful client makes it: redirects followed by hand, the token kept at home, bodies with a limit, silence with
 * an end. Runs anywhere.
 *
 * Read next: retrying.ts for trying again, url-files.ts and hub-api.ts for who asks.
 */
import { AbortedError, HubError, type HubReason, LongformerError } from '../../contract/errors.ts';

export interface RequestOptions {
  readonly fetch?: typeof fetch;
  readonly token?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
  /** Silence for longer than this is a broken connection. */
  readonly idleMs?: number;
}

/** A response whose headers have arrived. Read it or discard it. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The body as it arrives. @throws HubError (Network) when it is cut or goes silent, AbortedError */
  chunks(): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void>;
  /** The whole body. @throws HubError (WrongSize) beyond `most` bytes; as `chunks` */
  bytes(most: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Hangs up. */
  discard(): void;
}

const mostRedirects = 5;
export const defaultIdleMs = 30_000;

/**
 * One request. Statuses that are no success are typed errors; redirects to other origins are followed without the token, and never
 * from https to http.
 *
 * @throws HubError, AbortedError
 */
export async function request(url: string, options: RequestOptions = {}): Promise<Answer> {
  const { fetch: send = fetch, token, signal, idleMs = defaultIdleMs } = options;
  const home = new URL(url).origin;
  let { method = 'GET', body } = options;
  let address = new URL(url);
  for (let hop = 0; hop <= mostRedirects; hop++) {
    const guard = watch(url, signal, idleMs);
    const headers = { ...options.headers };
    if (token !== undefined && address.origin === home) headers.authorization = `Bearer ${token}`;
    const sent = { method, body, headers, signal: guard.signal };
    const response = await guard.during(send(address, { ...sent, redirect: 'manual' }));
    if (response.type === 'opaqueredirect') {
      // A browser hides where a redirect leads, and follows it under rules of its own.
      const followed = await guard.during(send(address, { ...sent, headers: { ...options.headers } }));
      return checked(url, followed, guard);
    }
    const target = response.headers.get('location');
    if (response.status < 300 || response.status > 399 || target === null) return checked(url, response, guard);
    guard.hangUp();
    const next = URL.canParse(target, address.href) ? new URL(target, address) : undefined;
    if (!next || !/^https?:$/.test(next.protocol) || (address.protocol === 'https:' && next.protocol === 'http:')) {
      throw hubError('Redirect', url, `a redirect to ${address.protocol}`, next?.protocol ?? 'something else');
    }
    if (response.status < 307 && method === 'POST') {
      method = 'GET';
      body = undefined;
    }
    address = next;
  }
  throw hubError('Redirect', url, `at most ${mostRedirects} redirects`, 'more');
}

function checked(url: string, response: Response, guard: Guard): Answer {
  const { status, headers } = response;
  if (!response.ok) {
    guard.hangUp();
    throw statusError(url, status, headers);
  }
  async function* chunks(): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    const reader = response.body?.getReader();
    try {
      for (;;) {
        const piece = await guard.during(reader?.read() ?? Promise.resolve({ done: true, value: undefined }));
        if (piece.done) return;
        yield piece.value as Uint8Array<ArrayBuffer>;
      }
    } finally {
      guard.hangUp();
    }
  }
  return {
    status,
    headers,
    chunks,
    async bytes(most) {
      const pieces: Uint8Array[] = [];
      let length = 0;
      for await (const piece of chunks()) {
        length += piece.length;
        if (length > most) throw hubError('WrongSize', url, `at most ${most} bytes`, 'more');
        pieces.push(piece);
      }
      const whole = new Uint8Array(length);
      let at = 0;
      for (const piece of pieces) {
        whole.set(piece, at);
        at += piece.length;
      }
      return whole;
    },
    discard: () => guard.hangUp(),
  };
}

interface Guard {
  readonly signal: AbortSignal;
  /** Waits for one step, as long as patience lasts. */
  during<Result>(step: Promise<Result>): Promise<Result>;
  hangUp(): void;
}

/** Time is measured only while something is being waited for, so that a slow disk is not taken for a slow server. */
function watch(url: string, signal: AbortSignal | undefined, idleMs: number): Guard {
  const own = new AbortController();
  let silent = false;
  return {
    signal: signal ? AbortSignal.any([signal, own.signal]) : own.signal,
    async during(step) {
      const timer = setTimeout(() => {
        silent = true;
        own.abort();
      }, idleMs);
      try {
        return await step;
      } catch (cause) {
        if (silent && !signal?.aborted) throw hubError('Network', url, `a sign within ${idleMs} ms`, 'silence', cause);
        throw failure(url, cause, signal);
      } finally {
        clearTimeout(timer);
      }
    },
    hangUp: () => own.abort(),
  };
}

/** What a status means; the hub says more in X-Error-Code. */
function statusError(url: string, status: number, headers: Headers): HubError {
  const got = `status ${status}`;
  switch (headers.get('x-error-code')) {
    case 'RepoNotFound': {
      const hint = 'a private one looks the same to strangers: check the spelling, or set HF_TOKEN.';
      return hubError('ModelNotFound', url, 'a model that exists', got, undefined, hint);
    }
    case 'RevisionNotFound':
      return hubError('RevisionNotFound', url, 'a branch, tag or commit that exists', got);
    case 'GatedRepo': {
      const hint = 'accept its terms on its page on the hub and set HF_TOKEN.';
      return hubError('Gated', url, 'to be let in', got, undefined, hint);
    }
  }
  if (status === 404) return hubError('NotFound', url, 'a file that exists', got);
  if (status === 401 || status === 403) {
    const hint = 'the model may be private or gated, or not exist: accept its terms on the hub and set HF_TOKEN.';
    return hubError('Unauthorized', url, 'to be let in', got, undefined, hint);
  }
  const mayPass = status === 408 || status === 429 || status >= 500;
  return hubError(mayPass ? 'Network' : 'BadResponse', url, 'success', got, retryAfter(headers));
}

/** Seconds the server asks to wait, as a cause that `retrying` understands. */
export class RetryAfter extends Error {
  readonly seconds: number;
  constructor(seconds: number) {
    super(`retry after ${seconds} s`);
    this.seconds = seconds;
  }
}

/** Seconds or a date; no longer than a minute, whatever the server would like. */
function retryAfter(headers: Headers): RetryAfter | undefined {
  const given = headers.get('retry-after') ?? '';
  const seconds = /^\d+$/.test(given) ? Number(given) : (Date.parse(given) - Date.now()) / 1000;
  return seconds >= 0 ? new RetryAfter(Math.min(seconds, 60)) : undefined;
}

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
export function failure(name: string, cause: unknown, signal?: AbortSignal): LongformerError {
  if (cause instanceof LongformerError) return cause;
  if (signal?.aborted) {
    return new AbortedError({ where: 'hub', name, expected: 'to finish', got: 'an abort', cause: signal.reason });
  }
  const { message, cause: deeper } = cause as Error & { cause?: { code?: string } };
  return hubError('Network', name, 'an answer', deeper?.code ?? message, cause);
}
