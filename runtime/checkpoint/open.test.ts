import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LongformerHead } from '../../contract/config.ts';
import { IoError } from '../../contract/errors.ts';
import { type ByteSource, createMemorySource } from './byte-source.ts';
import { openFileSource } from './byte-source-node.ts';
import { type CheckpointFiles, type OpenedCheckpoint, openCheckpointFiles, openCheckpointFrom } from './open.ts';
import { openCheckpoint } from './open-node.ts';
import { parseConfig } from './parse-config.ts';
import { writeSafetensors } from './safetensors-writer.ts';
import { expectedTensors } from './tensor-names.ts';

const classes: Record<LongformerHead, string> = {
  none: 'LongformerModel',
  maskedLm: 'LongformerForMaskedLM',
  sequenceClassification: 'LongformerForSequenceClassification',
  questionAnswering: 'LongformerForQuestionAnswering',
  tokenClassification: 'LongformerForTokenClassification',
  multipleChoice: 'LongformerForMultipleChoice',
};

/** A very small config.json. */
const configOf = (head: LongformerHead, fields: Record<string, unknown> = {}): string =>
  JSON.stringify({
    model_type: 'longformer',
    architectures: [classes[head]],
    vocab_size: 11,
    hidden_size: 4,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    intermediate_size: 6,
    max_position_embeddings: 9,
    type_vocab_size: 1,
    attention_window: 4,
    ...fields,
  });

interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly data: Float32Array | Int32Array;
}

/** A tensor whose elements all have one value. */
const filled = (name: string, shape: readonly number[], value: number): NamedTensor => {
  const elements = shape.reduce((product, extent) => product * extent, 1);
  return { name, shape, dtype: 'F32', data: new Float32Array(elements).fill(value) };
};

/** Every tensor of a config; the i-th is filled with i. */
const tensorsOf = (config: string): NamedTensor[] =>
  expectedTensors(parseConfig(config)).map(({ name, shape }, i) => filled(name, shape, i));

const prefixed = (prefix: string, tensors: readonly NamedTensor[]): NamedTensor[] =>
  tensors.map(tensor => ({
    ...tensor,
    name: /^(lm_head|classifier|qa_outputs)/.test(tensor.name) ? tensor.name : `${prefix}${tensor.name}`,
  }));

const open = (config: string, tensors: readonly NamedTensor[] = tensorsOf(config)): Promise<OpenedCheckpoint> =>
  openCheckpointFrom(config, createMemorySource(writeSafetensors(tensors)));

const without = (tensors: readonly NamedTensor[], ...names: string[]): NamedTensor[] =>
  tensors.filter(({ name }) => !names.includes(name));

/** The value a tensor is filled with. */
const fillOf = async (checkpoint: OpenedCheckpoint, name: string): Promise<number> =>
  (await checkpoint.tensor(name)).data[0]!;

describe('names', () => {
  test.each(Object.keys(classes) as LongformerHead[])('every tensor of the head %s', async head => {
    const config = configOf(head);
    const checkpoint = await open(config, prefixed('longformer.', tensorsOf(config)));
    expect(checkpoint.config.head).toBe(head);
    expect(checkpoint.unused).toEqual([]);
    expect(checkpoint.remarks).toEqual([]);
    for (const [i, { name, shape }] of expectedTensors(checkpoint.config).entries()) {
      expect(checkpoint.has(name)).toBe(true);
      expect(checkpoint.shape(name)).toEqual(shape);
      expect(await fillOf(checkpoint, name)).toBe(i);
    }
    await checkpoint.close();
  });

  test('the encoder of base-4096 has the parameters of base-4096', () => {
    const count = (fields: Record<string, unknown>): number =>
      expectedTensors(parseConfig(JSON.stringify({ model_type: 'longformer', ...fields }))).reduce(
        (sum, { shape }) => sum + shape.reduce((product, extent) => product * extent, 1),
        0,
      );
    const base = { vocab_size: 50265, max_position_embeddings: 4098, type_vocab_size: 1 };
    const large = {
      ...base,
      hidden_size: 1024,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      intermediate_size: 4096,
    };
    expect(count(base)).toBe(148_068_864 + 590_592);
    expect(count(large)).toBe(433_551_360 + 1_049_600);
    expect(count({ ...base, architectures: ['LongformerForMaskedLM'] })).toBe(148_068_864 + 642_393);
    expect(count({ ...large, architectures: ['LongformerForMaskedLM'] })).toBe(433_551_360 + 1_101_913);
  });

  test.each([
    ['none', 5, { 'pooler.dense.weight': [4, 4], 'pooler.dense.bias': [4] }],
    ['maskedLm', 5, { 'lm_head.dense.weight': [4, 4], 'lm_head.layer_norm.bias': [4], 'lm_head.bias': [11] }],
    ['sequenceClassification', 5, { 'classifier.dense.weight': [4, 4], 'classifier.out_proj.weight': [5, 4] }],
    ['questionAnswering', 2, { 'qa_outputs.weight': [2, 4], 'qa_outputs.bias': [2] }],
    ['tokenClassification', 5, { 'classifier.weight': [5, 4], 'classifier.bias': [5] }],
    ['multipleChoice', 5, { 'classifier.weight': [1, 4], 'classifier.bias': [1], 'pooler.dense.bias': [4] }],
  ] as const)('shapes of the head %s with %i labels', (head, labels, shapes) => {
    const expected = expectedTensors(parseConfig(configOf(head, { num_labels: labels })));
    const found = new Map(expected.map(({ name, shape }) => [name, shape]));
    for (const [name, shape] of Object.entries(shapes)) expect(found.get(name)).toEqual(shape);
    expect(found.get('encoder.layer.0.intermediate.dense.weight')).toEqual([6, 4]);
    expect(found.get('encoder.layer.0.output.dense.weight')).toEqual([4, 6]);
  });

  test.each(['longformer.', 'roberta.', 'model.', ''])('the backbone with the prefix %j', async prefix => {
    const config = configOf('tokenClassification', { attention_mode: 'longformer' });
    const checkpoint = await open(config, prefixed(prefix, tensorsOf(config)));
    expect(checkpoint.names).toContain('encoder.layer.0.attention.self.query_global.bias');
    expect(checkpoint.names).toContain('classifier.weight');
  });

  test('two names of the file that become one', async () => {
    const config = configOf('none');
    const [first] = tensorsOf(config);
    const tensors = [...tensorsOf(config), { ...first!, name: `roberta.${first!.name}` }];
    await expect(open(config, tensors)).rejects.toMatchObject({
      reason: 'DuplicateName',
      message:
        'openCheckpoint: "embeddings.word_embeddings.weight" expected one tensor, got embeddings.word_embeddings.weight and ' +
        'roberta.embeddings.word_embeddings.weight.',
    });
  });

  test('position_ids are not weights; other tensors too many are unused', async () => {
    const config = configOf('maskedLm');
    const buffer = { name: 'longformer.embeddings.position_ids', dtype: 'I64', shape: [1, 9], data: new Int32Array(9) };
    const extra = [...prefixed('longformer.', [filled('pooler.dense.weight', [4, 4], 0)]), filled('x', [1], 0)];
    const checkpoint = await open(config, [...prefixed('longformer.', tensorsOf(config)), buffer, ...extra]);
    expect(checkpoint.has('embeddings.position_ids')).toBe(false);
    expect(checkpoint.names).toHaveLength(tensorsOf(config).length + 3); // the two extra and the tied decoder
    expect(checkpoint.names.filter(name => typeof name !== 'string')).toEqual([]);
    expect(checkpoint.has('pooler.dense.weight')).toBe(true);
    expect(checkpoint.unused).toEqual(['longformer.embeddings.position_ids', 'longformer.pooler.dense.weight', 'x']);
  });

  test('a bare encoder may do without a pooler', async () => {
    const config = configOf('none');
    const checkpoint = await open(config, without(tensorsOf(config), 'pooler.dense.weight', 'pooler.dense.bias'));
    expect(checkpoint.has('pooler.dense.weight')).toBe(false);
  });

  test('a tensor that is not there', async () => {
    const checkpoint = await open(configOf('none'));
    const message = 'openCheckpoint: "lm_head.bias" expected to be in the checkpoint, got nothing.';
    expect(() => checkpoint.shape('lm_head.bias')).toThrow(
      expect.objectContaining({ reason: 'TensorNotFound', message }),
    );
    await expect(checkpoint.tensor('lm_head.bias')).rejects.toMatchObject({ message });
  });
});

describe('the decoder of the masked-LM head', () => {
  const tied = configOf('maskedLm');
  const untied = configOf('maskedLm', { tie_word_embeddings: false });
  const decoder = filled('lm_head.decoder.weight', [11, 4], 77);
  const words = 'embeddings.word_embeddings.weight';

  test('tied: the word embeddings', async () => {
    const checkpoint = await open(tied);
    expect(await fillOf(checkpoint, 'lm_head.decoder.weight')).toBe(await fillOf(checkpoint, words));
  });

  test('tied, and twice in the file: the same', async () => {
    const checkpoint = await open(tied, [...tensorsOf(tied), { ...decoder, data: tensorsOf(tied)[0]!.data }]);
    expect(checkpoint.config.tieWordEmbeddings).toBe(true);
    expect(checkpoint.remarks).toEqual([]);
    expect(checkpoint.unused).toEqual(['lm_head.decoder.weight']);
  });

  test.each([
    ['values', decoder],
    ['dtypes', { ...decoder, dtype: 'F64', data: new Float32Array(44) }],
  ])('tied, but with different %s: each for itself, as in HF 5', async (_, other) => {
    const checkpoint = await open(tied, [...tensorsOf(tied), other]);
    expect(checkpoint.config.tieWordEmbeddings).toBe(false);
    expect(await fillOf(checkpoint, 'lm_head.decoder.weight')).toBe(other.data[0]);
    expect(await fillOf(checkpoint, words)).toBe(0);
    expect(checkpoint.remarks).toEqual([
      'tie_word_embeddings is true but lm_head.decoder.weight differs from the word embeddings: not tied',
    ]);
  });

  test('tied, and only the decoder in the file: it is the word embeddings', async () => {
    const checkpoint = await open(tied, [...without(tensorsOf(tied), words), decoder]);
    expect(await fillOf(checkpoint, words)).toBe(77);
    expect(await fillOf(checkpoint, 'lm_head.decoder.weight')).toBe(77);
    expect(checkpoint.unused).toEqual([]);
  });

  test('tied, and neither in the file', async () => {
    await expect(open(tied, without(tensorsOf(tied), words))).rejects.toMatchObject({
      reason: 'ConfigMismatch',
      got: `1 missing: ${words}`,
    });
  });

  test('untied: a tensor of its own, which must be there', async () => {
    const checkpoint = await open(untied, [...without(tensorsOf(untied), 'lm_head.decoder.weight'), decoder]);
    expect(await fillOf(checkpoint, 'lm_head.decoder.weight')).toBe(77);
    await expect(open(untied, tensorsOf(tied))).rejects.toMatchObject({ got: '1 missing: lm_head.decoder.weight' });
  });

  const bias = filled('lm_head.decoder.bias', [11], 88);
  test.each([
    ['lm_head.decoder.bias alone', without(tensorsOf(tied), 'lm_head.bias'), []],
    ['lm_head.decoder.bias before lm_head.bias', tensorsOf(tied), ['lm_head.bias']],
  ])('%s', async (_, tensors, unused) => {
    const checkpoint = await open(tied, [...tensors, bias]);
    expect(await fillOf(checkpoint, 'lm_head.bias')).toBe(88);
    expect(checkpoint.unused).toEqual(unused);
  });
});

describe('a config that does not fit', () => {
  test('everything missing and misshapen in one error', async () => {
    const config = configOf('sequenceClassification', { num_labels: 3 });
    const tensors = [
      ...without(
        tensorsOf(config),
        'encoder.layer.0.attention.self.key_global.bias',
        'embeddings.LayerNorm.weight',
        'embeddings.position_embeddings.weight',
        'classifier.out_proj.weight',
        'classifier.out_proj.bias',
        'classifier.dense.bias',
      ),
      filled('embeddings.position_embeddings.weight', [8, 4], 0),
      filled('classifier.out_proj.weight', [2, 4], 0),
      filled('classifier.out_proj.bias', [3, 1], 0),
      { name: 'classifier.dense.bias', dtype: 'I32', shape: [4], data: new Int32Array(4) },
    ];
    await expect(open(config, tensors)).rejects.toMatchObject({
      code: 'E_CHECKPOINT',
      reason: 'ConfigMismatch',
      message:
        'openCheckpoint: "tensors" expected what config.json says (head sequenceClassification), got ' +
        '2 missing: embeddings.LayerNorm.weight, encoder.layer.0.attention.self.key_global.bias; ' +
        '4 misshapen: embeddings.position_embeddings.weight is (8, 4), not (9, 4), classifier.dense.bias is I32, not a float, ' +
        'classifier.out_proj.weight is (2, 4), not (3, 4), classifier.out_proj.bias is (3, 1), not (3).\n' +
        '  Hint: the rows of the embedding tables are vocab_size, max_position_embeddings and type_vocab_size.',
    });
  });

  test('very many are counted, not all listed', async () => {
    const config = configOf('none', { num_hidden_layers: 5 });
    const error = await open(config, []).catch((caught: { got: string }) => caught);
    expect((error as { got: string }).got).toMatch(/^115 missing: (\S+, ){49}\S+ and 65 more$/);
  });

  test('a file for another head', async () => {
    await expect(open(configOf('questionAnswering'), tensorsOf(configOf('none')))).rejects.toMatchObject({
      message:
        'openCheckpoint: "tensors" expected what config.json says (head questionAnswering), got 2 missing: qa_outputs.weight, qa_outputs.bias.',
    });
  });

  test('the source is closed when it is refused', async () => {
    for (const config of ['{}', configOf('none')]) {
      let closed = 0;
      const source: ByteSource = { ...createMemorySource(writeSafetensors([])), close: async () => void closed++ };
      await expect(openCheckpointFrom(config, source)).rejects.toThrow();
      expect(closed).toBeGreaterThan(0);
    }
  });
});

describe('files', () => {
  const config = configOf('none');
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const model = writeSafetensors(tensorsOf(config));
  const opened = { now: 0 };
  const files = (contents: Record<string, Uint8Array>): CheckpointFiles => {
    const find = async (name: string): Promise<ByteSource | undefined> => {
      const bytes = contents[name];
      if (bytes) opened.now++;
      return bytes && { ...createMemorySource(bytes), close: async () => void opened.now-- };
    };
    return { name: 'somewhere', open: find, openListed: find };
  };
  beforeEach(() => {
    opened.now = 0;
  });

  test('a head of the caller’s choice', async () => {
    const contents = {
      'config.json': text(config),
      'model.safetensors': writeSafetensors(tensorsOf(configOf('maskedLm'))),
    };
    expect((await openCheckpointFiles(files(contents), { head: 'maskedLm' })).config.head).toBe('maskedLm');
  });

  test('shards', async () => {
    const tensors = tensorsOf(config);
    const index = JSON.stringify({
      weight_map: Object.fromEntries(tensors.map(({ name }, i) => [name, `s-${i % 2}.safetensors`])),
    });
    const half = (which: number): Uint8Array => writeSafetensors(tensors.filter((_, i) => i % 2 === which));
    const checkpoint = await openCheckpointFiles(
      files({
        'config.json': text(config),
        'model.safetensors.index.json': text(index),
        's-0.safetensors': half(0),
        's-1.safetensors': half(1),
      }),
    );
    for (const [i, { name }] of tensors.entries()) expect(await fillOf(checkpoint, name)).toBe(i);
    expect(opened.now).toBe(2);
    await checkpoint.close();
    expect(opened.now).toBe(0);
  });

  test('whichever read fails, its error comes out and nothing stays open', async () => {
    const index = JSON.stringify({
      weight_map: Object.fromEntries(tensorsOf(config).map(({ name }) => [name, 's.safetensors'])),
    });
    const contents = {
      'config.json': text(config),
      'model.safetensors.index.json': text(index),
      's.safetensors': model,
    };
    for (let failAt = 1; ; failAt++) {
      let reads = 0;
      const there = files(contents);
      const failing = async (name: string): Promise<ByteSource | undefined> => {
        const source = await there.open(name);
        const read = async (begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> => {
          if (++reads === failAt) throw new IoError({ where: 'disk', name, expected: 'bytes', got: 'EIO' });
          return source!.read(begin, end);
        };
        return source && { ...source, read };
      };
      const outcome = await openCheckpointFiles({ name: 'x', open: failing, openListed: failing }).catch(
        (error: unknown) => error,
      );
      if (!(outcome instanceof Error)) {
        expect(failAt).toBe(5); // config, index, length and header have failed before
        break;
      }
      expect(outcome).toBeInstanceOf(IoError);
      expect(opened.now).toBe(0);
    }
  });

  const large = { size: 10_000_001, read: async () => new Uint8Array(), close: async () => {} };
  const wrong: [string, Record<string, Uint8Array>, string, string][] = [
    ['nothing', {}, 'E_CHECKPOINT', 'openCheckpoint: "somewhere" expected config.json, got no such file.'],
    [
      'no weights',
      { 'config.json': text(config) },
      'E_CHECKPOINT',
      'openCheckpoint: "somewhere" expected model.safetensors, got no such file.',
    ],
    [
      'config not UTF-8',
      { 'config.json': Uint8Array.of(0xff) },
      'E_CONFIG',
      'parseConfig: "config.json" expected UTF-8, got other bytes.',
    ],
    [
      'index not UTF-8',
      { 'config.json': text(config), 'model.safetensors.index.json': Uint8Array.of(0xff) },
      'E_CHECKPOINT',
      'openCheckpoint: "model.safetensors.index.json" expected UTF-8, got other bytes.',
    ],
    [
      'weights that do not fit',
      { 'config.json': text(config), 'model.safetensors': writeSafetensors([]) },
      'E_CHECKPOINT',
      'openCheckpoint: "tensors" expected what config.json says (head none), got 27 missing:',
    ],
    [
      'pytorch_model.bin that torch did not write',
      { 'config.json': text(config), 'pytorch_model.bin': new Uint8Array(1) },
      'E_UNSUPPORTED',
      'openPytorch: "format" expected a file that torch.save wrote, ' +
        'got something else.\n' +
        '  Hint: load it in Python and save it again: torch.save(model.state_dict(), …), or save_pretrained.',
    ],
    [
      'an index of pickles that is no JSON',
      { 'config.json': text(config), 'pytorch_model.bin.index.json': new Uint8Array(1) },
      'E_CHECKPOINT',
      'parseShardIndex:',
    ],
  ];
  test.each(wrong)('%s; nothing stays open', async (_, contents, code, message) => {
    await expect(openCheckpointFiles(files(contents))).rejects.toMatchObject({
      code,
      message: message.endsWith(':') ? expect.stringContaining(message) : message,
    });
    expect(opened.now).toBe(0);
  });

  test('a config of 10 MB is not read', async () => {
    const huge: CheckpointFiles = { name: 'x', open: async () => large, openListed: async () => large };
    await expect(openCheckpointFiles(huge)).rejects.toMatchObject({
      code: 'E_CONFIG',
      message: 'parseConfig: "config.json" expected at most 10000000 bytes, got 10000001.',
    });
  });

  describe('on disk', () => {
    let directory: string;
    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'longformer-'));
    });
    afterEach(() => rm(directory, { recursive: true }));

    test('a directory', async () => {
      await writeFile(join(directory, 'config.json'), config);
      await writeFile(join(directory, 'model.safetensors'), model);
      const checkpoint = await openCheckpoint(directory);
      expect(await fillOf(checkpoint, 'embeddings.LayerNorm.bias')).toBe(4);
      await checkpoint.close();
    });

    test('no directory', async () => {
      const absent = join(directory, 'absent');
      await expect(openCheckpoint(absent)).rejects.toMatchObject({
        code: 'E_IO',
        message: `openCheckpoint: "${absent}" expected a directory, got ENOENT.`,
      });
      const file = join(directory, 'file');
      await writeFile(file, '');
      await expect(openCheckpoint(file)).rejects.toMatchObject({
        code: 'E_IO',
        message: `openCheckpoint: "${file}" expected a directory, got ENOTDIR.`,
      });
    });

    test('a directory in place of a file', async () => {
      await mkdir(join(directory, 'config.json'));
      await expect(openCheckpoint(directory)).rejects.toMatchObject({
        code: 'E_IO',
        message: `openFileSource: "${join(directory, 'config.json')}" expected a regular file, got something else.`,
      });
    });

    /** A checkpoint whose only shard is a link to `target`. */
    async function linkShard(home: string, target: string): Promise<void> {
      await mkdir(home, { recursive: true });
      const weightMap = Object.fromEntries(tensorsOf(config).map(({ name }) => [name, 's.safetensors']));
      await writeFile(join(home, 'config.json'), config);
      await writeFile(join(home, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }));
      await writeFile(target, model);
      await symlink(target, join(home, 's.safetensors'));
    }

    test('a shard that is a link inside the directory', async () => {
      const home = join(directory, 'home');
      await mkdir(home);
      await linkShard(home, join(home, 'target'));
      await (await openCheckpoint(home)).close();
    });

    test('a shard that is a link out of the directory', async () => {
      const home = join(directory, 'home');
      await linkShard(home, join(directory, 'home-of-others'));
      await expect(openCheckpoint(home)).rejects.toMatchObject({
        reason: 'UnsafeShardName',
        message:
          'openCheckpoint: "s.safetensors" expected a file inside the directory, got a symbolic link that leaves it.',
      });
    });

    test('a shard in the layout of the Hugging Face cache', async () => {
      await mkdir(join(directory, 'blobs'));
      await linkShard(join(directory, 'snapshots', 'main'), join(directory, 'blobs', '0123'));
      await (await openCheckpoint(join(directory, 'snapshots', 'main'))).close();
    });

    test('a shard that is a link to nothing', async () => {
      const home = join(directory, 'home');
      await linkShard(home, join(directory, 'target'));
      await rm(join(directory, 'target'));
      await expect(openCheckpoint(home)).rejects.toMatchObject({ reason: 'MissingFile' });
    });

    test('a file that shrinks while it is open', async () => {
      const path = join(directory, 'file');
      await writeFile(path, new Uint8Array(100));
      const source = await openFileSource(path);
      await truncate(path, 50);
      await expect(source.read(0, 100)).rejects.toMatchObject({
        code: 'E_IO',
        message: `byteSource.read: "${path}" expected bytes 0..100, got the end of the file at byte 50.`,
      });
      await source.close();
      await expect(source.read(0, 1)).rejects.toMatchObject({ code: 'E_IO', got: 'EBADF' });
    });

    test.each([
      [-1, 1],
      [2, 1],
      [0, 4],
      [NaN, 1],
    ])('a range outside: %d..%d', async (begin, end) => {
      const path = join(directory, 'file');
      await writeFile(path, new Uint8Array(3));
      const source = await openFileSource(path);
      for (const [name, each] of [
        [path, source],
        ['memory', createMemorySource(new Uint8Array(3))],
      ] as const) {
        await expect(each.read(begin, end)).rejects.toMatchObject({
          code: 'E_IO',
          message: `byteSource.read: "${name}" expected a range inside its 3 bytes, got ${begin}..${end}.`,
        });
      }
      await source.close();
    });

    test('a file that is not there', async () => {
      const path = join(directory, 'absent');
      await expect(openFileSource(path)).rejects.toMatchObject({
        code: 'E_IO',
        message: `openFileSource: "${path}" expected a readable file, got ENOENT.`,
        cause: expect.objectContaining({ code: 'ENOENT' }),
      });
    });
  });
});
