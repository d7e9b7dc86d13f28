/** slidingWindowAttention and its probabilities: softmax over the global keys and the band, a chunk of queries at a time. */
import type { BandPattern } from '../../../contract/kernels.ts';
import type { Argument, Device, Store } from '../device.ts';
import type { Sequence } from '../handles.ts';
import { type AttentionKeys, attend, probabilities } from './attention.ts';
import { bandKeys } from './keys.ts';

const [allRows, chosenRows] = [bandKeys(false), bandKeys(true)];

export interface BandCall {
  readonly query: Store;
  readonly key: Store;
  readonly sequence: Sequence;
  readonly band: BandPattern;
  /** (heads, 1) */
  readonly dilations: Store;
}

const keysOf = (
  { sequence, band, dilations }: BandCall,
  rows: Store | null,
  globalColumns: number,
  window: number,
): AttentionKeys => {
  const { tokens, documents, globals } = sequence;
  const tables: Argument[] = [tokens, documents, globals, dilations];
  return {
    source: rows ? chosenRows : allRows,
    values: [...tables, ...(rows ? [rows] : []), globalColumns, window, Number(band.causal)],
    columns: globalColumns + 2 * window + 1,
  };
};

/** Rows `firstRow` .. + `slots` of the result, in chunks, to `put`. */
export function slidingWindowAttention(
  device: Device,
  call: BandCall & { readonly value: Store; readonly rows: Store | null; readonly slots: number },
  put: (result: Store, firstRow: number) => void,
): void {
  const { query, key, value, sequence, band, rows, slots } = call;
  // A window beyond the longest document sees all of it, and columns for the rest would only be masked.
  const window = Math.min(band.oneSidedWindow, sequence.longestDocument);
  const keys = keysOf(call, rows, sequence.mostGlobals, window);
  attend(device, { query, key, value, keys, heads: band.heads, slots }, put);
}

/** (heads * T', G' + 2 * oneSidedWindow + 1) of one document. */
export function slidingWindowProbabilities(device: Device, call: BandCall, document: number): Store {
  const { query, key, sequence, band } = call;
  const { bounds, firstGlobals } = sequence;
  const globalColumns = firstGlobals[document + 1]! - firstGlobals[document]!;
  const first = bounds[document]!;
  const slots = bounds[document + 1]! - first;
  const keys = keysOf(call, null, globalColumns, band.oneSidedWindow);
  return probabilities(device, { query, key, keys, heads: band.heads, first, step: 1, slots });
}
