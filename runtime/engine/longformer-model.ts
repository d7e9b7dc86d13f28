/**
 * The model over kernels: pack → embed → layers → head → read.
 *
 * Read before: heads.ts. Read next: backend.ts.
 */
import type { LongformerConfig } from '../../contract/config.ts';
import { expectEncoderInputs, expectLogitRows } from '../../contract/encoder-inputs.ts';
import type { BandPattern, Kernels } from '../../contract/kernels.ts';
import type { EncoderInputs, EncoderOutputs, ForwardOptions, LongformerModel } from '../../contract/model.ts';
import { embedDocuments } from './embed.ts';
import { readDocuments, runEncoderLayers } from './encoder-layers.ts';
import { defaultGlobalAttentionMask, expectKeptLogits, rowsForHead, runHead } from './heads.ts';
import { type Packed, packDocuments } from './pack.ts';
import { createTurns } from './turns.ts';
import type { ModelWeights } from './weights.ts';
import { allocateWorkspace } from './workspace.ts';

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
  options: ForwardOptions,
): Promise<EncoderOutputs[]> {
  const { want = {} } = options;
  expectKeptLogits(config, packed, want);
  const lastRows = rowsForHead(packed, config, want);
  const space = allocateWorkspace(kernels, config, packed, {
    lastRows,
    attentions: want.attentions !== undefined,
    head: { config, want },
  });
  try {
    const { hiddenStates } = space.all;
    embedDocuments(packed, weights.tables, config, (values, firstRow) => kernels.write(hiddenStates, values, firstRow));
    kernels.addLayerNorm(hiddenStates, hiddenStates, null, weights.embeddingNorm, config.layerNormEps);
    const handedOut = await runEncoderLayers(kernels, packed, space, {
      layers: weights.layers,
      settingsOf: layer => ({
        band: bandOfLayer(config, layer),
        activation: config.hiddenActivation,
        eps: config.layerNormEps,
      }),
      want,
      turn: createTurns('longformer.forward', options, config.layers),
    });
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
    // As in HF, the last of the hidden states is the last hidden state: one tensor, not two.
    const last = handedOut ?? (await readDocuments(kernels, packed, space.all.hiddenStates));
    return outputs.map((output, document) => ({ lastHiddenState: last[document]!, ...output }));
  } finally {
    kernels.free(...space.handles);
  }
}

function bandOfLayer({ heads, causal, oneSidedWindow, dilation }: LongformerConfig, layer: number): BandPattern {
  return { heads, causal, oneSidedWindow: oneSidedWindow[layer]!, dilation: dilation[layer]! };
}
