/** A hub that cuts, lies, hangs, changes its files, redirects and overloads: either the right bytes arrive, or one typed error. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { downloadModel } from './download-node.ts';
import { type FakeHub, type Fault, fakeCommit, hashOfBlob, startFakeHub } from './fake-hub.ts';
import type { HubOptions } from './hub-options.ts';

const weights = Buffer.alloc(300_000, 7);
let hub: FakeHub;
let cacheDir: string;
let options: HubOptions;

beforeEach(async () => {
  hub = await startFakeHub({ 'config.json': '{}', 'model.safetensors': weights });
  cacheDir = await mkdtemp(join(tmpdir(), 'hub-'));
  options = { endpoint: hub.url, cacheDir, patience: { firstDelayMs: 5, idleMs: 5_000 } };
});
afterEach(async () => {
  await hub.close();
  await rm(cacheDir, { recursive: true, force: true });
});

const deadProcess = (): number => spawnSync(process.execPath, ['--version']).pid;
const weightsFail = (...faults: Fault[]): void => void hub.faults.set('model.safetensors', faults);
const apiFails = (...faults: Fault[]): void => void hub.faults.set('api', faults);
const download = (more: HubOptions = {}) => downloadModel('tiny/model', { ...options, ...more });
/** Ranges that were asked of the store; '' is the whole file. */
const ranges = (): string[] =>
  hub.log.filter(line => line.startsWith('cdn')).map(line => /bytes=.*/.exec(line)?.[0] ?? '');
const blobs = (): Promise<string[]> => readdir(join(cacheDir, 'models--tiny--model', 'blobs'));

const described = (bytes: Buffer): object => ({
  type: 'file',
  path: 'model.safetensors',
  size: bytes.length,
  oid: '0'.repeat(40),
  lfs: { oid: hashOfBlob('model.safetensors', bytes), size: bytes.length, pointerSize: 130 },
});

async function expectWeights(expected = weights): Promise<void> {
  const { directory } = await download();
  expect((await readFile(join(directory, 'model.safetensors'))).equals(expected)).toBe(true);
  expect((await blobs()).filter(name => name.includes('incomplete'))).toEqual([]);
}

describe('the right bytes arrive', () => {
  test.each<[string, Fault[], string[]]>([
    ['cut twice', [{ cutAfter: 100_000 }, { cutAfter: 50_000 }], ['', 'bytes=100000-', 'bytes=150000-']],
    // Few bytes: Node's own client (undici 7) crashes when a connection ends while it holds much that is not read yet.
    ['cut where no length was announced', [{ cutAfter: 10_000, noLength: true }], ['', 'bytes=10000-']],
    ['cut, then ranges are ignored', [{ cutAfter: 100_000 }, { ignoreRange: true }], ['', 'bytes=100000-']],
    ['cut, then another part comes', [{ cutAfter: 100_000 }, { wrongRange: true }], ['', 'bytes=100000-', '']],
    ['cut, then 416', [{ cutAfter: 100_000 }, { status: 416 }], ['', 'bytes=100000-', '']],
    ['a length that is too short', [{ declares: 200_000 }], ['', 'bytes=200000-']],
    ['no length at all', [{ chunked: true }], ['']],
    ['500, 503 and 429', [{ status: 500 }, { status: 503 }, { status: 429, retryAfter: '0' }], ['', '', '', '']],
    ['silence', [{ hang: true }], ['', '']],
  ])('%s', async (_, faults, expected) => {
    weightsFail(...faults);
    options = { ...options, patience: { firstDelayMs: 5, idleMs: 300 } };
    await expectWeights();
    expect(ranges()).toEqual(expected);
  });

  test('a bad line is not a hopeless one: more cuts than attempts, while it gets on', async () => {
    const large = Buffer.alloc(5 << 20, 3);
    hub.files.set('model.safetensors', large);
    weightsFail(...new Array<Fault>(4).fill({ cutAfter: (1 << 20) + 5 }));
    // A client that was slow to read loses the end of a piece: two pieces are a mebibyte for certain.
    options = { ...options, patience: { firstDelayMs: 1, attempts: 3 } };
    await expectWeights(large);
    expect(ranges()).toHaveLength(5);
  });

  test('Retry-After is waited for', async () => {
    weightsFail({ status: 429, retryAfter: '1' });
    const before = performance.now();
    await expectWeights();
    expect(performance.now() - before).toBeGreaterThan(990);
  });

  test('two halves of different files are found out, and it begins anew', async () => {
    // The hub describes the new file; the store begins with the old one.
    weightsFail({ corrupt: true, cutAfter: 100_000 });
    await expectWeights();
    expect(ranges()).toEqual(['', 'bytes=100000-', '']);
  });

  test('the file changes while it is cut: If-Range brings the whole of the new one', async () => {
    const before = Buffer.alloc(300_000, 1);
    hub.files.set('model.safetensors', before);
    // Described as the new one, which appears between two requests.
    apiFails({ text: JSON.stringify({ sha: fakeCommit }) }, { text: JSON.stringify([described(weights)]) });
    weightsFail({ cutAfter: 100_000, afterwards: () => hub.files.set('model.safetensors', weights) });
    const { directory } = await download();
    expect(await readFile(join(directory, 'model.safetensors'))).toEqual(weights);
    expect(ranges()).toEqual(['', 'bytes=100000-']);
  });

  test('what another process left of another file is thrown away', async () => {
    await download({ weights: false });
    const name = `${hashOfBlob('model.safetensors', weights)}.longformer.incomplete`;
    await writeFile(join(cacheDir, 'models--tiny--model', 'blobs', name), Buffer.alloc(123_456, 1));
    await expectWeights();
    expect(ranges()).toEqual(['bytes=123456-', '']);
  });

  test.each([
    ['more than the file has', 400_000, ['']],
    ['all of it', 300_000, []],
  ])('what another process left is %s', async (_, length, expected) => {
    await download({ weights: false });
    const name = `${hashOfBlob('model.safetensors', weights)}.longformer.incomplete`;
    await writeFile(join(cacheDir, 'models--tiny--model', 'blobs', name), Buffer.alloc(length, 7));
    await expectWeights();
    expect(ranges()).toEqual(expected);
  });

  test('a lock that is lost is waited for, and taken over from who is dead', async () => {
    const hash = hashOfBlob('model.safetensors', weights);
    const lock = join(cacheDir, '.locks', 'models--tiny--model', `${hash}.longformer.lock`);
    weightsFail({ cutAfter: 100_000, afterwards: () => writeFileSync(lock, `${deadProcess()} ${hostname()} x`) });
    await expectWeights();
    expect(ranges()).toEqual(['', 'bytes=100000-']);
  });

  test('the API answers 503, then moves the model', async () => {
    apiFails({ status: 503 }, { location: '/api/models/tiny/model/revision/v1' });
    await expectWeights();
  });
});

describe('one typed error', () => {
  test.each<[string, Fault[], object]>([
    ['wrong bytes', [{ corrupt: true }], { reason: 'WrongHash', subject: 'model.safetensors' }],
    ['more bytes than there are', [{ tooMany: true }], { reason: 'WrongSize', got: '600000' }],
    ['the same without a length', [{ tooMany: true, chunked: true }], { reason: 'WrongSize', got: 'more' }],
    ['a length that is absurd', [{ declares: 2 ** 50 }], { reason: 'WrongSize', got: String(2 ** 50) }],
    ['401', [{ status: 401 }], { reason: 'Unauthorized', got: 'status 401' }],
    ['gated', [{ status: 403, errorCode: 'GatedRepo' }], { reason: 'Gated', got: 'status 403' }],
    ['gone', [{ status: 404 }], { reason: 'NotFound' }],
    ['teapot', [{ status: 418 }], { reason: 'BadResponse', got: 'status 418' }],
    ['500 for ever', new Array<Fault>(9).fill({ status: 500 }), { reason: 'Network', got: 'status 500' }],
    ['cut for ever', new Array<Fault>(9).fill({ cutAfter: 1000 }), { reason: 'Network' }],
    ['a redirect to a file', [{ location: 'file:///etc/passwd' }], { reason: 'Redirect', got: 'file:' }],
    ['a redirect to nonsense', [{ location: 'http://[' }], { reason: 'Redirect', got: 'something else' }],
  ])('%s', async (_, faults, error) => {
    weightsFail(...faults);
    await expect(download()).rejects.toMatchObject({ code: 'E_HUB', ...error });
    const hash = hashOfBlob('model.safetensors', weights);
    expect(await blobs()).not.toContain(hash);
    hub.faults.clear();
    await expectWeights();
  });

  test('redirects in circles', async () => {
    weightsFail(...new Array<Fault>(9).fill({ location: `${hub.storeUrl}/model.safetensors` }));
    await expect(download()).rejects.toMatchObject({
      reason: 'Redirect',
      expected: 'at most 5 redirects',
      got: 'more',
    });
    apiFails(...new Array<Fault>(9).fill({ location: '/api/models/tiny/model/revision/main' }));
    await expect(download()).rejects.toMatchObject({ reason: 'Redirect', got: 'more' });
  });

  test.each<[string, Fault, object]>([
    ['not JSON', { text: '<html>' }, { reason: 'BadResponse' }],
    ['null', { text: 'null' }, { reason: 'BadResponse' }],
    ['no commit', { text: '{"sha":"../../x"}' }, { reason: 'BadResponse', got: '"../../x"' }],
    ['nine megabytes', { text: ' '.repeat(9 << 20) }, { reason: 'WrongSize', expected: `at most ${8 << 20} bytes` }],
    ['401 of a model that is not there', { status: 401, errorCode: 'RepoNotFound' }, { reason: 'ModelNotFound' }],
    ['gated', { status: 401, errorCode: 'GatedRepo' }, { reason: 'Gated' }],
    ['400', { status: 400 }, { reason: 'BadResponse', got: 'status 400' }],
  ])('the API says %s', async (_, fault, error) => {
    apiFails(fault);
    await expect(download()).rejects.toMatchObject({ code: 'E_HUB', ...error });
  });

  test('the API says nothing', async () => {
    apiFails({ hang: true }, { hang: true });
    const patience = { attempts: 2, firstDelayMs: 1, idleMs: 200 };
    await expect(download({ patience })).rejects.toMatchObject({
      reason: 'Network',
      expected: 'a sign within 200 ms',
      got: 'silence',
    });
  });

  const info = { type: 'file', path: 'config.json', size: 2, oid: '0'.repeat(40) };
  test.each<[string, object, object]>([
    ['a file nobody asked for', { ...info, path: '../../.bashrc' }, { reason: 'BadResponse', got: '../../.bashrc' }],
    ['a config of a terabyte', { ...info, size: 2 ** 40 }, { reason: 'WrongSize', got: String(2 ** 40) }],
    ['weights beyond reason', { ...info, path: 'model.safetensors', size: 2 ** 52 }, { reason: 'WrongSize' }],
    ['a negative size', { ...info, size: -1 }, { reason: 'WrongSize', got: '-1' }],
    ['a size that is no number', { ...info, size: '2' }, { reason: 'WrongSize' }],
    ['a hash that is a path', { ...info, oid: '../../../x' }, { reason: 'BadResponse', got: '"../../../x"' }],
    ['no hash', { ...info, oid: undefined }, { reason: 'BadResponse', got: '""' }],
  ])('the API describes %s', async (_, described, error) => {
    apiFails({ text: JSON.stringify({ sha: 'a'.repeat(40) }) }, { text: JSON.stringify([described]) });
    await expect(download()).rejects.toMatchObject({ code: 'E_HUB', ...error });
  });

  test.each(['../x.safetensors', '/x.safetensors', 'a/b.bin', 'a\\b.bin', '%2e%2e.bin', 'c:x.bin', '.x.bin', 'x.exe'])(
    'an index that lists %j',
    async name => {
      hub.files.delete('model.safetensors');
      hub.files.set('model.safetensors.index.json', Buffer.from(JSON.stringify({ weight_map: { a: name } })));
      await expect(download()).rejects.toMatchObject({ reason: 'UnsafeName', got: JSON.stringify(name) });
    },
  );

  test.each([
    ['{', 'no JSON'],
    ['{"weight_map":{}}', '0 of them'],
    [JSON.stringify({ weight_map: Array.from({ length: 1001 }, (_, i) => `${i}.bin`) }), '1001 of them'],
  ])('an index that is none', async (text, got) => {
    hub.files.delete('model.safetensors');
    hub.files.set('model.safetensors.index.json', Buffer.from(text));
    await expect(download()).rejects.toMatchObject({ reason: 'BadResponse', got });
  });

  test('a shard that is not there', async () => {
    hub.files.delete('model.safetensors');
    hub.files.set('model.safetensors.index.json', Buffer.from('{"weight_map":{"a":"b.safetensors"}}'));
    await expect(download()).rejects.toThrow('hub: "tiny/model" expected the shard b.safetensors, got no such file.');
  });
});

describe('an abort', () => {
  test.each<[string, () => void]>([
    ['while bytes trickle', () => weightsFail({ trickleMs: 20 })],
    ['while nothing comes', () => weightsFail({ hang: true })],
    ['while the API is silent', () => apiFails({ hang: true })],
    ['while waiting to try again', () => weightsFail({ status: 429, retryAfter: '60' })],
  ])('%s ends the wait', async (_, fail) => {
    fail();
    const abort = new AbortController();
    const begun = download({ signal: abort.signal });
    setTimeout(() => abort.abort(), 300);
    await expect(begun).rejects.toMatchObject({ code: 'E_ABORTED', got: 'an abort' });
    hub.faults.clear();
    await expectWeights();
  });

  test('before it begins asks for nothing', async () => {
    await expect(download({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'E_ABORTED' });
    expect(hub.log).toEqual([]);
  });

  test('while another process has the lock', async () => {
    const hash = hashOfBlob('model.safetensors', weights);
    await download({ weights: false });
    await writeFile(join(cacheDir, '.locks', 'models--tiny--model', `${hash}.longformer.lock`), '1 elsewhere x');
    const signal = AbortSignal.timeout(300);
    await expect(download({ signal })).rejects.toMatchObject({ code: 'E_ABORTED' });
  });
});

describe('a token', () => {
  const token = 'hf_secret';

  test('is sent home and nowhere else', async () => {
    hub.token = token;
    await download({ token });
    expect(hub.log.filter(line => line.startsWith('hub')).every(line => line.endsWith('with token'))).toBe(true);
    expect(hub.log.filter(line => line.startsWith('cdn'))).toEqual(['cdn GET /model.safetensors']);
  });

  test('does not follow a redirect of the API or of a small file to another origin', async () => {
    hub.token = token;
    apiFails({ location: `${hub.storeUrl}/stolen` });
    await expect(download({ token })).rejects.toMatchObject({ reason: 'NotFound' });
    hub.faults.set('config.json', [{ location: `${hub.storeUrl}/config.json` }]);
    await download({ token });
    const away = hub.log.filter(line => line.startsWith('cdn'));
    expect(away).toHaveLength(3);
    expect(away.filter(line => line.includes('token'))).toEqual([]);
  });

  test('that is missing is asked for, and one that is there is in no message', async () => {
    hub.token = token;
    await expect(download()).rejects.toMatchObject({ reason: 'Unauthorized' });
    const wrong = await download({ token: 'hf_wrong' }).catch((error: Error) => error);
    expect(JSON.stringify(wrong) + String(wrong)).not.toContain('hf_wrong');
  });
});
