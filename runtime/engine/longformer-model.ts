/**
 * The model over kernels: pack → embed → layers → head → read.
 *
 * Read before: heads.ts. Read next: backend.ts.
 */
import type { LongformerConfig } from '../../contract/config.ts';
import { expectEncoderInputs, expectLogitRows } from '../../contract/encoder-inputs.ts';
import { AbortedError } from '../../contract/errors.ts';
import type { BandPattern, Kernels } from '../../contract/kernels.ts';
import type {
  EncoderInputs,
  EncoderOutputs,
  ForwardOptions,
  LayerAttentions,
  LongformerModel,
  Want,
} from '../../contract/model.ts';
import type { Tensor } from '../../contract/tensor.ts';
import { embedDocuments } from './embed.ts';
import { attend, encoderLayer, finishLayer, type LayerSettings } from './encoder-layer.ts';
import { defaultGlobalAttentionMask, rowsForHead, runHead } from './heads.ts';
import { type Packed, packDocuments } from './pack.ts';
import type { LayerWeights, ModelWeights } from './weights.ts';
import { allocateWorkspace, type Workspace } from './workspace.ts';

export function createLongformerModel(
  kernels: Kernels,
  config: LongformerConfig,
  weights: ModelWeights,
): LongformerModel {
  const { headWeights } = weights;
  return {
    config,
    hasPooler: headWeights.head === 'none' && headWeights.pooler !== null,
    defaultGlobalAttentionMask: inputs => defaultGlobalAttentionMask(inputs, config),
    expectInputs(documents) {
      for (const inputs of documents) expectEncoderInputs(inputs, config);
    },
    async forward(documents, options = {}) {
      for (const inputs of documents) expectEncoderInputs(inputs, config);
      expectLogitRows(options.want?.logitRows, documents);
      if (documents.length === 0) return [];
      const packed = packDocuments(documents.map(inputs => withGlobalMask(inputs, config)));
      return await forward(kernels, config, weights, packed, options);
    },
    dispose: () => kernels.free(...weights.handles),
  };
}

function withGlobalMask(inputs: EncoderInputs, config: LongformerConfig): EncoderInputs {
  const globalAttentionMask = inputs.globalAttentionMask ?? defaultGlobalAttentionMask(inputs, config);
  return globalAttentionMask ? { ...inputs, globalAttentionMask } : inputs;
}

async function forward(
  kernels: Kernels,
  config: LongformerConfig,
  weights: ModelWeights,
  packed: Packed,
  { want = {}, signal, onProgress }: ForwardOptions,
): Promise<EncoderOutputs[]> {
  const lastRows = rowsForHead(packed, config, want);
  const space = allocateWorkspace(kernels, config, packed, {
    lastRows,
    attentions: want.attentions !== undefined,
    head: want,
  });
  try {
    const { hiddenStates } = space.all;
    embedDocuments(packed, weights.tables, config, (values, firstRow) => kernels.write(hiddenStates, values, firstRow));
    kernels.addLayerNorm(hiddenStates, hiddenStates, null, weights.embeddingNorm, config.layerNormEps);
    await handOutHiddenStates(kernels, packed, space, want, 0);
    for (let layer = 0; layer < config.layers; layer++) {
      const produced = layer === config.layers - 1 ? space.last : space.all;
      const settings: LayerSettings = {
        band: bandOfLayer(config, layer),
        activation: config.hiddenActivation,
        eps: config.layerNormEps,
      };
      if (want.attentions) {
        attend(kernels, weights.layers[layer]!, space, produced, settings.band);
        for (let document = 0; document < packed.documents.length; document++) {
          const layerWeights = weights.layers[layer]!;
          const attentions = await readAttentions(kernels, layerWeights, packed, space, settings.band, document);
          await want.attentions(document, layer, attentions);
        }
        finishLayer(kernels, weights.layers[layer]!, space.intermediate, produced, settings);
      } else encoderLayer(kernels, weights.layers[layer]!, space, produced, settings);
      await handOutHiddenStates(kernels, packed, space, want, layer + 1);
      onProgress?.((layer + 1) / config.layers);
      await eventLoopTurn(); // so that an abort can arrive
      if (signal?.aborted) {
        const got = 'an abort';
        throw new AbortedError({
          where: 'longformer.forward',
          name: 'signal',
          expected: 'to finish',
          got,
          cause: signal.reason,
        });
      }
    }
    const { hiddenStates: produced } = space.last;
    const { layerNormEps } = config;
    const outputs = await runHead(
      kernels,
      weights.headWeights,
      space.head!,
      packed,
      produced,
      lastRows,
      want,
      layerNormEps,
    );
    if (!(want.lastHiddenState ?? config.head === 'none')) return outputs;
    const last = await readDocuments(kernels, packed, space);
    return outputs.map((output, document) => ({ lastHiddenState: last[document]!, ...output }));
  } finally {
    kernels.free(...space.handles);
  }
}

function bandOfLayer({ heads, causal, oneSidedWindow, dilation }: LongformerConfig, layer: number): BandPattern {
  return { heads, causal, oneSidedWindow: oneSidedWindow[layer]!, dilation: dilation[layer]! };
}

/** The hidden states of all rows, cut into documents: (T', C) each. */
async function readDocuments(kernels: Kernels, packed: Packed, space: Workspace): Promise<Tensor[]> {
  const { hiddenStates } = space.all;
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
  want: Want,
  layer: number,
): Promise<void> {
  if (!want.hiddenStates) return;
  for (const [document, values] of (await readDocuments(kernels, packed, space)).entries()) {
    await want.hiddenStates(document, layer, values);
  }
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
async function readProbabilities(
  kernels: Kernels,
  from: Parameters<Kernels['read']>[0],
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

/** A turn of the event loop, by the fastest way the platform has. */
const eventLoopTurn = (): Promise<void> =>
  new Promise(resolve => {
    if (typeof setImmediate === 'function') setImmediate(resolve);
    else setTimeout(resolve, 0);
  });
