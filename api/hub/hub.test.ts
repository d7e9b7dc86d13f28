/** Downloads from a hub that is on this machine and behaves badly. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { scanCacheDir } from '@huggingface/hub';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { downloadModel } from './download-node.ts';
import { type FakeHub, fakeCommit, startFakeHub } from './fake-hub.ts';
import { type FileProgress, type HubOptions, parseHubName } from './hub-options.ts';
import { openUrl } from './url-files.ts';

const weights = Buffer.alloc(300_000, 7);
let hub: FakeHub;
let cacheDir: string;
let options: HubOptions;

beforeEach(async () => {
  hub = await startFakeHub({
    'config.json': '{}',
    'tokenizer.json': '{"a":1}',
    'model.safetensors': weights,
    'tf_model.h5': 'not wanted',
    'README.md': 'not wanted',
  });
  cacheDir = await mkdtemp(join(tmpdir(), 'hub-'));
  options = { endpoint: hub.url, cacheDir };
});
afterEach(async () => {
  await hub.close();
  await rm(cacheDir, { recursive: true, force: true });
});

describe('a download', () => {
  test('takes what is needed, into the layout of Python, and reports it', async () => {
    const told: FileProgress[] = [];
    const { directory, files, commit } = await downloadModel('tiny/model', { ...options, onFile: p => told.push(p) });
    expect(files).toEqual(['config.json', 'tokenizer.json', 'model.safetensors']);
    expect(commit).toBe(fakeCommit);
    expect(directory).toBe(join(cacheDir, 'models--tiny--model', 'snapshots', fakeCommit));
    expect(await readlink(join(directory, 'model.safetensors'))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
    expect(await readlink(join(directory, 'config.json'))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
    expect(await readFile(join(cacheDir, 'models--tiny--model', 'refs', 'main'), 'utf8')).toBe(fakeCommit);
    const ofWeights = told.filter(({ file }) => file === 'model.safetensors');
    expect(ofWeights.map(({ status }) => status).filter((s, i, all) => s !== all[i - 1])).toEqual([
      'initiate',
      'download',
      'progress',
      'done',
    ]);
    expect(ofWeights.at(-1)).toMatchObject({ loaded: 300_000, total: 300_000, progress: 100 });
    expect(told.at(-1)!.status).toBe('ready');
    const [repository] = (await scanCacheDir(cacheDir)).repos;
    expect(repository).toMatchObject({ id: { name: 'tiny/model', type: 'model' }, filesCount: 3 });
  });

  test('is not repeated, and needs no network afterwards', async () => {
    await downloadModel('tiny/model', options);
    hub.log.length = 0;
    await downloadModel('tiny/model', options);
    expect(hub.log.filter(line => line.includes('resolve'))).toEqual([]);
    const offline = await downloadModel('tiny/model', {
      ...options,
      localFilesOnly: true,
      endpoint: 'http://127.0.0.1:1',
    });
    expect(offline.files).toEqual(['config.json', 'tokenizer.json', 'model.safetensors']);
  });

  test('goes on where it was cut', async () => {
    hub.faults.set('model.safetensors', [{ cutAfter: 100_000 }, { cutAfter: 50_000 }]);
    const { directory } = await downloadModel('tiny/model', options);
    expect(await readFile(join(directory, 'model.safetensors'))).toEqual(weights);
    const ranges = hub.log.filter(line => line.startsWith('cdn')).map(line => line.split(' ').at(-1));
    expect(ranges).toEqual(['/model.safetensors', 'bytes=100000-', 'bytes=150000-']);
  });

  test('begins anew when the server ignores ranges', async () => {
    hub.faults.set('model.safetensors', [{ cutAfter: 100_000 }, { ignoreRange: true }]);
    const { directory } = await downloadModel('tiny/model', options);
    expect(await readFile(join(directory, 'model.safetensors'))).toEqual(weights);
  });

  test('survives 500 and 429', async () => {
    hub.faults.set('model.safetensors', [{ status: 500 }, { status: 429 }]);
    hub.faults.set('api', [{ status: 503 }]);
    await expect(downloadModel('tiny/model', options)).resolves.toMatchObject({ commit: fakeCommit });
  });

  test('keeps nothing whose hash is wrong', async () => {
    hub.faults.set('model.safetensors', [{ corrupt: true }]);
    await expect(downloadModel('tiny/model', options)).rejects.toMatchObject({ code: 'E_HUB', reason: 'WrongHash' });
    const blobs = await readdir(join(cacheDir, 'models--tiny--model', 'blobs'));
    expect(blobs.filter(name => name.endsWith('incomplete') || name.length === 64)).toEqual([]);
    await expect(downloadModel('tiny/model', options)).resolves.toMatchObject({ commit: fakeCommit });
  });

  test('refuses more bytes than were promised', async () => {
    hub.faults.set('model.safetensors', [{ tooMany: true }]);
    await expect(downloadModel('tiny/model', options)).rejects.toMatchObject({ reason: 'WrongSize', got: 'more' });
  });

  test('is ended by an abort within a second, and resumed later', async () => {
    hub.faults.set('model.safetensors', [{ cutAfter: 120_000 }, { hang: true }]);
    const abort = new AbortController();
    const begun = downloadModel('tiny/model', { ...options, signal: abort.signal });
    setTimeout(() => abort.abort(), 700);
    const before = performance.now();
    await expect(begun).rejects.toMatchObject({ code: 'E_ABORTED' });
    expect(performance.now() - before).toBeLessThan(2000);
    const { directory } = await downloadModel('tiny/model', options);
    expect(await readFile(join(directory, 'model.safetensors'))).toEqual(weights);
    expect(hub.log.at(-1)).toContain('bytes=120000-');
  });

  test('gives up after some attempts and says why', async () => {
    hub.faults.set('config.json', new Array(9).fill({ status: 500 }));
    await expect(downloadModel('tiny/model', options)).rejects.toMatchObject({
      code: 'E_HUB',
      reason: 'Network',
      got: 'status 500',
    });
  }, 20_000);

  test('by several processes at once fills one cache', async () => {
    hub.faults.set('model.safetensors', [{ cutAfter: 1000 }]);
    const script = fileURLToPath(new URL('./download-node.ts', import.meta.url));
    const program =
      `import { downloadModel } from ${JSON.stringify(script)};` +
      `const { directory } = await downloadModel('tiny/model', ${JSON.stringify(options)}); console.log(directory);`;
    const run = promisify(execFile);
    const all = await Promise.all(
      [1, 2, 3].map(() => run(process.execPath, ['--input-type=module', '--eval', program])),
    );
    expect(new Set(all.map(({ stdout }) => stdout)).size).toBe(1);
    expect(await readFile(join(all[0]!.stdout.trim(), 'model.safetensors'))).toEqual(weights);
    expect(hub.log.filter(line => line.startsWith('cdn'))).toHaveLength(2); // one download, cut once
  }, 20_000);
});

describe('a token', () => {
  test('is sent home and nowhere else', async () => {
    hub.token = 'hf_secret';
    await downloadModel('tiny/model', { ...options, token: 'hf_secret' });
    expect(hub.log.filter(line => line.startsWith('hub')).every(line => line.endsWith('with token'))).toBe(true);
    expect(hub.log.filter(line => line.startsWith('cdn') && line.includes('token'))).toEqual([]);
  });

  test('that is missing is asked for', async () => {
    hub.token = 'hf_secret';
    await expect(downloadModel('tiny/model', options)).rejects.toMatchObject({ reason: 'Unauthorized' });
  });
});

describe('what cannot be', () => {
  test.each([
    ['a model that does not exist', 'tiny/other', {}, 'NotFound'],
    ['a revision that does not exist', 'tiny/model@v9', {}, 'NotFound'],
    ['offline and not in the cache', 'tiny/model', { localFilesOnly: true }, 'Offline'],
    ['nobody there', 'tiny/model', { endpoint: 'http://127.0.0.1:1' }, 'Network'],
  ])(
    '%s',
    async (_, name, more, reason) => {
      await expect(downloadModel(name, { ...options, ...more })).rejects.toMatchObject({ code: 'E_HUB', reason });
    },
    20_000,
  );

  test.each(['../x', 'a/b/c', 'a/..', 'a b', 'owner/name@../../x', 'a@b@c', ''])('the name %j', name => {
    expect(() => parseHubName(name)).toThrow(/expected a directory, owner\/name or owner\/name@revision/);
  });

  test('an index that leads out of the folder', async () => {
    hub.files.delete('model.safetensors');
    hub.files.set('model.safetensors.index.json', Buffer.from('{"weight_map":{"a":"../../x.safetensors"}}'));
    await expect(downloadModel('tiny/model', options)).rejects.toMatchObject({ reason: 'UnsafeName' });
  });

  test('no weights', async () => {
    hub.files.delete('model.safetensors');
    await expect(downloadModel('tiny/model', options)).rejects.toMatchObject({ reason: 'NotFound' });
    await expect(downloadModel('tiny/model', { ...options, weights: false })).resolves.toMatchObject({
      files: ['config.json', 'tokenizer.json'],
    });
  });

  test('a redirect in circles, and one to something that is not the web', async () => {
    hub.faults.set('config.json', [{ location: 'file:///etc/passwd' }]);
    await expect(downloadModel('tiny/model', options)).rejects.toMatchObject({ reason: 'Redirect', got: 'file:' });
    hub.faults.set('config.json', new Array(9).fill({ location: `${hub.url}/tiny/model/resolve/main/config.json` }));
    await expect(downloadModel('tiny/model', options)).rejects.toMatchObject({ reason: 'Redirect', got: 'more' });
  });

  test('a cache that cannot be written', async () => {
    const file = join(cacheDir, 'file');
    await writeFile(file, '');
    await expect(downloadModel('tiny/model', { ...options, cacheDir: file })).rejects.toMatchObject({ code: 'E_IO' });
  });
});

describe('an address', () => {
  const folder = (): string => `${hub.url}/tiny/model/resolve/main`;

  test('is read by ranges', async () => {
    const source = (await openUrl(folder()).open('model.safetensors'))!;
    expect(source.size).toBe(300_000);
    expect(await source.read(10, 14)).toEqual(new Uint8Array([7, 7, 7, 7]));
    expect(hub.log.at(-1)).toContain('bytes=10-13');
  });

  test('without ranges is read whole', async () => {
    hub.faults.set('model.safetensors', [{ ignoreRange: true }]);
    const source = (await openUrl(folder()).open('model.safetensors'))!;
    expect([source.size, (await source.read(0, 300_000)).length]).toEqual([300_000, 300_000]);
  });

  test('that changes meanwhile is an error', async () => {
    const source = (await openUrl(folder()).open('model.safetensors'))!;
    hub.files.set('model.safetensors', Buffer.alloc(300_000, 8));
    await expect(source.read(0, 4)).rejects.toMatchObject({ code: 'E_HUB', reason: 'BadResponse' });
  });

  test('of a file that is not there is undefined', async () => {
    expect(await openUrl(folder()).open('merges.txt')).toBeUndefined();
  });
});
