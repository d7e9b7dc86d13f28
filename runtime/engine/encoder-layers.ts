/**
 * The layers of an encoder, one after the other, Longformer's and LED's alike; what is wanted besides is read and handed out between them.
 *
 * Read before: encoder-layer.ts. Read next: longformer-model.ts, led-encoder.ts.
 */
import type { BandPattern, DeviceRows, Kernels } from '../../contract/kernels.ts';
import type { LayerAttentions, Want } from '../../contract/model.ts';
import type { Tensor } from '../../contract/tensor.ts';
import { attend, encoderLayer, finishLayer, type LayerSettings } from './encoder-layer.ts';
import type { Packed } from './pack.ts';
import type { LayerWeights } from './weights.ts';
import type { Workspace } from './workspace.ts';

export interface EncoderRun {
  readonly layers: readonly LayerWeights[];
  readonly settingsOf: (layer: number) => LayerSettings;
  readonly want: Pick<Want, 'hiddenStates' | 'attentions'>;
  /** Called after each layer. */
  readonly turn: () => Promise<void>;
}

/**
 * From the embedding output in `space.all.hiddenStates` to the last layer's output in `space.last.hiddenStates`.
 *
 * Returns the last layer's hidden states, a document each, if they were handed out; null otherwise.
 */
export async function runEncoderLayers(
  kernels: Kernels,
  packed: Packed,
  space: Workspace,
  { layers, settingsOf, want, turn }: EncoderRun,
): Promise<readonly Tensor[] | null> {
  await handOutHiddenStates(kernels, packed, space, want, 0);
  let last: readonly Tensor[] | null = null;
  for (const [layer, weights] of layers.entries()) {
    const produced = layer === layers.length - 1 ? space.last : space.all;
    const settings = settingsOf(layer);
    if (want.attentions) {
      attend(kernels, weights, space, produced, settings.band);
      for (let document = 0; document < packed.documents.length; document++) {
        const attentions = await readAttentions(kernels, weights, packed, space, settings.band, document);
        await want.attentions(document, layer, attentions);
      }
      finishLayer(kernels, weights, space.intermediate, produced, settings);
    } else encoderLayer(kernels, weights, space, produced, settings);
    const handedOut = await handOutHiddenStates(kernels, packed, space, want, layer + 1);
    if (layer === layers.length - 1) last = handedOut; // not before: the others are the caller's to keep or to drop
    await turn();
  }
  return last;
}

/** The hidden states of all rows, cut into documents: (T', C) each. */
export async function readDocuments(kernels: Kernels, packed: Packed, hiddenStates: DeviceRows): Promise<Tensor[]> {
  const { features } = hiddenStates;
  const values = await kernels.read(hiddenStates, 0, packed.rows);
  return packed.documents.map((_, document) => {
    const start = packed.starts[document]! * features;
    const length = packed.lengths[document]!;
    // One document is all of it; several get memory of their own, so that one can be dropped and another kept.
    const data = length === packed.rows ? values : values.slice(start, start + length * features);
    return { shape: [length, features], data };
  });
}

async function handOutHiddenStates(
  kernels: Kernels,
  packed: Packed,
  space: Workspace,
  want: Pick<Want, 'hiddenStates'>,
  layer: number,
): Promise<readonly Tensor[] | null> {
  if (!want.hiddenStates) return null;
  const documents = await readDocuments(kernels, packed, space.all.hiddenStates);
  for (const [document, values] of documents.entries()) await want.hiddenStates(document, layer, values);
  return documents;
}

/**
 * The probabilities of one layer and one document, recomputed from what `attend` left in the workspace; the fast path never
 * stores them.
 */
export async function readAttentions(
  kernels: Kernels,
  weights: LayerWeights,
  packed: Packed,
  space: Workspace,
  band: BandPattern,
  document: number,
): Promise<LayerAttentions> {
  const { heads, causal } = band;
  const { local, global } = space.probabilities!;
  const { query, globals, hiddenStates } = space.all;
  const length = packed.lengths[document]!;
  const globalCount = packed.globalCounts[document]!;
  const columns = globalCount + 2 * band.oneSidedWindow + 1;
  // When every token of every document is global, no local query was ever computed, and all rows are 0.
  let localProbs: Tensor = { shape: [heads, length, columns], data: new Float32Array(heads * length * columns) };
  if (!space.all.allGlobal) {
    kernels.slidingWindowProbabilities(local, query, space.key, space.sequence, band, document);
    localProbs = await readProbabilities(kernels, local, heads, length, columns);
  }
  if (!global || !globals || globalCount === 0) return { local: localProbs, global: null };
  kernels.globalProbabilities(
    global,
    globals.query,
    hiddenStates,
    weights.keyGlobal,
    globals.sequence,
    heads,
    causal,
    document,
  );
  return { local: localProbs, global: await readProbabilities(kernels, global, heads, globalCount, length) };
}

/** Rows head * rowsPerHead + i of a buffer that may be wider than needed → (heads, rowsPerHead, columns). */
export async function readProbabilities(
  kernels: Kernels,
  from: DeviceRows,
  heads: number,
  rowsPerHead: number,
  columns: number,
): Promise<Tensor> {
  const rows = heads * rowsPerHead;
  const wide = await kernels.read(from, 0, rows);
  const data = wide instanceof Float64Array ? new Float64Array(rows * columns) : new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    data.set(wide.subarray(row * from.features, row * from.features + columns), row * columns);
  }
  return { shape: [heads, rowsPerHead, columns], data };
}
