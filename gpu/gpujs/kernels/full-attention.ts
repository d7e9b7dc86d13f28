/** fullAttention and its probabilities: a decoder over its own cache, or over packed documents. */
import type { FullPattern } from '../../../contract/kernels.ts';
import type { Device, Store } from '../device.ts';
import type { Indices, Sequence } from '../handles.ts';
import { type AttentionKeys, attend, probabilities } from './attention.ts';
import { cacheKeys, documentKeys } from './keys.ts';

export interface FullCall {
  readonly query: Store;
  readonly key: Store;
  readonly sequence: Sequence | null;
  readonly groupDocuments: Indices | null;
  readonly pattern: FullPattern;
}

function keysOf({ query, sequence, groupDocuments, pattern }: FullCall, columns: number): AttentionKeys {
  const { groups, keyCount, causal } = pattern;
  const numbers = [groups, query.rows / groups];
  if (!sequence) return { source: cacheKeys, values: [...numbers, keyCount, Number(causal)], columns };
  const tables = [sequence.tokens, sequence.documents, groupDocuments!.store];
  return { source: documentKeys, values: [...tables, ...numbers, Number(causal)], columns };
}

/** (n * groups, C), in chunks of rows, to `put`. */
export function fullAttention(
  device: Device,
  call: FullCall & { readonly value: Store },
  put: (result: Store, firstRow: number) => void,
): void {
  const { query, key, value, sequence, pattern } = call;
  const keys = keysOf(call, sequence?.longestDocument ?? pattern.keyCount);
  attend(device, { query, key, value, keys, heads: pattern.heads, slots: query.rows }, put);
}

/** (heads * n, keys) of one group; `columns`: how many keys it has. */
export function fullProbabilities(device: Device, call: FullCall, group: number, columns: number): Store {
  const { query, key, pattern } = call;
  const { heads, groups } = pattern;
  const keys = keysOf(call, columns);
  return probabilities(device, { query, key, keys, heads, first: group, step: groups, slots: query.rows / groups });
}
