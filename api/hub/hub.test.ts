/** Downloads from a hub that is on this machine and behaves badly. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, readlink, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { scanCacheDir } from '@huggingface/hub';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { downloadModel } from './download-node.ts';
import { type FakeHub, fakeCommit, startFakeHub } from './fake-hub.ts';
import { type FileProgress, type HubOptions, parseHubName } from './hub-options.ts';

const weights = Buffer.alloc(300_000, 7);
let hub: FakeHub;
let cacheDir: string;
let options: HubOptions;

beforeEach(async () => {
  hub = await startFakeHub({
    'config.json': '{}',
    'tokenizer.json': '{"a":1}',
    'vocab.json': 'not wanted beside a tokenizer.json',
    'merges.txt': 'not wanted',
    'model.safetensors': weights,
    'tf_model.h5': 'not wanted',
    'README.md': 'not wanted',
  });
  cacheDir = await mkdtemp(join(tmpdir(), 'hub-'));
  options = { endpoint: hub.url, cacheDir, patience: { firstDelayMs: 5 } };
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
    expect(told.filter(({ status }) => status === 'initiate').map(({ file }) => file)).toEqual(files);
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

  test('follows branches, tags, pull requests and commits', async () => {
    for (const revision of ['main', 'v1', 'refs/pr/7', fakeCommit]) {
      const { commit } = await downloadModel('tiny/model', { ...options, revision });
      expect(commit).toBe(fakeCommit);
      expect(await downloadModel(`tiny/model@${revision}`, { ...options, localFilesOnly: true })).toMatchObject({
        commit,
      });
    }
    const refs = join(cacheDir, 'models--tiny--model', 'refs');
    expect((await readdir(refs, { recursive: true })).sort()).toEqual(['main', 'refs', 'refs/pr', 'refs/pr/7', 'v1']);
    expect(hub.log.filter(line => line.includes('resolve'))).toHaveLength(3);
  });

  test('takes vocab.json and merges.txt where there is no tokenizer.json, and the pooling beside', async () => {
    hub.files.delete('tokenizer.json');
    hub.files.set('1_Pooling/config.json', Buffer.from('{"pooling_mode_mean_tokens":true}'));
    const { directory, files } = await downloadModel('tiny/model', options);
    expect(files).toEqual(['config.json', 'vocab.json', 'merges.txt', '1_Pooling/config.json', 'model.safetensors']);
    expect(await readlink(join(directory, '1_Pooling/config.json'))).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
  });

  test('takes the shards an index lists', async () => {
    hub.files.delete('model.safetensors');
    const shards = ['pytorch_model-1.bin', 'pytorch_model-2.bin'];
    for (const shard of shards) hub.files.set(shard, Buffer.from(shard));
    const map = { a: shards[0], b: shards[1], c: shards[0] };
    hub.files.set('pytorch_model.bin.index.json', Buffer.from(JSON.stringify({ weight_map: map })));
    const { files } = await downloadModel('tiny/model', options);
    expect(files.slice(2)).toEqual(['pytorch_model.bin.index.json', ...shards]);
    const offline = await downloadModel('tiny/model', { ...options, localFilesOnly: true });
    expect(offline.files).toEqual(files);
    await rm(join(offline.directory, shards[1]!));
    await expect(downloadModel('tiny/model', { ...options, localFilesOnly: true })).rejects.toThrow(
      'hub: "tiny/model@main" expected pytorch_model-2.bin in the cache, got no such file, and downloading is switched off.',
    );
  });

  test('repairs a file that was truncated and a link that leads nowhere', async () => {
    const { directory } = await downloadModel('tiny/model', options);
    await writeFile(await realpath(join(directory, 'model.safetensors')), 'short');
    await rm(await realpath(join(directory, 'config.json')));
    await downloadModel('tiny/model', options);
    expect(await readFile(join(directory, 'model.safetensors'))).toEqual(weights);
    expect(await readFile(join(directory, 'config.json'), 'utf8')).toBe('{}');
  });

  test('that has nothing to do writes nothing', async () => {
    const { directory } = await downloadModel('tiny/model', options);
    const before = await Promise.all([stat(directory), stat(join(directory, '../../refs/main'))]);
    await downloadModel('tiny/model', options);
    const after = await Promise.all([stat(directory), stat(join(directory, '../../refs/main'))]);
    expect(after.map(({ mtimeMs }) => mtimeMs)).toEqual(before.map(({ mtimeMs }) => mtimeMs));
  });

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
    expect(await readdir(join(cacheDir, '.locks', 'models--tiny--model'))).toEqual([]);
  }, 20_000);

  test('goes on at once where a killed process stopped', async () => {
    hub.faults.set('model.safetensors', [{ cutAfter: 100_000 }, { hang: true }]);
    const script = fileURLToPath(new URL('./download-node.ts', import.meta.url));
    const program =
      `import { downloadModel } from ${JSON.stringify(script)};` +
      `await downloadModel('tiny/model', ${JSON.stringify(options)});`;
    const child = execFile(process.execPath, ['--input-type=module', '--eval', program]);
    const closed = new Promise(resolve => child.once('close', resolve));
    await vi.waitFor(() => expect(hub.log.at(-1)).toBe('cdn GET /model.safetensors bytes=100000-'), {
      timeout: 10_000,
      interval: 20,
    });
    child.kill('SIGKILL');
    await closed;
    expect(await readdir(join(cacheDir, '.locks', 'models--tiny--model'))).toHaveLength(1);
    const { directory } = await downloadModel('tiny/model', options);
    expect(await readFile(join(directory, 'model.safetensors'))).toEqual(weights);
    expect(hub.log.at(-1)).toContain('bytes=100000-');
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
  test('is said in a sentence', async () => {
    await expect(downloadModel('tiny/model@v9', options)).rejects.toThrow(
      /^hub: "http:.*\/api\/models\/tiny\/model\/revision\/v9\?.*" expected a branch, tag or commit that exists, got status 404\.$/,
    );
    await expect(downloadModel('tiny/model', { ...options, localFilesOnly: true })).rejects.toThrow(
      'hub: "tiny/model@main" expected to be in the cache, got nothing, and downloading is switched off.\n' +
        '  Hint: download it once without HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE and localFilesOnly.',
    );
  });

  test('a hub that cannot be reached, while the cache could help', async () => {
    await downloadModel('tiny/model', options);
    await hub.close();
    const away = downloadModel('tiny/model', options);
    await expect(away).rejects.toMatchObject({
      reason: 'Network',
      got: 'ECONNREFUSED',
      hint: 'the cache has this model: localFilesOnly, or HF_HUB_OFFLINE=1, takes what is there.',
    });
  });

  test.each([
    [
      'an endpoint',
      { endpoint: 'huggingface.co' },
      'hub: "endpoint" expected an http or https address, got "huggingface.co".',
    ],
    [
      'an endpoint with a password',
      { endpoint: 'http://a:b@c' },
      'hub: "endpoint" expected an http or https address, got one with a name in it.',
    ],
    ['a token', { token: 'a\nb' }, 'hub: "token" expected printable ASCII, got other characters.'],
  ])('%s that is none', async (_, more, message) => {
    await expect(downloadModel('tiny/model', { ...options, ...more })).rejects.toThrow(message);
  });

  test.each([
    ['a model that does not exist', 'tiny/other', {}, 'ModelNotFound'],
    ['a revision that does not exist', 'tiny/model@v9', {}, 'RevisionNotFound'],
    ['offline and not in the cache', 'tiny/model', { localFilesOnly: true }, 'Offline'],
    ['nobody there', 'tiny/model', { endpoint: 'http://127.0.0.1:1' }, 'Network'],
  ])(
    '%s',
    async (_, name, more, reason) => {
      await expect(downloadModel(name, { ...options, ...more })).rejects.toMatchObject({ code: 'E_HUB', reason });
    },
    20_000,
  );

  test.each([
    '../x',
    'a/b/c',
    'a/..',
    'a b',
    'owner/name@../../x',
    'a@b@c',
    'a--b',
    'a..b',
    'x@-v',
    'x@a//b',
    'x@.git',
    '',
  ])('the name %j', name => {
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

  test('a cache that cannot be written', async () => {
    const file = join(cacheDir, 'file');
    await writeFile(file, '');
    await expect(downloadModel('tiny/model', { ...options, cacheDir: file })).rejects.toMatchObject({ code: 'E_IO' });
  });
});
