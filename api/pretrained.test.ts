/** Options of loading and of global attention, through the front door: what each changes, and what it leaves alone. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMemorySource } from '../runtime/checkpoint/byte-source.ts';
import { openDirectory } from '../runtime/index-node.ts';
import { type FakeHub, startFakeHub } from './hub/fake-hub.ts';
import {
  type CheckpointFiles,
  type FileProgress,
  LongformerTokenizer,
  type Pipeline,
  type PretrainedOptions,
  pipeline,
} from './index.ts';

const models = fileURLToPath(new URL('../conformance/pipelines/models/', import.meta.url));
const text = 'Anna reads the old letter in Oslo.';

describe('where a model comes from', () => {
  let hub: FakeHub;
  let cacheDir: string;
  let options: PretrainedOptions;
  beforeAll(async () => {
    const directory = join(models, 'text-classification');
    const files = readdirSync(directory).map(name => [name, readFileSync(join(directory, name))]);
    hub = await startFakeHub(Object.fromEntries(files));
    cacheDir = mkdtempSync(join(tmpdir(), 'longformer-pretrained-'));
    options = { endpoint: hub.url, cacheDir };
  });
  afterAll(async () => {
    await hub.close();
    rmSync(cacheDir, { recursive: true });
  });

  it('a hub id: revision, cacheDir and onFile, and after that no network', async () => {
    const heard: FileProgress[] = [];
    const onFile = (progress: FileProgress): void => void heard.push(progress);
    await expect(
      pipeline('text-classification', 'tiny/model', { ...options, localFilesOnly: true }),
    ).rejects.toMatchObject({ reason: 'Offline' });
    expect(hub.log).toEqual([]);
    await using classify = await pipeline('text-classification', 'tiny/model', { ...options, revision: 'v1', onFile });
    await using local = await pipeline('text-classification', join(models, 'text-classification'));
    expect(await classify(text)).toEqual(await local(text));
    expect(heard.at(-1)).toMatchObject({ status: 'ready', name: 'tiny/model' });
    expect(heard).toContainEqual(expect.objectContaining({ status: 'done', file: 'model.safetensors' }));
    const asked = hub.log.length;
    const offline = { ...options, revision: 'v1', localFilesOnly: true };
    await using again = await pipeline('text-classification', 'tiny/model', offline);
    expect(await again(text)).toEqual(await local(text));
    expect(hub.log).toHaveLength(asked);
  });

  it('an address of a folder, read by ranges', async () => {
    await using classify = await pipeline('text-classification', `${hub.url}/tiny/model/resolve/main/`);
    expect(await classify(text, { topK: null })).toHaveLength(4);
  });

  it('a tokenizer alone takes no weights', async () => {
    hub.log.length = 0;
    const tokenizer = await LongformerTokenizer.fromPretrained('tiny/model@v1', options);
    expect(tokenizer.decode(tokenizer.encode(text).inputIds, { skipSpecialTokens: true })).toBe(text);
    expect(hub.log.filter(line => line.includes('model.safetensors'))).toEqual([]);
  });

  it('an abort while the weights arrive', async () => {
    const other = mkdtempSync(join(tmpdir(), 'longformer-pretrained-'));
    const abort = new AbortController();
    const onFile = ({ status, file }: FileProgress): void => {
      if (status === 'download' && file === 'model.safetensors') abort.abort();
    };
    const loading = pipeline('text-classification', 'tiny/model', {
      ...{ ...options, cacheDir: other, signal: abort.signal, onFile },
    });
    await expect(loading).rejects.toMatchObject({ code: 'E_ABORTED' });
    rmSync(other, { recursive: true });
  });
});

describe('devices', () => {
  it('threads change no bit; float64 differs in the last digits; both number formats can be named', async () => {
    const open = (options: PretrainedOptions): Promise<Pipeline<'feature-extraction'>> =>
      pipeline('feature-extraction', join(models, 'fill-mask'), options);
    await using one = await open({ device: 'wasm', dtype: 'fp32' });
    await using two = await open({ threads: 2 });
    await using exact = await open({ device: 'reference', dtype: 'fp64' });
    const [a, b, c] = [await one(text), await two(text), await exact(text)];
    expect(b).toEqual(a);
    expect(c.data).toBeInstanceOf(Float64Array);
    const worst = Math.max(...Array.from(c.data, (value, i) => Math.abs(value - a.data[i]!)));
    expect(worst).toBeGreaterThan(0);
    expect(worst).toBeLessThan(1e-4);
  });
});

describe('global attention', () => {
  it('a mask and a predicate on places say the same, and say something', async () => {
    await using extract = await pipeline('feature-extraction', join(models, 'fill-mask'));
    const { inputIds, offsets } = extract.tokenizer.encode(text);
    const begin = text.indexOf('old');
    const isGlobal = ({ start, end }: { start: number; end: number }): boolean => start >= begin && end > start;
    const globalAttentionMask = Array.from(inputIds, (_, t) =>
      Number(offsets[2 * t]! >= begin && offsets[2 * t + 1]! > 0),
    );
    const byMask = await extract(text, { globalAttentionMask });
    expect(byMask).toEqual(await extract(text, { isGlobal }));
    expect(byMask).not.toEqual(await extract(text));
    expect(await extract(text, { isGlobal: () => false })).toEqual(await extract(text)); // none is the default here
  });

  it('classification marks <s>, as Hugging Face does', async () => {
    await using classify = await pipeline('text-classification', join(models, 'text-classification'));
    const first = await classify(text, { isGlobal: ({ index }) => index === 0 });
    expect(first).toEqual(await classify(text));
    expect(first).not.toEqual(await classify(text, { isGlobal: () => false }));
  });
});

describe('the pooling of a sentence encoder', () => {
  const withPooling = async (config?: string): Promise<CheckpointFiles> => {
    const files = await openDirectory(join(models, 'fill-mask'));
    const pooling = config === undefined ? undefined : createMemorySource(new TextEncoder().encode(config));
    return {
      name: 'encoder',
      openListed: name => files.openListed(name),
      open: async name => (name === '1_Pooling/config.json' ? pooling : files.open(name)),
    };
  };

  it.each([
    ['cls', '{"word_embedding_dimension":24,"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false}'],
    ['mean', '{"pooling_mode_cls_token":false,"pooling_mode_mean_tokens":true}'],
    ['mean', undefined],
  ] as const)('auto is %s, as %s says', async (pooling, config) => {
    await using extract = await pipeline('feature-extraction', await withPooling(config));
    expect(extract.pooling).toBe(config && pooling);
    expect(await extract(text, { pooling: 'auto' })).toEqual(await extract(text, { pooling }));
    expect((await extract(text)).shape).toHaveLength(3); // nothing is pooled unasked
  });

  it('another way is refused where it is asked for, and a damaged file when it is read', async () => {
    await using extract = await pipeline('feature-extraction', await withPooling('{"pooling_mode_max_tokens":true}'));
    expect((await extract(text, { pooling: 'cls' })).shape).toEqual([1, 24]);
    await expect(extract(text, { pooling: 'auto' })).rejects.toThrow(
      'feature-extraction: "1_Pooling/config.json" expected one of cls, mean, got max.',
    );
    for (const damaged of ['', 'null', '[]', '{"pooling_mode_cls_token":1}', '{']) {
      const opened = withPooling(damaged).then(files => pipeline('feature-extraction', files));
      await expect(opened).rejects.toMatchObject({ code: 'E_CONFIG', subject: '1_Pooling/config.json' });
    }
  });
});

it('a pipeline that is used up gives everything back: await using, dispose twice', async () => {
  let kept: Pipeline<'fill-mask'>;
  {
    await using fill = await pipeline('fill-mask', join(models, 'fill-mask'));
    kept = fill;
    expect(await kept('<mask>', { topK: 1 })).toHaveLength(1);
  }
  await expect(kept('<mask>')).rejects.toThrow('disposed');
  await kept.dispose();
  await kept[Symbol.asyncDispose]();
});
