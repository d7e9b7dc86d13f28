/** The cache: one that Python wrote, what is in it, checks and removal, and disks that do not play along. */
import * as disk from 'node:fs/promises';
import { access, lstat, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { listCache, removeFromCache, verifyCache } from './cache-contents-node.ts';
import { cachePath } from './cache-node.ts';
import { downloadModel, isOffline } from './download-node.ts';
import { type FakeHub, fakeCommit, startFakeHub } from './fake-hub.ts';
import type { HubOptions } from './hub-options.ts';

// The real file system, of which single calls can be made to fail.
vi.mock('node:fs/promises', async original => {
  const real = (await original()) as typeof disk;
  return { ...real, symlink: vi.fn(real.symlink), statfs: vi.fn(real.statfs), open: vi.fn(real.open) };
});

const weights = Buffer.alloc(100_000, 7);
let hub: FakeHub;
let cacheDir: string;
let options: HubOptions;

beforeEach(async () => {
  hub = await startFakeHub({ 'config.json': '{}', '1_Pooling/config.json': '{}', 'model.safetensors': weights });
  cacheDir = await mkdtemp(join(tmpdir(), 'hub-'));
  options = { endpoint: hub.url, cacheDir, patience: { firstDelayMs: 5 } };
});
afterEach(async () => {
  await hub.close();
  await rm(cacheDir, { recursive: true, force: true });
});

const download = (more: HubOptions = {}) => downloadModel('tiny/model', { ...options, ...more });
const failWith = (code: string) => Object.assign(new Error(code), { code });

/** What huggingface_hub 2.4.0 left behind after `snapshot_download` from the fake hub, at main and at refs/pr/7. */
const pythonWrote: Readonly<Record<string, string>> = {
  '.locks/models--tiny--model/9e26dfeeb6e641a33dae4961196235bdb965b21b.lock': '',
  '.locks/models--tiny--model/0a7f0c214c63b99648499c5bafa0543442b27b53.lock': '',
  'CACHEDIR.TAG': 'Signature: 8a477f597d28d172789f06886806bc55',
  'models--tiny--model/blobs/9e26dfeeb6e641a33dae4961196235bdb965b21b': '{}',
  'models--tiny--model/blobs/ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb': 'a',
  'models--tiny--model/refs/main': fakeCommit,
  'models--tiny--model/refs/refs/pr/7': fakeCommit,
  'models--tiny--model/trees/c0ffee0000000000000000000000000000000000.json': '[]',
  [`models--tiny--model/snapshots/${fakeCommit}/config.json`]:
    '-> ../../blobs/9e26dfeeb6e641a33dae4961196235bdb965b21b',
  [`models--tiny--model/snapshots/${fakeCommit}/1_Pooling/config.json`]:
    '-> ../../../blobs/9e26dfeeb6e641a33dae4961196235bdb965b21b',
  [`models--tiny--model/snapshots/${fakeCommit}/model.safetensors`]:
    '-> ../../blobs/ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb',
};

async function writeAsPython(): Promise<void> {
  for (const [path, text] of Object.entries(pythonWrote)) {
    const place = join(cacheDir, path);
    await mkdir(dirname(place), { recursive: true });
    await (text.startsWith('-> ') ? symlink(text.slice(3), place) : writeFile(place, text));
  }
}

describe('a cache that Python wrote', () => {
  beforeEach(writeAsPython);

  test('is read offline, by branch, pull request and commit', async () => {
    for (const revision of ['main', 'refs/pr/7', fakeCommit]) {
      const { files, commit } = await download({ revision, localFilesOnly: true });
      expect(files).toEqual(['config.json', '1_Pooling/config.json', 'model.safetensors']);
      expect(commit).toBe(fakeCommit);
    }
    await expect(download({ revision: 'v1', localFilesOnly: true })).rejects.toMatchObject({ reason: 'Offline' });
    expect(hub.log).toEqual([]);
  });

  test('is listed and checked', async () => {
    expect(await listCache(cacheDir)).toEqual([
      {
        id: 'tiny/model',
        directory: join(cacheDir, 'models--tiny--model'),
        bytes: 2 + 1 + 40 + 40 + 2,
        unfinishedBytes: 0,
        revisions: [
          {
            commit: fakeCommit,
            refs: ['main', 'refs/pr/7'],
            directory: join(cacheDir, 'models--tiny--model', 'snapshots', fakeCommit),
            files: [
              { path: '1_Pooling/config.json', bytes: 2 },
              { path: 'config.json', bytes: 2 },
              { path: 'model.safetensors', bytes: 1 },
            ],
          },
        ],
      },
    ]);
    const states = (await verifyCache({ cacheDir })).map(({ state }) => state);
    expect(states).toEqual(['ok', 'ok', 'ok']);
  });

  test('is added to', async () => {
    hub.files.set('model.safetensors', Buffer.from('a'));
    await download();
    expect(hub.log.filter(line => line.includes('/resolve/'))).toEqual([]);
  });
});

test('without a home the cache has to be named', () => {
  for (const name of ['HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE', 'HF_HOME', 'XDG_CACHE_HOME', 'HOME', 'USERPROFILE'])
    vi.stubEnv(name, '');
  expect(() => cachePath()).toThrow('hub: "cacheDir" expected a home directory to keep the cache in, got none.');
  expect(cachePath('here')).toBe('here');
  vi.stubEnv('HF_HUB_CACHE', 'there');
  expect(cachePath()).toBe('there');
  vi.unstubAllEnvs();
});

describe('being offline', () => {
  test.each([
    [{ HF_HUB_OFFLINE: '1' }, true],
    [{ TRANSFORMERS_OFFLINE: 'yes' }, true],
    [{ HF_HUB_OFFLINE: '0' }, false],
    [{}, false],
  ])('%j', (environment, offline) => {
    expect(isOffline(environment)).toBe(offline);
  });

  test('needs weights only when they are wanted', async () => {
    await download({ weights: false });
    await expect(download({ localFilesOnly: true })).rejects.toThrow(
      'hub: "tiny/model@main" expected its weights in the cache, got none, and downloading is switched off.',
    );
    expect((await download({ localFilesOnly: true, weights: false })).files).toHaveLength(2);
  });
});

describe('the contents', () => {
  test('of a cache that is not there are none', async () => {
    expect(await listCache(join(cacheDir, 'nowhere'))).toEqual([]);
    await writeFile(join(cacheDir, 'file'), '');
    await expect(listCache(join(cacheDir, 'file'))).rejects.toMatchObject({ code: 'E_IO', got: 'ENOTDIR' });
  });

  test('that rotted are found out', async () => {
    const { directory } = await download();
    await writeFile(await realpath(join(directory, 'model.safetensors')), Buffer.alloc(100_000, 8));
    await rm(join(directory, '1_Pooling'), { recursive: true });
    await symlink('../../blobs/gone', join(directory, 'merges.txt'));
    await writeFile(join(directory, 'vocab.json'), 'a copy');
    const heard: string[] = [];
    const found = await verifyCache({ id: 'tiny/model', cacheDir, onFile: ({ path }) => heard.push(path) });
    expect(found.map(({ path, state }) => `${path} ${state}`)).toEqual([
      'config.json ok',
      'merges.txt missing',
      'model.safetensors damaged',
      'vocab.json unknown',
    ]);
    expect(heard).toEqual(found.map(({ path }) => path));
    const signal = AbortSignal.abort();
    await expect(verifyCache({ cacheDir, signal })).rejects.toMatchObject({ code: 'E_ABORTED' });
  });

  test('are removed by an exact name only', async () => {
    const { directory } = await download();
    const model = await removeFromCache('tiny/model', { cacheDir, dryRun: true });
    expect(model.bytes).toBe(100_000 + 2 + 40);
    await access(directory);
    for (const id of ['tiny', 'tiny/mod', 'tiny/model@main'])
      await expect(removeFromCache(id, { cacheDir })).rejects.toMatchObject({ code: 'E_IO', got: 'nothing there' });
    for (const id of ['../x', 'tiny--model', ''])
      await expect(removeFromCache(id, { cacheDir })).rejects.toMatchObject({ code: 'E_RANGE' });
    await removeFromCache('tiny/model', { cacheDir });
    expect((await readdir(cacheDir)).filter(name => name.startsWith('models--'))).toEqual([]);
  });

  test('tell what is unfinished', async () => {
    hub.faults.set('model.safetensors', [{ cutAfter: 40_000 }]);
    await expect(download({ patience: { attempts: 1 } })).rejects.toMatchObject({ reason: 'Network' });
    const [model] = await listCache(cacheDir);
    expect(model).toMatchObject({ id: 'tiny/model', unfinishedBytes: 40_000 });
  });
});

describe('a disk', () => {
  test.each(['EPERM', 'ENOTSUP'])('without links (%s) gets copies', async code => {
    vi.mocked(disk.symlink).mockImplementation(() => Promise.reject(failWith(code)));
    const { directory } = await download().finally(() => vi.mocked(disk.symlink).mockReset());
    expect((await lstat(join(directory, 'model.safetensors'))).isSymbolicLink()).toBe(false);
    expect(await readFile(join(directory, 'model.safetensors'))).toEqual(weights);
    expect((await readdir(join(directory, '../../blobs'))).filter(name => name.includes('incomplete'))).toEqual([]);
  });

  test('that is too small is not begun to be filled', async () => {
    const { statfs } = await vi.importActual<typeof disk>('node:fs/promises');
    const space = await statfs(cacheDir);
    vi.mocked(disk.statfs).mockResolvedValueOnce({ ...space, bavail: 2, bsize: 4096 } as typeof space);
    await expect(download()).rejects.toThrow(
      `hub: "${join(cacheDir, 'models--tiny--model')}" expected 100002 bytes of room, got 8192.\n` +
        '  Hint: make room (longformer cache list), or let HF_HUB_CACHE name another disk.',
    );
    expect(hub.log.filter(line => line.includes('resolve'))).toEqual([]);
  });

  test.each(['write', 'sync'] as const)('that is full at the %s keeps nothing of the file', async call => {
    const { open } = await vi.importActual<typeof disk>('node:fs/promises');
    vi.mocked(disk.open).mockImplementation(async (path, flags) => {
      const handle = await open(path, flags);
      if (String(path).includes('.longformer.incomplete')) handle[call] = () => Promise.reject(failWith('ENOSPC'));
      return handle;
    });
    const failed = download().finally(() => vi.mocked(disk.open).mockImplementation(open));
    await expect(failed).rejects.toMatchObject({ code: 'E_IO', expected: 'room for it', got: 'ENOSPC' });
    expect(await readdir(join(cacheDir, 'models--tiny--model', 'blobs'))).toEqual([]);
    await download();
  });
});
