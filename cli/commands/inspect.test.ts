import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { parseModelConfig } from '../../runtime/checkpoint/parse-led-config.ts';
import { writeSafetensors } from '../../runtime/checkpoint/safetensors-writer.ts';
import { expectedTensors } from '../../runtime/checkpoint/tensor-names.ts';
import { inspect, inspectCommand } from './inspect.ts';

const config = JSON.stringify({
  model_type: 'longformer',
  architectures: ['LongformerForSequenceClassification'],
  vocab_size: 7,
  hidden_size: 2,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  intermediate_size: 3,
  max_position_embeddings: 6,
  type_vocab_size: 1,
  attention_window: [4, 8],
  id2label: { 0: 'bad', 1: '\u001b[31mgood' },
});

const model = (text: string, extra: string[] = []): Uint8Array =>
  writeSafetensors([
    ...expectedTensors(parseModelConfig(text)).map(({ name, shape }) => {
      const elements = shape.reduce((product, extent) => product * extent, 1);
      return { name, shape, dtype: 'F32', data: new Float32Array(elements) };
    }),
    ...extra.map(name => ({ name, shape: [1], dtype: 'F32', data: new Float32Array(1) })),
  ]);

/** What the command prints. */
async function run(...argv: string[]): Promise<string> {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    await inspectCommand().parseAsync(argv, { from: 'user' });
    return write.mock.calls.map(([text]) => text).join('');
  } finally {
    write.mockRestore();
  }
}

describe('longformer inspect', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'longformer-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  test('a directory, for people', async () => {
    await writeFile(join(directory, 'config.json'), config);
    await writeFile(join(directory, 'model.safetensors'), model(config, ['odd']));
    const lines = (await run(directory)).split('\n');
    expect(lines[0]).toBe(directory);
    for (const line of [
      '  head                sequenceClassification',
      '  heads               2 of 1',
      '  one-sided window    [2] [4]',
      '  dilation            1',
      '  longest document    4',
      '  labels              bad, \\u{1b}[31mgood',
      '  F32  (7, 2)  embeddings.word_embeddings.weight',
      'missing (optional): none',
      'unused: odd',
    ]) {
      expect(lines).toContain(line);
    }
    const { parameters, bytes, tensors } = await inspect(directory);
    expect(lines).toContain(`  ${tensors!.length} tensors, ${parameters} parameters, ${bytes} bytes`);
    expect(bytes).toBe(parameters! * 4);
  });

  test('what Hugging Face would ignore is said', async () => {
    const dilated = JSON.stringify({ ...JSON.parse(config), attention_dilation: [[1, 2], 3], autoregressive: true });
    await writeFile(join(directory, 'config.json'), dilated);
    const output = await run(join(directory, 'config.json'));
    expect(output).toContain('  dilation            [[1] [2]] [3]\n');
    expect(output).toContain('  causal              true\n');
    expect(output).toContain(
      'Note: attention_dilation is honoured here and ignored by Hugging Face, whose results will differ.\n' +
        'Note: autoregressive is honoured here and ignored by Hugging Face, whose results will differ.\n',
    );
    expect(output).not.toContain('tensors');
  });

  test('an LED', async () => {
    const led = JSON.stringify({
      model_type: 'led',
      architectures: ['LEDForConditionalGeneration'],
      vocab_size: 7,
      d_model: 4,
      encoder_layers: 2,
      decoder_layers: 1,
      encoder_attention_heads: 2,
      decoder_attention_heads: 1,
      encoder_ffn_dim: 3,
      decoder_ffn_dim: 5,
      max_encoder_position_embeddings: 8,
      max_decoder_position_embeddings: 6,
      attention_window: [4, 8],
    });
    await writeFile(join(directory, 'config.json'), led);
    await writeFile(join(directory, 'model.safetensors'), model(led));
    const lines = (await run(directory)).split('\n');
    for (const line of [
      '  model              LED',
      '  head               conditionalGeneration',
      '  layers             2 encoder, 1 decoder',
      '  encoder heads      2 of 2',
      '  longest source     8',
      '  longest target     6',
      'missing (optional): none',
      'unused: none',
    ]) {
      expect(lines).toContain(line);
    }
  });

  test('one file', async () => {
    const path = join(directory, 'x.safetensors');
    const data = new Uint8Array(12);
    await writeFile(
      path,
      writeSafetensors([{ name: 'a\n', dtype: 'I32', shape: [3], data }], new Map([['k', 'v\u0007']])),
    );
    expect(await run(path)).toBe(
      `${path}\n\ntensors\n  I32  (3)  a\\u{a}\n  1 tensor, 3 parameters, 12 bytes\n  metadata k: v\\u{7}\n`,
    );
  });

  test('an empty file of tensors', async () => {
    const path = join(directory, 'x.safetensors');
    await writeFile(path, writeSafetensors([]));
    expect(await run(path)).toBe(`${path}\n\ntensors\n  0 tensors, 0 parameters, 0 bytes\n`);
  });

  test('--json', async () => {
    await writeFile(join(directory, 'config.json'), JSON.stringify({ ...JSON.parse(config), architectures: null }));
    const tensors = model(
      JSON.stringify({ ...JSON.parse(config), architectures: ['LongformerForTokenClassification'] }),
    );
    await writeFile(join(directory, 'model.safetensors'), tensors);
    const printed = JSON.parse(await run(directory, '--json')) as object;
    expect(printed).toEqual(JSON.parse(JSON.stringify(await inspect(directory))));
    expect(printed).toMatchObject({
      path: directory,
      config: { head: 'none', oneSidedWindow: [2, 4] },
      missing: ['pooler.dense.weight', 'pooler.dense.bias'],
      unused: ['classifier.bias', 'classifier.weight'],
      remarks: [],
      metadata: {},
    });
  });

  test.each([
    ['a path that is not there', undefined, { code: 'E_IO', got: 'ENOENT' }],
    ['a damaged file', new Uint8Array(3), { code: 'E_CHECKPOINT', reason: 'HeaderTooSmall', got: 'a file of 3' }],
  ])('%s prints nothing and throws', async (_, bytes, error) => {
    const path = join(directory, 'x.safetensors');
    if (bytes) await writeFile(path, bytes);
    const write = vi.spyOn(process.stdout, 'write');
    await expect(inspectCommand().parseAsync([path], { from: 'user' })).rejects.toMatchObject(error);
    expect(write).not.toHaveBeenCalled();
    write.mockRestore();
  });
});
