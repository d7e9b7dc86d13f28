/** `longformer download` and `longformer cache` as a user runs them. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type FakeHub, fakeCommit, startFakeHub } from '../../api/hub/fake-hub.ts';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));
let hub: FakeHub;
let cache: string;
let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  hub = await startFakeHub({ 'config.json': '{}', 'model.safetensors': Buffer.alloc(200_000, 7) });
  cache = await mkdtemp(join(tmpdir(), 'hub-'));
  env = { ...process.env, HF_ENDPOINT: hub.url, HF_HUB_CACHE: cache };
});
afterEach(async () => {
  await hub.close();
  await rm(cache, { recursive: true, force: true });
});

/** Runs a command to its end. */
function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise(resolve => {
    execFile(process.execPath, [main, ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

describe('longformer download', () => {
  test('prints the directory, and nothing else when piped', async () => {
    const directory = join(cache, 'models--tiny--model', 'snapshots', fakeCommit);
    expect(await run('download', 'tiny/model')).toEqual({ code: 0, stdout: `${directory}\n`, stderr: '' });
    const { stdout } = await run('download', 'tiny/model@v1', '--json');
    expect(JSON.parse(stdout)).toEqual({ directory, commit: fakeCommit, files: ['config.json', 'model.safetensors'] });
    env = { ...env, HF_HUB_OFFLINE: '1', HF_ENDPOINT: 'http://127.0.0.1:9' };
    expect((await run('download', 'tiny/model')).stdout).toBe(`${directory}\n`);
  });

  test('keeps what has arrived after Ctrl-C, and goes on from there', async () => {
    hub.faults.set('model.safetensors', [{ cutAfter: 120_000 }, { trickleMs: 50 }]);
    const child: ChildProcess = spawn(process.execPath, [main, 'download', 'tiny/model'], { env });
    const stderr = text(child.stderr!);
    const closed = new Promise(resolve => child.once('close', resolve));
    await vi.waitFor(() => expect(hub.log.at(-1)).toBe('cdn GET /model.safetensors bytes=120000-'), {
      timeout: 20_000,
      interval: 20,
    });
    child.kill('SIGINT');
    expect(await closed).toBe(130);
    expect(await stderr).toMatch(/^E_ABORTED: hub: ".*" expected to finish, got an abort\.\n$/);
    expect((await run('download', 'tiny/model')).code).toBe(0);
    expect(Number(/bytes=(\d+)-/.exec(hub.log.at(-1)!)![1])).toBeGreaterThanOrEqual(120_000);
  });

  test('says what is wrong in one line', async () => {
    const { code, stderr } = await run('download', 'tiny/other');
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^E_HUB ModelNotFound: hub: ".*" expected a model that exists, got status 404\.\n {2}Hint: /,
    );
    expect((await run('download')).code).toBe(2);
  });
});

describe('longformer cache', () => {
  test('list, path, verify, remove', async () => {
    expect((await run('cache', 'list')).stdout).toBe('nothing\n');
    expect((await run('cache', 'path')).stdout).toBe(`${cache}\n`);
    const directory = (await run('download', 'tiny/model')).stdout.trim();
    expect((await run('cache', 'list')).stdout).toBe(
      `tiny/model  0.2 MB\n  ${fakeCommit}  2 files, 0.2 MB  main\n1 models, 0.2 MB\n`,
    );
    expect(JSON.parse((await run('cache', 'list', '--json')).stdout)).toMatchObject([
      { id: 'tiny/model', bytes: 200_042, revisions: [{ commit: fakeCommit, refs: ['main'], bytes: 200_002 }] },
    ]);
    expect(await run('cache', 'verify')).toEqual({
      code: 0,
      stdout:
        'ok       tiny/model@c0ffee00/config.json\n' +
        'ok       tiny/model@c0ffee00/model.safetensors\n' +
        '2 files, 0 damaged or missing\n',
      stderr: '',
    });
    await writeFile(await realpath(join(directory, 'config.json')), '[]');
    const damaged = await run('cache', 'verify', 'tiny/model');
    expect([damaged.code, damaged.stdout.split('\n')[0]]).toEqual([1, 'damaged  tiny/model@c0ffee00/config.json']);
    const folder = join(cache, 'models--tiny--model');
    expect((await run('cache', 'remove', 'tiny/model', '--dry-run')).stdout).toBe(`would remove ${folder}, 0.2 MB\n`);
    expect((await run('cache', 'remove', 'tiny/model')).stdout).toBe(`removed ${folder}, 0.2 MB\n`);
    expect(await run('cache', 'remove', 'tiny/model')).toMatchObject({
      code: 1,
      stderr:
        'E_IO: cache: "tiny/model" expected a model in the cache, got nothing there.\n' +
        '  Hint: the names are in: longformer cache list.\n',
    });
  });
});
