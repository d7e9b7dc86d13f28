/** globalAttention and its probabilities: the keys of a global token are the real tokens of its document. */
import { briefly, type Device, type Store } from '../device.ts';
import type { Linear, Sequence } from '../handles.ts';
import { type AttentionKeys, attend, probabilities } from './attention.ts';
import { globalKeys } from './keys.ts';
import { linear } from './linear.ts';

const projection = linear('linear');

export interface GlobalCall {
  /** (G, C) */
  readonly query: Store;
  /** (T, C) */
  readonly hiddenStates: Store;
  readonly keyProjection: Linear;
  readonly sequence: Sequence;
  readonly heads: number;
  readonly causal: boolean;
}

const keysOf = ({ sequence, causal }: GlobalCall, columns: number): AttentionKeys => ({
  source: globalKeys,
  values: [sequence.tokens, sequence.globals, Number(causal)],
  columns,
});

/** All hidden states through a linear layer; gone after the call. */
const project = (device: Device, input: Store, { store, inFeatures, outFeatures }: Linear): Store =>
  device.run(projection, input.rows, outFeatures, [input, store, 0, inFeatures]);

/** Results of global tokens, in chunks, to `put`. */
export function globalAttention(
  device: Device,
  call: GlobalCall & { readonly valueProjection: Linear },
  put: (result: Store, firstSlot: number) => void,
): void {
  const { query, hiddenStates, sequence, heads } = call;
  briefly(device, keep => {
    const key = keep(project(device, hiddenStates, call.keyProjection));
    const value = keep(project(device, hiddenStates, call.valueProjection));
    const keys = keysOf(call, sequence.longestDocument);
    attend(device, { query, key, value, keys, heads, slots: sequence.globalCount }, put);
  });
}

/** (heads * G', T') of one document. */
export function globalProbabilities(device: Device, call: GlobalCall, document: number): Store {
  const { query, hiddenStates, sequence, heads } = call;
  const { bounds, firstGlobals } = sequence;
  const first = firstGlobals[document]!;
  const slots = firstGlobals[document + 1]! - first;
  const keys = keysOf(call, bounds[document + 1]! - bounds[document]!);
  return briefly(device, keep => {
    const key = keep(project(device, hiddenStates, call.keyProjection));
    return probabilities(device, { query, key, keys, heads, first, step: 1, slots });
  });
}
