/** The four steps of attend.ts one after another. */
import { type Argument, briefly, type Device, type Store } from '../device.ts';
import { context, scores, softmax, softmaxMoments, softmaxNumbers } from './attend.ts';
import type { KeySource } from './keys.ts';

/** A source of keys with the values of its arguments. */
export interface AttentionKeys {
  readonly source: KeySource;
  readonly values: readonly Argument[];
  /** Columns of the scores: every key of every query has one. */
  readonly columns: number;
}

export interface ScoresCall {
  readonly query: Store;
  readonly key: Store;
  readonly keys: AttentionKeys;
  readonly heads: number;
  /** Query i of `slots` is row first + i * step. */
  readonly first: number;
  readonly step: number;
  readonly slots: number;
}

/** (heads * slots, columns), row head * slots + i. Masked columns are 0. */
export function probabilities(device: Device, call: ScoresCall): Store {
  const { query, key, keys, heads, first, step, slots } = call;
  const { columns } = keys;
  const { hidden, seenAbove } = softmaxNumbers;
  const headDim = query.features / heads;
  const rows = heads * slots;
  const values = [query, key, ...keys.values, first, step, slots, headDim, 1 / Math.sqrt(headDim), hidden];
  return briefly(device, keep => {
    const scored = keep(device.run(scores(keys.source), rows, columns, values));
    const moments = keep(device.run(softmaxMoments, rows, 2, [scored, columns, hidden, seenAbove]));
    return device.run(softmax, rows, columns, [scored, moments, seenAbove]);
  });
}

export type AttentionCall = Omit<ScoresCall, 'first' | 'step'> & { readonly value: Store };

/** Rows of the result, a chunk at a time, to `put`. */
export function attend(device: Device, call: AttentionCall, put: (result: Store, firstRow: number) => void): void {
  const { query, key, value, keys, heads } = call;
  const { columns } = keys;
  const most = Math.max(1, Math.floor(device.mostScores / (heads * columns)));
  const chunk = Math.ceil(call.slots / Math.ceil(call.slots / most));
  for (let first = 0; first < call.slots; first += chunk) {
    const slots = Math.min(chunk, call.slots - first);
    const result = briefly(device, keep => {
      const weights = keep(probabilities(device, { query, key, keys, heads, first, step: 1, slots }));
      const values = [weights, value, ...keys.values, first, slots, query.features / heads, columns];
      return device.run(context(keys.source), slots, query.features, values);
    });
    put(result, first);
  }
}
