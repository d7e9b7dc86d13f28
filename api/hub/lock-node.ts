/**
 * One process downloads a file, others wait for it. Files are the only lock that every file system and every process knows.
 *
 * A lock saves work, correctness does not hang on it: its holder may sleep so long that another takes over, and finds out by `held`.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { sleep } from './retrying.ts';

export interface FileLock {
  /** Whether it was taken from a process that may yet wake up and go on. */
  readonly tookOver: boolean;
  /** False when another process has come to believe that this one is gone. */
  held(): Promise<boolean>;
  release(): Promise<void>;
}

const touchMs = 5_000;
const pollMs = 100;

/**
 * Null when `done` came true while waiting.
 *
 * staleMs: a lock that has not been touched for so long, by this process's clock, belongs to nobody.
 * @throws AbortedError; errors of the file system as they are
 */
export async function takeLock(
  path: string,
  signal: AbortSignal | undefined,
  done: () => Promise<boolean>,
  staleMs = 60_000,
): Promise<FileLock | null> {
  await mkdir(dirname(path), { recursive: true });
  const mark = `${process.pid} ${hostname()} ${randomUUID()}`;
  const held = async (): Promise<boolean> => (await textOf(path)) === mark;
  let tookOver = false;
  let seen: { readonly touched: number; readonly since: number } | undefined;
  for (;;) {
    try {
      await writeFile(path, mark, { flag: 'wx' });
      const beat = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), touchMs);
      beat.unref();
      const release = async (): Promise<void> => {
        clearInterval(beat);
        if (await held()) await rm(path, { force: true });
      };
      return { tookOver, held, release };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if (await done()) return null;
    const holder = await textOf(path);
    const touched = await stat(path).then(
      ({ mtimeMs }) => mtimeMs,
      () => Number.NaN,
    );
    // Clocks of two machines are not compared: what counts is how long this process has seen nothing change.
    if (seen?.touched !== touched) seen = { touched, since: performance.now() };
    const isStale = performance.now() - seen.since > staleMs;
    if (isDead(holder) || isStale) {
      tookOver ||= isStale;
      await removeLock(path, holder);
    }
    await sleep(pollMs, signal);
  }
}

/** A holder on this machine whose process is no more. */
function isDead(holder: string): boolean {
  const [pid, host] = holder.split(' ');
  if (host !== hostname() || !/^\d+$/.test(pid!)) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

/** Takes the lock of `holder` away, and puts back the one of somebody who was faster. */
async function removeLock(path: string, holder: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
    if ((await textOf(aside)) !== holder) await link(aside, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EEXIST') throw error;
  } finally {
    await rm(aside, { force: true });
  }
}

const textOf = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
