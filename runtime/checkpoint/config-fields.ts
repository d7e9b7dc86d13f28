/**
 * The fields that the configs of Longformer and LED have in common, each read from a config.json and checked.
 *
 * Read next: parse-config.ts. Source: HF PreTrainedConfig, ACT2FN.
 */
import type { Activation } from '../../contract/config.ts';
import { ConfigError, UnsupportedError } from '../../contract/errors.ts';
import { describe, type JsonObject } from './json-fields.ts';

const where = 'parseConfig';

/** Bounds that no real model comes near, so that no number of a file decides how much memory is taken. */
export const most = {
  layers: 1024,
  heads: 1024,
  size: 2 ** 24,
  rows: 2 ** 31 - 1,
  labels: 100_000,
  window: 2 ** 21,
  dilation: 2 ** 20,
};

/**
 * Names of ACT2FN with the same formula. All the tanh approximations differ in rounding only; gelu_fast writes sqrt(2/π) with
 * 10 digits (relative difference below 4e-12).
 */
const activationOfName = new Map<string, Activation>([
  ['gelu', 'gelu'],
  ['gelu_python', 'gelu'],
  ['gelu_new', 'geluTanh'],
  ['gelu_fast', 'geluTanh'],
  ['gelu_accurate', 'geluTanh'],
  ['gelu_pytorch_tanh', 'geluTanh'],
  ['gelu_python_tanh', 'geluTanh'],
  ['quick_gelu', 'quickGelu'],
  ['relu', 'relu'],
  ['relu2', 'relu2'],
  ['relu6', 'relu6'],
  ['silu', 'silu'],
  ['swish', 'silu'],
  ['mish', 'mish'],
  ['tanh', 'tanh'],
  ['sigmoid', 'sigmoid'],
  ['linear', 'linear'],
]);

/** The first class name of `architectures` as a head; 'none' without one. */
export function headOf<Head extends string>(json: JsonObject, heads: ReadonlyMap<string, Head>): Head | 'none' {
  const architectures = json.get('architectures') ?? [];
  if (!Array.isArray(architectures)) return fail('architectures', 'a list of class names', describe(architectures));
  const [architecture] = architectures;
  if (architecture === undefined) return 'none';
  const head = heads.get(architecture);
  if (head !== undefined) return head;
  const names = [...heads.keys()].join(', ');
  const hint = 'read it as another class with the option `head`.';
  return unsupported('architectures[0]', `one of ${names}`, architecture, hint);
}

export function activationOf(json: JsonObject, key: string): Activation {
  const name = json.get(key) ?? 'gelu';
  if (typeof name !== 'string') return fail(key, 'the name of an activation', describe(name));
  const names = [...activationOfName.keys()].join(', ');
  return activationOfName.get(name) ?? unsupported(key, `one of ${names}`, name);
}

/** The field, or its default when the key is absent. Subtle: null is not absent; HF would fail on it later. */
export function integer(json: JsonObject, key: string, absent: number, lowest: number, highest: number): number {
  const value = json.has(key) ? json.get(key) : absent;
  if (typeof value === 'number' && Number.isInteger(value) && value >= lowest && value <= highest) return value;
  return fail(key, `an integer in ${lowest}..${highest}`, describe(value));
}

/** How many of something there are, and the key of config.json that says so. */
export interface Count {
  readonly key: string;
  readonly value: number;
}

/** (L) Both sides, as in the file. */
export function attentionWindowOf(json: JsonObject, layers: Count): number[] {
  const expectEven = (name: string, value: unknown): number => {
    const even = typeof value === 'number' && Number.isInteger(value) && value % 2 === 0;
    if (even && value >= 2 && value <= most.window) return value;
    const hint =
      typeof value === 'number' && value > 2 && value % 2 === 1
        ? `HF counts both sides; a window of ${value >> 1} on each side is written ${2 * (value >> 1)}.`
        : undefined;
    const expected = even && value > most.window ? `at most ${most.window}` : 'an even number >= 2';
    return fail(name, expected, describe(value), hint);
  };
  const value = json.get('attention_window') ?? 512;
  if (!Array.isArray(value)) return new Array<number>(layers.value).fill(expectEven('attention_window', value));
  expectOnePerLayer('attention_window', value, layers);
  return value.map((one, layer) => expectEven(`attention_window[${layer}]`, one));
}

/** (L)(H) One number for all, one per layer, or one per layer and head. */
export function dilationOf(json: JsonObject, layers: Count, heads: Count): number[][] {
  const expectPositive = (name: string, value: unknown): number => {
    const integer = typeof value === 'number' && Number.isInteger(value);
    if (integer && value >= 1 && value <= most.dilation) return value;
    return fail(name, `an integer in 1..${most.dilation}`, describe(value), 'a dilation of 1 means no gaps.');
  };
  const allHeads = (name: string, value: unknown): number[] =>
    new Array<number>(heads.value).fill(expectPositive(name, value));
  const value = json.get('attention_dilation') ?? 1;
  if (!Array.isArray(value)) return Array.from({ length: layers.value }, () => allHeads('attention_dilation', value));
  expectOnePerLayer('attention_dilation', value, layers);
  return value.map((one: unknown, layer) => {
    const name = `attention_dilation[${layer}]`;
    if (!Array.isArray(one)) return allHeads(name, one);
    if (one.length !== heads.value) {
      fail(name, `${heads.value} items, one per head (${heads.key})`, String(one.length));
    }
    return one.map((each, head) => expectPositive(`${name}[${head}]`, each));
  });
}

function expectOnePerLayer(name: string, list: readonly unknown[], layers: Count): void {
  if (list.length === layers.value) return;
  fail(name, `${layers.value} items, one per layer (${layers.key})`, String(list.length));
}

export function booleanOf(json: JsonObject, key: string, absent: boolean): boolean {
  const value = json.get(key) ?? absent;
  return typeof value === 'boolean' ? value : fail(key, 'true or false', describe(value));
}

/** Label names by id. HF: the size of id2label is the number of labels; without it num_labels, or 2, with names LABEL_0, …. */
export function labelNamesOf(json: JsonObject): string[] {
  const names = json.get('id2label') ?? undefined;
  const count = json.get('num_labels') === null ? 2 : integer(json, 'num_labels', 2, 1, most.labels);
  if (names === undefined) return Array.from({ length: count }, (_, id) => `LABEL_${id}`);
  if (typeof names !== 'object' || Array.isArray(names)) return fail('id2label', 'an object', describe(names));
  // A Map: names like __proto__ are only names.
  const byId = new Map<string, unknown>(Object.entries(names as object));
  if (byId.size < 1 || byId.size > most.labels) fail('id2label', `1..${most.labels} labels`, String(byId.size));
  if (json.has('num_labels') && json.get('num_labels') !== null && count !== byId.size) {
    fail('num_labels', `${byId.size}, the size of id2label`, String(count), 'remove one of the two.');
  }
  return Array.from({ length: byId.size }, (_, id) => {
    const name = byId.get(String(id));
    return typeof name === 'string' ? name : fail(`id2label[${id}]`, 'a label name', describe(name));
  });
}

export function fail(name: string, expected: string, got: string, hint?: string, cause?: unknown): never {
  throw new ConfigError({ where, name, expected, got, hint, cause });
}

export function unsupported(name: string, expected: string, value: unknown, hint?: string): never {
  throw new UnsupportedError({ where, name, expected, got: describe(value), hint });
}
