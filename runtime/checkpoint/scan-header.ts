/**
 * Reads the JSON of a safetensors header: exactly what the format allows, integers exact, every name once.
 *
 * Why not JSON.parse: it rounds 9007199254740993, takes 1.0, 1e0 and -0 for integers, lone surrogates for text, the last of
 * two equal names, and a million levels of nesting. The grammar here is fixed, so nothing recurses:
 *
 *     { "name": { "dtype": text, "shape": [int, …], "data_offsets": [int, int] }, …, "__metadata__": null | { text: text, … } }
 *
 * What the numbers mean is checked afterwards, in safetensors.ts.
 */
import { CheckpointError, type CheckpointReason } from '../../contract/errors.ts';

/** One entry as written, unchecked but for its form. */
export interface ScannedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly bigint[];
  readonly begin: bigint;
  readonly end: bigint;
}

export interface ScannedHeader {
  readonly tensors: ScannedTensor[];
  readonly metadata: Map<string, string>;
}

export interface HeaderLimits {
  readonly maxTensors: number;
  readonly maxRank: number;
}

/** Largest integer the format can hold, and the number of its digits. */
const largestInteger = 2n ** 64n - 1n;
const longestInteger = 20;

/** With the flag u, pairs are one character and do not match. */
const loneSurrogate = /\p{Surrogate}/u;

/**
 * @throws CheckpointError InvalidHeaderDeserialization for anything outside the grammar, DuplicateName, TooManyTensors,
 *   RankTooLarge. Messages name the place as a character offset into the header.
 */
export function scanHeader(text: string, limits: HeaderLimits): ScannedHeader {
  let at = 0;

  const fail = (expected: string, reason: CheckpointReason = 'InvalidHeaderDeserialization'): never => {
    const got = at < text.length ? JSON.stringify(text.slice(at, at + 20)) : 'its end';
    throw new CheckpointError({ where: 'safetensors', name: `header[${at}]`, expected, got, reason });
  };

  const skipSpace = (): void => {
    for (;;) {
      const code = text.charCodeAt(at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      at++;
    }
  };

  /** Skips space, then takes `mark` if it stands there. */
  const take = (mark: string): boolean => {
    skipSpace();
    if (text[at] !== mark) return false;
    at++;
    return true;
  };

  const expect = (mark: string): void => {
    if (!take(mark)) fail(`'${mark}'`);
  };

  const string = (): string => {
    expect('"');
    const begin = at;
    let escaped = false;
    for (;;) {
      const code = text.charCodeAt(at);
      if (code === 0x22) break;
      if (!(code >= 0x20)) fail('a closed string without control characters'); // NaN at the end of the text
      if (code === 0x5c) {
        escaped = true;
        at++;
      }
      at++;
    }
    const raw = text.slice(begin, at);
    at++;
    if (!escaped) return raw;
    try {
      const value = JSON.parse(`"${raw}"`) as string;
      if (!loneSurrogate.test(value)) return value;
    } catch {
      // Reported below, like the lone surrogate.
    }
    at = begin;
    return fail('a string with valid escapes');
  };

  const integer = (): bigint => {
    skipSpace();
    const begin = at;
    for (let code = text.charCodeAt(at); code >= 0x30 && code <= 0x39; code = text.charCodeAt(at)) at++;
    const digits = text.slice(begin, at);
    const next = text[at];
    // Leading zeros, signs, fractions and exponents are not integers; more digits than 2^64 has are not worth converting.
    const proper = digits.length > 0 && digits.length <= longestInteger && (digits === '0' || digits[0] !== '0');
    if (proper && next !== '.' && next !== 'e' && next !== 'E') {
      const value = BigInt(digits);
      if (value <= largestInteger) return value;
    }
    at = begin;
    return fail('an integer in 0..2^64-1');
  };

  /** The items of an array or the members of an object, up to its closing mark. */
  const list = (open: string, close: string, item: () => void): void => {
    expect(open);
    if (take(close)) return;
    do item();
    while (take(','));
    expect(close);
  };

  const integers = (atMost: number, whenMore: () => never): bigint[] => {
    const values: bigint[] = [];
    list('[', ']', () => {
      if (values.length === atMost) whenMore();
      values.push(integer());
    });
    return values;
  };

  const key = (): string => {
    const name = string();
    expect(':');
    return name;
  };

  const tensor = (name: string): ScannedTensor => {
    const begin = at;
    let dtype: string | undefined;
    let shape: bigint[] | undefined;
    let offsets: bigint[] | undefined;
    list('{', '}', () => {
      skipSpace();
      const field = at;
      const label = key();
      if (label === 'dtype' && dtype === undefined) dtype = string();
      else if (label === 'shape' && shape === undefined) {
        shape = integers(limits.maxRank, () => fail(`at most ${limits.maxRank} dimensions`, 'RankTooLarge'));
      } else if (label === 'data_offsets' && offsets === undefined) offsets = integers(2, () => fail('two offsets'));
      else {
        at = field;
        fail('dtype, shape and data_offsets, each once');
      }
    });
    if (dtype === undefined || shape === undefined || offsets?.length !== 2) {
      at = begin;
      return fail('an entry with dtype, shape and two data_offsets');
    }
    return { name, dtype, shape, begin: offsets[0]!, end: offsets[1]! };
  };

  const metadata = new Map<string, string>();
  const readMetadata = (): void => {
    skipSpace();
    if (text.startsWith('null', at)) {
      at += 4;
      return;
    }
    list('{', '}', () => {
      const label = key();
      if (metadata.has(label)) fail(`"${label}" once in __metadata__`, 'DuplicateName');
      metadata.set(label, string());
    });
  };

  const names = new Set<string>();
  const tensors: ScannedTensor[] = [];
  let hasMetadata = false;
  list('{', '}', () => {
    const name = key();
    if (name === '__metadata__') {
      if (hasMetadata) fail('__metadata__ once');
      hasMetadata = true;
      readMetadata();
      return;
    }
    if (names.has(name)) fail(`the name ${JSON.stringify(name)} once`, 'DuplicateName');
    if (names.size === limits.maxTensors) fail(`at most ${limits.maxTensors} tensors`, 'TooManyTensors');
    names.add(name);
    tensors.push(tensor(name));
  });
  skipSpace();
  if (at !== text.length) fail('nothing after the header object');
  return { tensors, metadata };
}
