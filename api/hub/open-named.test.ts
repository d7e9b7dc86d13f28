/** What a name stands for on Node: a directory first, then a model of the hub; a misspelt path is neither. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type FakeHub, startFakeHub } from './fake-hub.ts';
import { openNamed } from './open-named-node.ts';

let hub: FakeHub;
let folder: string;

beforeEach(async () => {
  hub = await startFakeHub({ 'config.json': '{}', 'model.safetensors': 'weights' });
  folder = await mkdtemp(join(tmpdir(), 'named-'));
});
afterEach(async () => {
  await hub.close();
  await rm(folder, { recursive: true, force: true });
});

test('a directory', async () => {
  await writeFile(join(folder, 'config.json'), '{"a":1}');
  const files = await openNamed(folder, { endpoint: hub.url });
  expect((await files.open('config.json'))!.size).toBe(7);
  expect(hub.log).toEqual([]);
});

test('a model of the hub', async () => {
  const files = await openNamed('tiny/model@v1', { endpoint: hub.url, cacheDir: folder });
  const source = (await files.openListed('model.safetensors'))!;
  expect(new TextDecoder().decode(await source.read(0, source.size))).toBe('weights');
  await source.close();
});

test('a file is no directory', async () => {
  const path = join(folder, 'model.safetensors');
  await writeFile(path, '');
  await expect(openNamed(path, { endpoint: hub.url })).rejects.toThrow(/expected a directory, got a file\.$/);
  expect(hub.log).toEqual([]);
});

test('a name that is on the hub as little as here', async () => {
  const opened = openNamed('models/needle', { endpoint: hub.url, cacheDir: folder });
  await expect(opened).rejects.toMatchObject({ reason: 'ModelNotFound' });
  await expect(opened).rejects.toThrow(/ There is no directory "models\/needle" here either\.$/);
});

test.each(['./models/x', '/models/x', '~/x', 'a/b/c', 'C:/x', 'a\\b'])('the path %j that is not there', async name => {
  const opened = openNamed(name, { endpoint: hub.url, cacheDir: folder });
  await expect(opened).rejects.toThrow(`openCheckpoint: "${name}" expected a directory, got nothing there.`);
  expect(hub.log).toEqual([]);
});
