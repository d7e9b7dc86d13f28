/** The commands from outside: a process, its exit code, its stderr, and what it leaves on the disk. */
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { conformanceDirectory, readCase, readManifest } from '../conformance/read-case.ts';
import { createMemorySource } from '../runtime/checkpoint/byte-source.ts';
import { openSafetensors } from '../runtime/checkpoint/safetensors.ts';
import { writeSafetensors } from '../runtime/checkpoint/safetensors-writer.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'longformer-test-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const model = join(conformanceDirectory(), 'models', 'encoder-2-layers');
const outputs = join(temporary, 'out.safetensors');

type Inputs = Record<string, { dtype: string; shape: number[]; data: Int32Array | Float64Array }>;
const rows = (...values: number[][]): Inputs[string] => ({
  dtype: 'I64',
  shape: [values.length, values[0]!.length],
  data: Int32Array.from(values.flat()),
});

function writeInputs(inputs: Inputs): string {
  const path = join(temporary, 'in.safetensors');
  writeFileSync(path, writeSafetensors(Object.entries(inputs).map(([name, tensor]) => ({ name, ...tensor }))));
  return path;
}

function forward(inputs: Inputs, ...more: string[]): { status: number | null; stdout: string; stderr: string } {
  const line = ['forward', '--inputs', writeInputs(inputs), '--outputs', outputs, ...more];
  const withModel = more.includes('--model') ? line : [...line, '--model', model];
  return spawnSync(process.execPath, [main, ...withModel], { encoding: 'utf8' });
}

/** Nothing of an output file, finished or not. */
const leftovers = (): string[] => readdirSync(temporary).filter(name => name.startsWith('out'));

describe('forward', () => {
  const inputs = { input_ids: rows([0, 5, 6, 7, 2], [0, 8, 9, 10, 2]) };

  it('writes what Hugging Face gives, all of it', async () => {
    const directory = conformanceDirectory();
    const testCase = await readCase(directory, 'encoder/global-different', await readManifest(directory));
    const batch = Object.entries(testCase.batchInputs()).map(([name, tensor]) => [name, { dtype: 'I64', ...tensor }]);
    const { status, stderr } = forward(Object.fromEntries(batch), '--want', 'all');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const file = await openSafetensors(createMemorySource(new Uint8Array(readFileSync(outputs))));
    expect([...file.tensors.keys()].sort()).toEqual([...testCase.expected.keys()].sort());
    for (const [name, { tensor }] of testCase.expected) {
      const { shape, data } = await file.floats(name);
      expect(shape).toEqual(tensor.shape);
      expect(Math.max(...data.map((value, i) => Math.abs(value - tensor.data[i]!)))).toBeLessThan(1e-12);
    }
    rmSync(outputs);
  });

  it('writes float32 when asked, and JSON', async () => {
    const { status, stdout } = forward(inputs, '--precision', 'float32', '--json');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ outputs });
    const file = await openSafetensors(createMemorySource(new Uint8Array(readFileSync(outputs))));
    expect([...file.tensors.values()].map(({ name, dtype }) => [name, dtype])).toEqual([
      ['last_hidden_state', 'F32'],
      ['pooler_output', 'F32'],
    ]);
    rmSync(outputs);
  });

  const five = [0, 5, 6, 7, 2];
  it.each<[string, Inputs, string]>([
    [
      'an id beyond the vocabulary',
      { input_ids: rows([0, 99]) },
      'E_RANGE: longformer.forward: "inputIds[1]" expected 0..31, got 99.',
    ],
    [
      'a mask of another shape',
      { input_ids: rows(five), attention_mask: rows([1, 1]) },
      'E_SHAPE: longformer.forward: "attention_mask" expected shape (1, 5), got (1, 2).',
    ],
    [
      'a mask of 2',
      { input_ids: rows(five), attention_mask: rows([1, 1, 2, 1, 1]) },
      'E_RANGE: longformer.forward: "attentionMask[2]" expected 0..1, got 2.\n  Hint: global attention has a mask of its own, globalAttentionMask.',
    ],
    [
      'a global mask of -2',
      { input_ids: rows(five), global_attention_mask: rows([-2, 0, 0, 0, 0]) },
      'E_RANGE: longformer.forward: "globalAttentionMask[0]" expected -1..1, got -2.\n  Hint: 1 = global, 0 = local, -1 = masked.',
    ],
    [
      'too many tokens',
      { input_ids: rows(new Array(47).fill(5)) },
      'E_SHAPE: longformer.forward: "inputIds" expected at most 46 tokens (max_position_embeddings - pad_token_id - 1), got 47.\n  Hint: truncate the document, split it, or use a checkpoint with a larger position table.',
    ],
    [
      'no tokens',
      { attention_mask: rows(five) },
      'E_RANGE: longformer.forward: "input_ids" expected exactly one of input_ids and inputs_embeds, got neither.',
    ],
    [
      'a tensor nobody knows',
      { input_ids: rows(five), labels: rows(five) },
      'E_RANGE: forward: "--inputs" expected tensors named input_ids, attention_mask, global_attention_mask, token_type_ids, position_ids, inputs_embeds, got labels.',
    ],
    [
      'NaN among the embeddings',
      { inputs_embeds: { dtype: 'F64', shape: [1, 1, 16], data: new Float64Array(16).fill(Number.NaN) } },
      'E_CHECKPOINT NotFinite: ',
    ],
  ])('refuses %s', (_, bad, message) => {
    const { status, stderr } = forward(bad);
    expect({ status, stderr: stderr.slice(0, message.length), leftovers: leftovers() }).toEqual({
      status: 1,
      stderr: message,
      leftovers: [],
    });
    expect(stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(2); // a sentence and a hint, no stack
  });

  /** A copy of the model with one tensor changed or left out. */
  async function harmedModel(change: (name: string, data: Float32Array) => boolean): Promise<string> {
    const folder = mkdtempSync(join(temporary, 'model-'));
    cpSync(model, folder, { recursive: true });
    const path = join(folder, 'model.safetensors');
    const file = await openSafetensors(createMemorySource(new Uint8Array(readFileSync(path))));
    const tensors = [];
    for (const { name, shape, dtype } of file.tensors.values()) {
      const { data } = await file.floats(name);
      if (change(name, data as Float32Array)) tensors.push({ name, shape, dtype, data });
    }
    writeFileSync(path, writeSafetensors(tensors));
    return folder;
  }

  it('refuses NaN weights', async () => {
    const harmed = await harmedModel((name, data) => {
      if (name.endsWith('layer.1.output.dense.bias')) data[7] = Number.NaN;
      return true;
    });
    const { status, stderr } = forward(inputs, '--model', harmed);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^E_CHECKPOINT NotFinite: .*encoder\.layer\.1\.output\.dense\.bias.*NaN/);
    expect(leftovers()).toEqual([]);
  });

  it('refuses a checkpoint with a tensor missing, naming it', async () => {
    const harmed = await harmedModel(name => !name.endsWith('layer.0.attention.self.key_global.weight'));
    const { status, stderr } = forward(inputs, '--model', harmed);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^E_CHECKPOINT.*encoder\.layer\.0\.attention\.self\.key_global\.weight/);
  });

  it('gives the same on wasm, in float32', async () => {
    const read = async (path: string): Promise<Float32Array | Float64Array> => {
      const file = await openSafetensors(createMemorySource(new Uint8Array(readFileSync(path))));
      return (await file.floats('last_hidden_state')).data;
    };
    expect(forward(inputs).status).toBe(0);
    const exact = await read(outputs);
    expect(forward(inputs, '--backend', 'wasm', '--threads', '2', '--precision', 'float32').status).toBe(0);
    const fast = await read(outputs);
    expect(Math.max(...fast.map((value, i) => Math.abs(value - exact[i]!)))).toBeLessThan(1e-5);
    rmSync(outputs);
  });

  it('keeps the old file when it fails', () => {
    writeFileSync(outputs, 'old');
    expect(forward({ input_ids: rows([99]) }).status).toBe(1);
    expect(readFileSync(outputs, 'utf8')).toBe('old');
    rmSync(outputs);
  });

  it.each([
    [['--model', join(temporary, 'nowhere')], 1, 'E_IO'],
    [['--backend', 'quantum'], 1, 'E_UNSUPPORTED'],
    [['--threads', '2'], 1, 'E_UNSUPPORTED'],
    [['--backend', 'wasm', '--threads', '0'], 1, 'E_RANGE'],
    [['--precision', 'float16'], 2, 'error: option'],
    [['--no-such-flag'], 2, 'error: unknown option'],
  ])('%j: exit code %d', (more, code, message) => {
    const { status, stderr } = forward(inputs, ...more);
    expect(status).toBe(code);
    expect(stderr.startsWith(message), stderr).toBe(true);
  });

  it('obeys Ctrl-C in the middle of a layer and leaves nothing behind', async () => {
    const slow = slowModel();
    const inputs = writeInputs({ input_ids: rows(new Array(2000).fill(3)) });
    const child = spawn(process.execPath, [main, 'forward', '--model', slow, '--inputs', inputs, '--outputs', outputs]);
    let stderr = '';
    child.stderr.on('data', chunk => {
      stderr += chunk;
    });
    while (leftovers().length === 0 && child.exitCode === null) await new Promise(resolve => setTimeout(resolve, 20));
    expect(leftovers()[0]).toMatch(/\.partial$/); // it has begun to write
    child.kill('SIGINT');
    const code = await new Promise(resolve => child.on('exit', resolve));
    expect({ code, stderr: stderr.slice(0, 18) }).toEqual({ code: 130, stderr: 'E_ABORTED: forward' });
    expect(leftovers()).toEqual([]);
    expect(existsSync(outputs)).toBe(false);
  });
});

/** Four layers of 512 features: about ten seconds of float64 a layer for 2,000 tokens. */
function slowModel(): string {
  const folder = mkdtempSync(join(temporary, 'slow-'));
  const [layers, size, wide] = [4, 512, 2048];
  const config = {
    model_type: 'longformer',
    architectures: ['LongformerModel'],
    vocab_size: 4,
    hidden_size: size,
    num_hidden_layers: layers,
    num_attention_heads: 8,
    intermediate_size: wide,
    max_position_embeddings: 2002,
    type_vocab_size: 1,
    attention_window: 32,
    pad_token_id: 1,
    layer_norm_eps: 1e-5,
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const tensors: { name: string; dtype: string; shape: number[]; data: Float32Array }[] = [];
  const put = (name: string, ...shape: number[]): void => {
    const data = new Float32Array(shape.reduce((product, extent) => product * extent, 1)).fill(0.01);
    tensors.push({ name, dtype: 'F32', shape, data });
  };
  const pair = (name: string, out: number, ...rest: number[]): void => {
    put(`${name}.weight`, out, ...rest);
    put(`${name}.bias`, out);
  };
  put('embeddings.word_embeddings.weight', 4, size);
  put('embeddings.position_embeddings.weight', 2002, size);
  put('embeddings.token_type_embeddings.weight', 1, size);
  pair('embeddings.LayerNorm', size);
  for (let layer = 0; layer < layers; layer++) {
    const name = `encoder.layer.${layer}`;
    for (const part of ['query', 'key', 'value', 'query_global', 'key_global', 'value_global'])
      pair(`${name}.attention.self.${part}`, size, size);
    pair(`${name}.attention.output.dense`, size, size);
    pair(`${name}.attention.output.LayerNorm`, size);
    pair(`${name}.intermediate.dense`, wide, size);
    pair(`${name}.output.dense`, size, wide);
    pair(`${name}.output.LayerNorm`, size);
  }
  writeFileSync(join(folder, 'model.safetensors'), writeSafetensors(tensors));
  return folder;
}

describe('the other commands', () => {
  const run = (...line: string[]): ReturnType<typeof spawnSync> =>
    spawnSync(process.execPath, [main, ...line], { encoding: 'utf8' });

  it.each([
    ['--help'],
    ['forward', '--help'],
    ['inspect', '--help'],
    ['tokenize', '--help'],
    ['conformance', '--help'],
    ['draw', '--help'],
    ['bench', '--help'],
  ])('%s %s explains itself', (...line) => {
    const { status, stdout } = run(...line);
    expect(status).toBe(0);
    expect(stdout).toContain('Usage: longformer');
  });

  it('conformance prints a report that machines can read', () => {
    const { status, stdout } = run('conformance', '--backend', 'reference', '--only', 'layer', '--json');
    expect(status).toBe(0);
    expect(JSON.parse(String(stdout))).toMatchObject({ format: 1, failed: 0, skipped: 0, run: 9 });
  });

  it('bench prints figures that machines can read', () => {
    const { status, stdout, stderr } = run('bench', '--model', model, '--tokens', '5,40', '--runs', '2', '--json');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const { backend, timings } = JSON.parse(String(stdout));
    expect(backend).toMatch(/^wasm/);
    expect(
      timings.map(({ tokens, seconds }: { tokens: number; seconds: number[] }) => [tokens, seconds.length]),
    ).toEqual([
      [5, 2],
      [40, 2],
    ]);
  });

  it('bench refuses lengths the model cannot take', () => {
    const { status, stderr } = run('bench', '--model', model, '--tokens', '47');
    expect([status, stderr]).toEqual([1, 'E_RANGE: bench: "--tokens[0]" expected 1..46, got 47.\n']);
  });

  it('conformance without a case that matches is an error', () => {
    const { status, stderr } = run('conformance', '--only', 'nothing');
    expect([status, stderr]).toEqual([1, 'E_RANGE: conformance: "--only" expected to match a case, got nothing.\n']);
  });
});
