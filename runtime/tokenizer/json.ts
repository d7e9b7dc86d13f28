/** Small readers for the tokenizer's JSON files: every complaint names the field. Prototypes are never consulted. */
import { type Complaint, TokenizerError } from '../../contract/index.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

/** Longest tokenizer file, in characters: several times the largest vocabulary in use. */
const maxFileCharacters = 64 * 1024 * 1024;

export function complain(complaint: Omit<Complaint, 'where'>): never {
  throw new TokenizerError({ where: 'loadTokenizer', ...complaint });
}

/** A short word for a value, for messages; never the value of a large one. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? value.slice(0, 40) + '…' : value);
  return String(value);
}

/** @throws TokenizerError when the text is too long, no JSON, or no object. */
export function parseJsonObject(file: string, text: string): JsonObject {
  if (text.length > maxFileCharacters) {
    complain({ name: file, expected: `at most ${maxFileCharacters} characters`, got: String(text.length) });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    complain({ name: file, expected: 'JSON', got: 'a syntax error', cause });
  }
  return asObject(file, value);
}

export function asObject(name: string, value: unknown): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  return complain({ name, expected: 'an object', got: describe(value) });
}

export function asArray(name: string, value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : complain({ name, expected: 'an array', got: describe(value) });
}

/** Own field, or undefined: a file cannot reach `constructor` or `__proto__`. */
export function field(object: JsonObject, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/** A boolean field; `fallback` when it is absent or null. */
export function booleanField(name: string, object: JsonObject, key: string, fallback: boolean): boolean {
  const value = field(object, key) ?? fallback;
  if (typeof value === 'boolean') return value;
  return complain({ name: `${name}.${key}`, expected: 'true or false', got: describe(value) });
}

/** A text without lone surrogates that is not empty. */
export function asToken(name: string, value: unknown): string {
  if (typeof value === 'string' && value !== '' && !/\p{Surrogate}/u.test(value)) return value;
  return complain({ name, expected: 'a string that is not empty', got: describe(value) });
}

/** Highest id there may be: tables are made by id, so a single large one would cost memory. */
const maxId = 2 ** 24 - 1;

export function asId(name: string, value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxId) return value;
  return complain({ name, expected: `an integer in 0..${maxId}`, got: describe(value) });
}
