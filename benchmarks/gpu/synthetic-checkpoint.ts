/**
 * A Longformer or LED of a real size with random weights, made in memory: a machine without a network has no checkpoint, and speed does not
 * depend on what the weights are. Weights are scaled so that activations stay near 1.
 */
import type { Checkpoint } from '../../contract/checkpoint.ts';
import type { LedConfig, LongformerConfig, ModelConfig } from '../../contract/config.ts';
import { expectedTensors } from '../../runtime/checkpoint/tensor-names.ts';

export type Size = 'tiny' | 'base' | 'large';

/** Hidden size, layers, heads, feed-forward, one-sided window. */
const sizes: Record<Size, readonly [number, number, number, number, number]> = {
  tiny: [64, 2, 4, 128, 8],
  base: [768, 12, 12, 3072, 256],
  large: [1024, 24, 16, 4096, 256],
};

/** The word table stays on the host: how many rows it has makes no difference. */
const vocabSize = 1024;

export function syntheticConfig(size: Size, tokens: number): LongformerConfig {
  const [hiddenSize, layers, heads, intermediateSize, window] = sizes[size];
  return {
    modelType: 'longformer',
    head: 'none',
    vocabSize,
    hiddenSize,
    layers,
    heads,
    headDim: hiddenSize / heads,
    intermediateSize,
    hiddenActivation: 'gelu',
    maxPositionEmbeddings: tokens + 2,
    typeVocabSize: 1,
    layerNormEps: 1e-5,
    padTokenId: 1,
    bosTokenId: 0,
    eosTokenId: 2,
    sepTokenId: 2,
    oneSidedWindow: new Array<number>(layers).fill(window),
    dilation: Array.from({ length: layers }, () => new Array<number>(heads).fill(1)),
    causal: false,
    labels: 2,
    labelNames: ['LABEL_0', 'LABEL_1'],
    tieWordEmbeddings: true,
  };
}

export type LedSize = 'tiny' | 'base' | 'large';

/** Hidden size, layers on each side, heads, feed-forward, one-sided window. */
const ledSizes: Record<LedSize, readonly [number, number, number, number, number]> = {
  tiny: [64, 2, 4, 128, 8],
  base: [768, 6, 12, 3072, 512],
  large: [1024, 12, 16, 4096, 512],
};

/** The real vocabulary: every step computes its logits. */
const ledVocabSize = 50_265;

export function syntheticLedConfig(size: LedSize, sourceTokens: number, targetTokens: number): LedConfig {
  const [hiddenSize, layers, heads, intermediateSize, window] = ledSizes[size];
  return {
    modelType: 'led',
    head: 'conditionalGeneration',
    vocabSize: ledVocabSize,
    hiddenSize,
    encoderLayers: layers,
    decoderLayers: layers,
    encoderHeads: heads,
    decoderHeads: heads,
    encoderIntermediateSize: intermediateSize,
    decoderIntermediateSize: intermediateSize,
    hiddenActivation: 'gelu',
    maxEncoderPositionEmbeddings: sourceTokens,
    maxDecoderPositionEmbeddings: targetTokens,
    layerNormEps: 1e-5,
    padTokenId: 1,
    bosTokenId: 0,
    eosTokenId: 2,
    decoderStartTokenId: 2,
    oneSidedWindow: new Array<number>(layers).fill(window),
    dilation: Array.from({ length: layers }, () => new Array<number>(heads).fill(1)),
    labels: 2,
    labelNames: ['LABEL_0', 'LABEL_1'],
    tieWordEmbeddings: true,
  };
}

export function syntheticCheckpoint<Config extends ModelConfig>(config: Config): Checkpoint<Config> {
  const shapes = new Map(expectedTensors(config).map(({ name, shape }) => [name, shape]));
  const shapeOf = (name: string): readonly number[] => shapes.get(name)!;
  return {
    config,
    names: [...shapes.keys()],
    has: name => shapes.has(name),
    shape: shapeOf,
    tensor: async name => ({ shape: shapeOf(name), data: values(name, shapeOf(name)) }),
    close: async () => {},
  };
}

function values(name: string, shape: readonly number[]): Float32Array {
  const data = new Float32Array(shape.reduce((product, extent) => product * extent, 1));
  if (/layer_?norm.*\.weight$/i.test(name)) return data.fill(1);
  if (shape.length === 1) return data;
  const scale = Math.sqrt(3 / shape[1]!); // of numbers spread evenly over -1 .. 1
  let state = 0;
  for (const letter of name) state = (Math.imul(state, 31) + letter.charCodeAt(0)) | 0;
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    data[i] = (state / 2 ** 31) * scale;
  }
  return data;
}
