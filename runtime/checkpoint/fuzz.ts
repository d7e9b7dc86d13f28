/**
 * Throws damaged headers, configs and PyTorch files at the parsers that read other people's files: `npm run fuzz -- --count N --seed S`.
 *
 * Anything but acceptance or a typed error is a fault, and so is an accepted header that JSON.parse reads differently.
 * The same seed gives the same inputs; a fault prints the input.
 */
import { LongformerError } from '../../contract/errors.ts';
import { hostileFiles, safetensorsFile } from './hostile-files.ts';
import { mutate, randomNumbers } from './mutate.ts';
import { parseConfig } from './parse-config.ts';
import { fuzzPytorch } from './pytorch/fuzz-pytorch.ts';
import { parseHeaderLength, parseSafetensorsHeader } from './safetensors.ts';

export interface FuzzResult {
  readonly inputs: number;
  /** How often each verdict was given: `safetensors accepted`, `safetensors InvalidOffset`, `config E_CONFIG`, …. */
  readonly verdicts: ReadonlyMap<string, number>;
}

/** Text that parsers trip over. */
const tokens = [
  ...[
    '{',
    '}',
    '[',
    ']',
    '"',
    ':',
    ',',
    '\\',
    '\\u0000',
    '\\ud800',
    '\u0000',
    '\ufeff',
    ' ',
    '\n',
    'null',
    'true',
    '""',
    '[]',
    '{}',
  ],
  ...[
    '0',
    '-0',
    '-1',
    '1.0',
    '1e0',
    '1e400',
    '00',
    '2',
    '511',
    '4294967296',
    '9007199254740993',
    '18446744073709551616',
  ],
  ...[
    '"__proto__"',
    '"constructor"',
    '"__metadata__"',
    '"dtype":"F32",',
    '"shape":[],',
    '"data_offsets":[0,0],',
    '"U8"',
    '"F4"',
  ],
  ...[
    '"attention_window":',
    '"attention_dilation":',
    '"id2label":',
    '"num_labels":',
    '"architectures":',
    '[[1,1],[1,1]]',
  ],
].map(token => new TextEncoder().encode(token));

/** Whole files: the hostile ones that are small. */
const fileSeeds = hostileFiles.map(({ bytes }) => bytes).filter(bytes => bytes.length < 1000);

/** Headers of good files, and the bytes of data each needs: a few changes to one of these get furthest into the checks. */
const goodHeaders: { header: Uint8Array; data: number }[] = [
  { tensors: [['a', 'F32', [2, 3], 24]], metadata: { format: 'pt' } },
  {
    tensors: [
      ['a', 'F64', [2], 16],
      ['b', 'BF16', [4, 1], 8],
      ['c', 'BOOL', [], 1],
    ],
    metadata: null,
  },
  {
    tensors: [
      ['a', 'U8', [0], 0],
      ['b', 'U8', [3], 3],
      ['c', 'F4', [2], 1],
      ['d', 'I64', [1], 8],
    ],
    metadata: {},
  },
].map(({ tensors, metadata }) => {
  let end = 0;
  const entries = (tensors as [string, string, number[], number][]).map(([name, dtype, shape, bytes]) => {
    end += bytes;
    return [name, { dtype, shape, data_offsets: [end - bytes, end] }];
  });
  const json = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) });
  return { header: new TextEncoder().encode(json), data: end };
});
const headerSeeds = goodHeaders.map(({ header }) => header);

const configSeeds = [
  {},
  { attention_window: [4, 8], num_hidden_layers: 2, hidden_act: 'gelu_new', architectures: ['LongformerForMaskedLM'] },
  {
    attention_dilation: [[1, 2], 3],
    num_hidden_layers: 2,
    num_attention_heads: 2,
    autoregressive: true,
    hidden_size: 8,
  },
  {
    id2label: { 0: 'a', 1: 'b' },
    num_labels: 2,
    architectures: ['LongformerForQuestionAnswering'],
    layer_norm_eps: 1e-5,
  },
  { vocab_size: 9, pad_token_id: 1, bos_token_id: 0, eos_token_id: 2, sep_token_id: 2, max_position_embeddings: 40 },
].map(fields => new TextEncoder().encode(JSON.stringify({ model_type: 'longformer', ...fields })));

/** Verdict on a safetensors file. @throws whatever is not a typed error, and Error when an accepted header is not what JSON says. */
export function judgeHeader(file: Uint8Array): string {
  try {
    const length = parseHeaderLength(file.subarray(0, 8), file.length, {});
    const header = file.subarray(8, 8 + length);
    const { tensors } = parseSafetensorsHeader(header, file.length - 8 - length);
    expectSameAsJson(header, tensors);
    return 'accepted';
  } catch (error) {
    if (error instanceof LongformerError) return (error as { reason?: string }).reason!;
    throw error;
  }
}

function expectSameAsJson(header: Uint8Array, tensors: ReturnType<typeof parseSafetensorsHeader>['tensors']): void {
  const json = new Map(Object.entries(JSON.parse(new TextDecoder().decode(header)) as object));
  json.delete('__metadata__');
  const same = [...tensors.values()].every(({ name, dtype, shape, byteLength }) => {
    const entry = json.get(name) as { dtype: string; shape: number[]; data_offsets: [number, number] };
    const [begin, end] = entry.data_offsets;
    return entry.dtype === dtype && entry.shape.join() === shape.join() && end - begin === byteLength;
  });
  if (!same || json.size !== tensors.size) throw new Error('JSON.parse reads this header differently');
}

/** Verdict on a config.json. @throws whatever is not a typed error, and Error when an accepted config has wrong lengths. */
export function judgeConfig(text: string): string {
  try {
    const { oneSidedWindow, dilation, layers, heads, labels, labelNames } = parseConfig(text);
    const whole = oneSidedWindow.every(keys => Number.isInteger(keys) && keys > 0);
    const square = dilation.every(each => each.length === heads);
    if (
      !whole ||
      !square ||
      oneSidedWindow.length !== layers ||
      dilation.length !== layers ||
      labelNames.length !== labels
    ) {
      throw new Error('an accepted config contradicts itself');
    }
    return 'accepted';
  } catch (error) {
    if (error instanceof LongformerError) return error.code;
    throw error;
  }
}

/** @throws the first fault, with the input as its message and the fault as its cause. */
export function fuzz(count: number, seed: number): FuzzResult {
  const random = randomNumbers(seed);
  const verdicts = new Map<string, number>();
  const pick = <Item>(items: readonly Item[]): Item => items[random(items.length)]!;
  const damagedHeader = (): Uint8Array => {
    const { header, data } = pick(goodHeaders);
    return safetensorsFile(mutate(header, headerSeeds, tokens, random), data + (random(8) === 0 ? random(3) : 0));
  };
  for (let input = 0; input < count; input++) {
    const kind = random(4);
    const isConfig = kind === 0;
    const bytes =
      kind === 0
        ? mutate(pick(configSeeds), configSeeds, tokens, random)
        : kind === 1
          ? mutate(pick(fileSeeds), fileSeeds, tokens, random)
          : damagedHeader();
    try {
      const verdict = isConfig
        ? `config ${judgeConfig(new TextDecoder().decode(bytes))}`
        : `safetensors ${judgeHeader(bytes)}`;
      verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    } catch (cause) {
      const shown = JSON.stringify(String.fromCharCode(...bytes));
      throw new Error(`seed ${seed}, input ${input}, ${isConfig ? 'config' : 'safetensors'}: ${shown}`, { cause });
    }
  }
  return { inputs: count, verdicts };
}

if (import.meta.main) {
  const option = (name: string, absent: number): number => {
    const at = process.argv.indexOf(name);
    return at < 0 ? absent : Number(process.argv[at + 1]);
  };
  const count = option('--count', 1_000_000);
  const seed = option('--seed', 1);
  const begin = performance.now();
  // A quarter of the inputs are PyTorch files, which take longer.
  const pytorch = Math.floor(count / 4);
  const { verdicts: others } = fuzz(count - pytorch, seed);
  const verdicts = new Map([...others, ...(await fuzzPytorch(pytorch, seed)).verdicts]);
  const seconds = (performance.now() - begin) / 1000;
  for (const [verdict, times] of [...verdicts].sort(([, a], [, b]) => b - a)) {
    console.log(`${String(times).padStart(10)}  ${verdict}`);
  }
  console.log(`${count} inputs, seed ${seed}, ${seconds.toFixed(1)} s, only typed errors`);
}
