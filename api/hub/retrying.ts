/** Trying again what failed for a reason that may pass. Runs anywhere. */
import { HubError } from '../../contract/errors.ts';
import { failure, RetryAfter } from './request.ts';

export interface Patience {
  /** Attempts in all without getting anywhere; default 5. */
  readonly attempts?: number;
  /** Wait before the second attempt, doubled for each further one; default 300. */
  readonly firstDelayMs?: number;
  /** Silence for longer than this is a broken connection; default 30,000. */
  readonly idleMs?: number;
}

export interface RetryOptions {
  readonly signal?: AbortSignal;
  readonly patience?: Patience;
  /** Bytes that have arrived. Attempts are counted anew when it has grown by a mebibyte. */
  readonly arrived?: () => number;
}

/** So much progress means that a connection is bad but not hopeless. */
const progressBytes = 1 << 20;

/** Repeats `work` while it fails with HubError `Network`. @throws what `work` throws last, AbortedError */
export async function retrying<Result>(
  work: () => Promise<Result>,
  { signal, patience = {}, arrived = () => 0 }: RetryOptions = {},
): Promise<Result> {
  const { attempts = 5, firstDelayMs = 300 } = patience;
  let before = arrived();
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof HubError) || error.reason !== 'Network') throw error;
      if (arrived() - before >= progressBytes) {
        attempt = 1;
        before = arrived();
      }
      if (attempt >= attempts) throw error;
      const asked = error.cause instanceof RetryAfter ? 1000 * error.cause.seconds : 0;
      await sleep(Math.max(asked, firstDelayMs * 2 ** (attempt - 1)), signal);
    }
  }
}

/** @throws AbortedError */
export function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
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
