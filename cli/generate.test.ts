/** generate and summarize from outside: a process, its exit code, what it prints and what it leaves on the disk. */
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pipeline } from '../api/index.ts';
import { conformanceDirectory } from '../conformance/read-case.ts';
import { createMemorySource } from '../runtime/checkpoint/byte-source.ts';
import { parseLedConfig } from '../runtime/checkpoint/parse-led-config.ts';
import { openSafetensors } from '../runtime/checkpoint/safetensors.ts';
import { writeSafetensors } from '../runtime/checkpoint/safetensors-writer.ts';
import { expectedTensors } from '../runtime/checkpoint/tensor-names.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'longformer-generate-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const models = join(conformanceDirectory(), 'models');
const inputs = join(temporary, 'in.safetensors');
const outputs = join(temporary, 'out.safetensors');

function run(command: string, args: readonly string[], input = ''): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [main, command, ...args], { encoding: 'utf8', input });
}

describe('generate', () => {
  beforeAll(() => {
    const tensor = (data: number[]): { dtype: string; shape: number[]; data: Int32Array } => ({
      dtype: 'I64',
      shape: [2, 6],
      data: Int32Array.from(data),
    });
    const tensors = [
      { name: 'input_ids', ...tensor([0, 5, 6, 7, 8, 2, 0, 9, 10, 2, 1, 1]) },
      { name: 'attention_mask', ...tensor([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]) },
    ];
    writeFileSync(inputs, writeSafetensors(tensors));
  });
  const generate = (...more: string[]): SpawnSyncReturns<string> =>
    run('generate', ['--model', join(models, 'led-lm'), '--inputs', inputs, '--outputs', outputs, ...more]);
  const written = async (): Promise<Record<string, { shape: readonly number[]; data: number[] }>> => {
    const file = await openSafetensors(createMemorySource(new Uint8Array(readFileSync(outputs))));
    const sequences = await file.integers('sequences');
    const scores = file.tensors.has('sequences_scores') ? await file.floats('sequences_scores') : undefined;
    const plain = (tensor: { shape: readonly number[]; data: ArrayLike<number> }) => ({
      shape: tensor.shape,
      data: Array.from(tensor.data),
    });
    return { sequences: plain(sequences), ...(scores && { scores: plain(scores) }) };
  };

  it('beams: sequences with their scores, the same on every backend', async () => {
    const flags = ['--num-beams', '3', '--max-length', '9', '--min-length', '9', '--num-return-sequences', '2'];
    expect(generate(...flags)).toMatchObject({ status: 0, stderr: '' });
    const { sequences, scores } = await written();
    expect(sequences!.shape).toEqual([4, 9]);
    expect(scores!.shape).toEqual([4]);
    expect(generate(...flags, '--threads', '2').status).toBe(0);
    expect(await written()).toEqual({ sequences, scores });
    expect(generate(...flags, '--backend', 'reference').status).toBe(0);
    const exact = await written();
    expect(exact.sequences).toEqual(sequences);
    for (const [i, score] of exact.scores!.data.entries()) expect(scores!.data[i]).toBeCloseTo(score, 4);
  });

  it('greedy: no scores; drawn: the same with the same seed', async () => {
    expect(generate('--max-new-tokens', '4', '--json').status).toBe(0);
    expect(Object.keys(await written())).toEqual(['sequences']);
    const drawn = [
      '--do-sample',
      '--seed',
      '7',
      '--num-return-sequences',
      '3',
      '--max-new-tokens',
      '6',
      '--top-k',
      '9',
    ];
    generate(...drawn);
    const first = await written();
    expect(first.sequences!.shape[0]).toBe(6);
    generate(...drawn);
    expect(await written()).toEqual(first);
  });

  it.each([
    [
      ['--num-beams', '2', '--num-return-sequences', '3'],
      1,
      'E_RANGE: generate: "numReturnSequences" expected at most',
    ],
    [['--max-length', '99'], 1, 'E_RANGE: generate: "maxLength" expected at most 25'],
    [['--num-beams', 'four'], 2, "error: option '--num-beams <count>' argument 'four' is invalid. Not a number."],
    [['--early-stopping', 'soon'], 2, "error: option '--early-stopping <when>' argument 'soon' is invalid."],
    [['--backend', 'abacus'], 1, 'E_UNSUPPORTED: createDevice: "device" expected one of'],
    [['--model', join(models, 'encoder-2-layers')], 1, 'E_UNSUPPORTED: parseConfig: "model_type" expected "led"'],
  ] as const)('%s is refused, and nothing is written', (flags, status, message) => {
    rmSync(outputs, { force: true });
    const result = generate(...flags);
    expect(result.status).toBe(status);
    expect(result.stderr).toContain(message);
    expect(readdirSync(temporary).filter(name => name.startsWith('out'))).toEqual([]);
  });
});

/** An LED of a few numbers that says something, if no sense: its vocabulary is that of a real tokenizer. */
function writeTalker(directory: string, size = 8): void {
  const tokenizer = join(models, 'tokenizer-small', 'tokenizer.json');
  copyFileSync(tokenizer, join(directory, 'tokenizer.json'));
  const { vocab } = (JSON.parse(readFileSync(tokenizer, 'utf8')) as { model: { vocab: object } }).model;
  const config = {
    model_type: 'led',
    architectures: ['LEDForConditionalGeneration'],
    vocab_size: Object.keys(vocab).length,
    d_model: size,
    encoder_layers: 1,
    decoder_layers: 1,
    encoder_attention_heads: 2,
    decoder_attention_heads: 2,
    encoder_ffn_dim: 8,
    decoder_ffn_dim: 8,
    max_encoder_position_embeddings: 64,
    max_decoder_position_embeddings: 64,
    attention_window: 4,
    max_length: 12,
  };
  let state = 1;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const tensors = expectedTensors(parseLedConfig(JSON.stringify(config))).map(({ name, shape }) => {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 2 * random());
    return { name, shape, dtype: 'F32', data };
  });
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  writeFileSync(join(directory, 'model.safetensors'), writeSafetensors(tensors));
}

describe('summarize', () => {
  const model = mkdtempSync(join(tmpdir(), 'longformer-talker-'));
  afterAll(() => rmSync(model, { recursive: true }));
  beforeAll(() => writeTalker(model));
  const summarize = (input: string, ...flags: string[]): SpawnSyncReturns<string> =>
    run('summarize', ['--model', model, ...flags], input);

  it('prints as it writes what it prints at the end; settings are those of the checkpoint', async () => {
    const greedy = summarize('one two three');
    expect(greedy).toMatchObject({ status: 0, stderr: '' });
    const json = JSON.parse(summarize('one two three', '--json').stdout) as { texts: string[] };
    expect(greedy.stdout).toBe(`${json.texts[0]}\n`);
    await using task = await pipeline('summarization', model);
    expect(await task('one two three')).toEqual([{ summary_text: json.texts[0] }]);
    expect(await task(['one two three', 'four'])).toHaveLength(2);
    const [written] = await task('one two three', { maxNewTokens: 3 });
    expect(json.texts[0]!.startsWith(written!.summary_text.replace(/\ufffd+$/, ''))).toBe(true);
    await using general = await pipeline('text2text-generation', model);
    expect(await general('one two three')).toEqual([{ generated_text: json.texts[0] }]);
    const several = await general(['one'], { numBeams: 3, numReturnSequences: 2 });
    expect(several).toMatchObject([[{ generated_text: expect.any(String) }, { generated_text: expect.any(String) }]]);
  });

  it('beams and files', () => {
    const file = join(temporary, 'text.txt');
    writeFileSync(file, 'one two three');
    const result = summarize('', file, '--num-beams', '2', '--num-return-sequences', '2', '--json');
    expect((JSON.parse(result.stdout) as { texts: string[] }).texts).toHaveLength(2);
    expect(summarize('', file, '--num-beams', '2').stdout).toBe(summarize('one two three', '--num-beams', '2').stdout);
  });

  it('a text that is too long is refused, or cut', () => {
    const long = 'one two three '.repeat(40);
    expect(summarize(long).stderr).toMatch(
      /^E_RANGE: writeTexts: "sources\[0\]" expected at most 64 tokens \(max_encoder_position_embeddings\), got \d+\.\n {2}Hint: set truncation/,
    );
    expect(summarize(long, '--truncate').status).toBe(0);
  });

  it('Ctrl-C ends it in the middle of a text', async () => {
    const slow = mkdtempSync(join(temporary, 'slow-'));
    writeTalker(slow, 256); // some tenths of a second for each of 64 tokens, in float64
    const flags = ['--model', slow, '--backend', 'reference', '--max-length', '64', '--min-length', '64'];
    const child = spawn(process.execPath, [main, 'summarize', ...flags], { stdio: 'pipe' });
    const ended = new Promise(resolve => child.once('exit', resolve));
    let stderr = '';
    child.stderr.on('data', chunk => {
      stderr += chunk;
    });
    child.stdin.end('one two three');
    child.stdout.once('data', () => child.kill('SIGINT')); // the first word is there, the others are not
    expect({ code: await ended, stderr }).toEqual({
      code: 130,
      stderr: 'E_ABORTED: summarize: "signal" expected to finish, got Ctrl-C.\n',
    });
  });

  it('a file that is not there', () => {
    expect(summarize('', join(temporary, 'nothing.txt'))).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('E_IO: summarize:'),
    });
    expect(existsSync(outputs)).toBe(false);
  });
});
