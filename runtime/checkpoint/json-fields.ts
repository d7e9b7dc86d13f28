/**
 * Reading small JSON files that somebody else wrote: size first, one object, fields by Map.
 */
/** Fields of a JSON object. A Map, so that `__proto__` and `constructor` are keys like any other. */
export type JsonObject = ReadonlyMap<string, unknown>;

/**
 * The fields of a JSON text that must be an object; of two equal keys the last counts, as in Python.
 *
 * Nothing below the first level is walked, so depth costs nothing here.
 * @throws whatever `complain` throws: ConfigError for a config, CheckpointError for an index.
 */
export function parseJsonObject(
  text: string,
  maxLength: number,
  complain: (expected: string, got: string, cause?: unknown) => never,
): JsonObject {
  if (text.length > maxLength) complain(`at most ${maxLength} characters`, String(text.length));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    complain('JSON', 'other text', cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) complain('a JSON object', describe(value));
  return new Map(Object.entries(value as object));
}

/** A JSON value in few words, whatever its size or depth. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'object' && value !== null) return 'an object';
  return String(value);
}
