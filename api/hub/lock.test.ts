/** Locks made of files, between processes that may be dead, asleep or on another machine. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { takeLock } from './lock-node.ts';

const never = async () => false;
let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lock-'));
  path = join(folder, 'below', 'a.lock');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test('one at a time, in whatever order', async () => {
  let inside = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    const lock = await takeLock(path, undefined, never);
    most = Math.max(most, ++inside);
    expect(await lock!.held()).toBe(true);
    await new Promise(resolve => setTimeout(resolve, 5));
    inside--;
    await lock!.release();
  };
  await Promise.all([work(), work(), work(), work()]);
  expect(most).toBe(1);
  expect(await readdir(join(folder, 'below'))).toEqual([]);
});

test('who waits goes home when the work is done', async () => {
  const lock = await takeLock(path, undefined, never);
  let done = false;
  const waiting = takeLock(path, undefined, async () => done);
  done = true;
  expect(await waiting).toBeNull();
  await lock!.release();
});

test('a lock of a machine that is silent is taken over, by one of many', async () => {
  const first = await takeLock(path, undefined, never);
  await writeFile(path, '1 elsewhere x');
  expect(await first!.held()).toBe(false);
  await first!.release();
  expect(await readFile(path, 'utf8')).toBe('1 elsewhere x'); // not ours to remove
  let holders = 0;
  const take = async (): Promise<void> => {
    const lock = await takeLock(path, undefined, never, 250);
    expect(++holders).toBe(1);
    expect(await lock!.held()).toBe(true);
    holders--;
    await lock!.release();
  };
  await Promise.all([take(), take(), take()]);
  await writeFile(path, '1 elsewhere x');
  const lock = await takeLock(path, undefined, never, 250);
  expect(lock!.tookOver).toBe(true);
  await lock!.release();
  expect(await readdir(join(folder, 'below'))).toEqual([]);
});

test('waiting can be aborted', async () => {
  await takeLock(path, undefined, never);
  const signal = AbortSignal.timeout(50);
  await expect(takeLock(path, signal, never)).rejects.toMatchObject({ code: 'E_ABORTED' });
});
