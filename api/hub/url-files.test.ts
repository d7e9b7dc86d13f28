/** Checkpoints at an address, with and without ranges. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type FakeHub, type Fault, startFakeHub } from './fake-hub.ts';
import { hubFolder } from './hub-options.ts';
import { openUrl } from './url-files.ts';

const weights = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));
let hub: FakeHub;

beforeEach(async () => {
  hub = await startFakeHub({ 'config.json': '{}', 'empty.txt': '', 'model.safetensors': weights });
});
afterEach(() => hub.close());

const files = () => openUrl(hubFolder('tiny/model', { endpoint: hub.url }), { patience: { firstDelayMs: 5 } });
const fail = (...faults: Fault[]): void => void hub.faults.set('model.safetensors', faults);

describe('an address', () => {
  test('is read by ranges', async () => {
    const source = (await files().open('model.safetensors'))!;
    expect(source.size).toBe(100_000);
    expect(await source.read(10, 14)).toEqual(new Uint8Array([10, 11, 12, 13]));
    expect(hub.log.at(-1)).toBe('cdn GET /model.safetensors bytes=10-13');
    const into = new Uint8Array(8);
    expect((await source.read(0, 4, into)).buffer).toBe(into.buffer);
    expect(into).toEqual(new Uint8Array([0, 1, 2, 3, 0, 0, 0, 0]));
    expect(await source.read(5, 5)).toEqual(new Uint8Array(0));
    await expect(source.read(0, 100_001)).rejects.toMatchObject({ code: 'E_IO' });
  });

  test('goes on in the middle of a range that was cut', async () => {
    const source = (await files().open('model.safetensors'))!;
    fail({ cutAfter: 30_000 });
    expect(Buffer.from(await source.read(1000, 91_000))).toEqual(weights.subarray(1000, 91_000));
    expect(hub.log.at(-1)).toContain('bytes=31000-90999');
  });

  test('without ranges is read whole', async () => {
    fail({ ignoreRange: true });
    const source = (await files().open('model.safetensors'))!;
    expect(Buffer.from(await source.read(0, source.size))).toEqual(weights);
    expect(hub.log.filter(line => line.startsWith('cdn'))).toHaveLength(1);
  });

  test('without ranges and larger than memory is refused unread', async () => {
    fail({ ignoreRange: true, declares: 2 ** 40 });
    await expect(files().open('model.safetensors')).rejects.toMatchObject({
      reason: 'WrongSize',
      got: `${2 ** 40} without ranges`,
    });
  });

  test('that hides how large its parts are is read whole', async () => {
    const bare: typeof fetch = async (address, init) => {
      const response = await fetch(address, init);
      const headers = new Headers(response.headers);
      headers.delete('content-range');
      return new Response(response.body, { status: response.status, headers });
    };
    const source = (await openUrl(hubFolder('tiny/model', { endpoint: hub.url }), { fetch: bare }).open(
      'config.json',
    ))!;
    expect(new TextDecoder().decode(await source.read(0, source.size))).toBe('{}');
  });

  test('has empty files', async () => {
    expect((await files().open('empty.txt'))!.size).toBe(0);
  });

  test.each<[string, Fault]>([
    ['another part than was asked for', { wrongRange: true }],
    ['no part but the whole', { ignoreRange: true }],
  ])('%s is an error', async (_, fault) => {
    const source = (await files().open('model.safetensors'))!;
    fail(fault);
    await expect(source.read(4, 8)).rejects.toMatchObject({ code: 'E_HUB', reason: 'BadResponse' });
  });

  test('that changes meanwhile is an error', async () => {
    const source = (await files().open('model.safetensors'))!;
    hub.files.set('model.safetensors', Buffer.alloc(100_000, 8));
    await expect(source.read(0, 4)).rejects.toThrow(
      / expected the file that was opened, got another one: it changed meanwhile\.$/,
    );
  });

  test('of a file that is not there is undefined, of a model that is not there an error', async () => {
    expect(await files().open('merges.txt')).toBeUndefined();
    const nowhere = openUrl(hubFolder('tiny/other', { endpoint: hub.url }));
    await expect(nowhere.open('config.json')).rejects.toMatchObject({ reason: 'ModelNotFound' });
  });

  test.each([200, 206])('whose server shows a page for what it does not have, status %i, lacks it', async status => {
    const headers = { 'content-type': 'text/html; charset=utf-8', 'content-range': 'bytes 0-0/15' };
    const page: typeof fetch = async () =>
      new Response('<!doctype html>'.slice(0, status === 206 ? 1 : 15), { status, headers });
    expect(await openUrl('http://127.0.0.1/', { fetch: page }).open('merges.txt')).toBeUndefined();
  });

  test('keeps the token at home', async () => {
    hub.token = 'hf_secret';
    const options = { token: hub.token };
    const source = (await openUrl(hubFolder('tiny/model', { endpoint: hub.url }), options).open('model.safetensors'))!;
    await source.read(0, 4);
    expect(hub.log.filter(line => line.startsWith('cdn') && line.includes('token'))).toEqual([]);
  });

  test('is aborted', async () => {
    fail({ ignoreRange: true, trickleMs: 20 });
    const options = { signal: AbortSignal.timeout(200) };
    const opened = openUrl(hubFolder('tiny/model', { endpoint: hub.url }), options).open('model.safetensors');
    await expect(opened).rejects.toMatchObject({ code: 'E_ABORTED' });
  });

  test.each(['../x', 'a/../b', '/x', 'a//b', 'c:x', '%2e%2e/x', 'a\\b'])('lists nothing at %j', async name => {
    await expect(files().openListed(name)).rejects.toMatchObject({ reason: 'UnsafeName' });
  });

  test.each(['ftp://x/', 'x', 'http://a:b@c/', 'http://x/?y', 'http://x/#y'])('%j is none', address => {
    expect(() => openUrl(address)).toThrow(expect.objectContaining({ code: 'E_RANGE', subject: 'address' }) as Error);
  });
});
