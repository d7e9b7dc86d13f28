/**
 * Reading small JSON files that somebody else wrote: size first, one object, fields by Map.
 */
import { ConfigError } from '../../contract/errors.ts';

/** Fields of a JSON object. A Map, so that `__proto__` and `constructor` are keys like any other. */
export type JsonObject = ReadonlyMap<string, unknown>;

/**
 * The fields of a JSON text that must be an object; of two equal keys the last counts, as in Python.
 *
 * Nothing below the first level is walked, so depth costs nothing here.
 * @throws ConfigError
 */
export function parseJsonObject(where: string, text: string, maxBytes: number): JsonObject {
  if (text.length > maxBytes) {
    const got = `${text.length}`;
    throw new ConfigError({ where, name: 'text', expected: `at most ${maxBytes} characters`, got });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const got = (cause as SyntaxError).message;
    throw new ConfigError({ where, name: 'text', expected: 'JSON', got, cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ConfigError({ where, name: 'text', expected: 'a JSON object', got: describe(value) });
  }
  return new Map(Object.entries(value));
}

/**
 * An integer field, or its default when the key is absent. null is not absent.
 *
 * @throws ConfigError unless it is an integer in [lowest, highest].
 */
export function integer(json: JsonObject, key: string, absent: number, lowest: number, highest: number): number {
  const value = json.has(key) ? json.get(key) : absent;
  if (typeof value === 'number' && Number.isInteger(value) && value >= lowest && value <= highest) return value;
  const expected = `an integer in ${lowest}..${highest}`;
  throw new ConfigError({ where: 'parseConfig', name: key, expected, got: describe(value) });
}

/** A JSON value in few words, whatever its size or depth. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'object' && value !== null) return 'an object';
  return String(value);
}
