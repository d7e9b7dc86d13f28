/**
 * 7. The encoder: embeddings, then L layers, then the pooler. Paper §3 and §5; HF LongformerModel.
 *
 * A layer is the post-norm transformer layer of BERT with the attention of 4 and 5 inside:
 *
 *     h ──┬─ attention ─ dense ─ (+) ─ norm ──┬─ dense ─ activation ─ dense ─ (+) ─ norm ── h'
 *         └──────────────────────┘            └────────────────────────────────┘
 *
 * One document at a time. There is no batch and no padding to a multiple of the window.
 * Read before: 5-global-attention.ts (and 6a to 6d for other ways to the same numbers). Read next: 8-heads.ts.
 */
import type { LongformerConfig } from '../contract/config.ts';
import { sequenceLengthOf } from '../contract/encoder-inputs.ts';
import type { EncoderInputs, LayerAttentions } from '../contract/model.ts';
import type { Tensor, Tensor64 } from '../contract/tensor.ts';
import { activate, add, gatherRows, layerNorm, linear, sliceRows, toFloat64 } from './1-operations.ts';
import type { Band, TokenRoles } from './2-patterns.ts';
import { slidingWindowAttention } from './4-sliding-window-attention.ts';
import { globalAttention, overwriteGlobalRows } from './5-global-attention.ts';

/** A checkpoint's tensors by their Hugging Face name, without the backbone's prefix. */
export type Weights = (name: string) => Tensor;

/** A linear layer by name: `<name>.weight` and `<name>.bias`. (T, in) → (T, out). */
export function dense(input: Tensor64, weights: Weights, name: string): Tensor64 {
  return linear(input, weights(`${name}.weight`), weights(`${name}.bias`));
}

/** A layer norm by name: `<name>.weight` and `<name>.bias`. (T, C) → (T, C). */
export function norm(input: Tensor64, weights: Weights, name: string, eps: number): Tensor64 {
  return layerNorm(input, weights(`${name}.weight`), weights(`${name}.bias`), eps);
}

/**
 * Padding keeps padTokenId; every other token gets padTokenId + its number among the tokens that are not padding, from 1.
 *
 * inputIds: (T). Returns (T). Subtle: the first token of a RoBERTa vocabulary (padTokenId 1) stands at position 2.
 * Source: HF create_position_ids_from_input_ids.
 */
export function positionIdsFromInputIds(inputIds: ArrayLike<number>, padTokenId: number): Int32Array {
  let numbered = 0;
  return Int32Array.from(inputIds, id => (id === padTokenId ? padTokenId : padTokenId + ++numbered));
}

/**
 * What each token may do: its state is attentionMask · (globalAttentionMask + 1), with 0 masked, 1 local, 2 global.
 *
 * attentionMask: (T) of 0 and 1, all 1 when absent; globalAttentionMask: (T) of -1, 0 and 1, all 0 when absent.
 * Subtle: masked beats global, and a global mask of -1 masks. Source: HF LongformerModel._merge_to_attention_mask.
 */
export function tokenRoles(
  sequenceLength: number,
  attentionMask: ArrayLike<number> | undefined,
  globalAttentionMask: ArrayLike<number> | undefined,
): TokenRoles {
  const states = Array.from({ length: sequenceLength }, (_, t) => {
    return (attentionMask?.[t] ?? 1) * ((globalAttentionMask?.[t] ?? 0) + 1);
  });
  return {
    attentionMask: states.map(state => (state > 0 ? 1 : 0)),
    globalIndices: states.flatMap((state, t) => (state === 2 ? [t] : [])),
  };
}

/**
 * Word + position + token type, then layer norm. Returns (T, C). Source: HF LongformerEmbeddings.
 *
 * Differs: HF numbers the positions of inputsEmbeds after padding to the window; the real rows are the same.
 */
export function embeddings(inputs: EncoderInputs, weights: Weights, config: LongformerConfig): Tensor64 {
  const sequenceLength = sequenceLengthOf(inputs);
  const consecutive = Int32Array.from({ length: sequenceLength }, (_, t) => config.padTokenId + 1 + t);
  const positionIds =
    inputs.positionIds ?? (inputs.inputIds ? positionIdsFromInputIds(inputs.inputIds, config.padTokenId) : consecutive); // (T)
  const tokenTypeIds = inputs.tokenTypeIds ?? new Int32Array(sequenceLength); // (T)

  const words = inputs.inputIds
    ? gatherRows(weights('embeddings.word_embeddings.weight'), inputs.inputIds)
    : toFloat64(inputs.inputsEmbeds!); // (T, C)
  const positions = gatherRows(weights('embeddings.position_embeddings.weight'), positionIds); // (T, C)
  const types = gatherRows(weights('embeddings.token_type_embeddings.weight'), tokenTypeIds); // (T, C)
  return norm(add(add(words, types), positions), weights, 'embeddings.LayerNorm', config.layerNormEps);
}

/** The band of one layer as the config describes it. */
export function bandOfLayer(config: LongformerConfig, layer: number): Band {
  const { heads, causal } = config;
  return { heads, causal, oneSidedWindow: config.oneSidedWindow[layer]!, dilation: config.dilation[layer]! };
}

/**
 * Local and global attention of one layer, before its output projection.
 *
 * hiddenStates: (T, C); name: where its six projections are, `encoder.layer.0.attention.self` or the like.
 * Returns attended (T, C) and the probabilities of both kinds. Source: HF LongformerSelfAttention.forward.
 */
export function selfAttention(
  hiddenStates: Tensor64,
  weights: Weights,
  name: string,
  roles: TokenRoles,
  band: Band,
): { attended: Tensor64; attentions: LayerAttentions } {
  const query = dense(hiddenStates, weights, `${name}.query`); // (T, C)
  const key = dense(hiddenStates, weights, `${name}.key`); // (T, C)
  const value = dense(hiddenStates, weights, `${name}.value`); // (T, C)
  const { attended, probs } = slidingWindowAttention(query, key, value, roles, band);
  if (roles.globalIndices.length === 0) return { attended, attentions: { local: probs, global: null } };

  const globalHiddenStates = gatherRows(hiddenStates, roles.globalIndices); // (G, C)
  const queryGlobal = dense(globalHiddenStates, weights, `${name}.query_global`); // (G, C)
  const keyGlobal = dense(hiddenStates, weights, `${name}.key_global`); // (T, C)
  const valueGlobal = dense(hiddenStates, weights, `${name}.value_global`); // (T, C)
  const global = globalAttention(queryGlobal, keyGlobal, valueGlobal, roles, band.heads, band.causal);
  overwriteGlobalRows(attended, global.attended, roles.globalIndices);
  return { attended, attentions: { local: probs, global: global.probs } };
}

/**
 * One transformer layer. hiddenStates: (T, C) → (T, C). Source: HF LongformerLayer.
 */
export function encoderLayer(
  hiddenStates: Tensor64,
  weights: Weights,
  layer: number,
  roles: TokenRoles,
  config: LongformerConfig,
): { hiddenStates: Tensor64; attentions: LayerAttentions } {
  const name = `encoder.layer.${layer}`;
  const eps = config.layerNormEps;
  const band = bandOfLayer(config, layer);
  const { attended, attentions } = selfAttention(hiddenStates, weights, `${name}.attention.self`, roles, band);

  const projected = dense(attended, weights, `${name}.attention.output.dense`); // (T, C)
  const afterAttention = norm(add(projected, hiddenStates), weights, `${name}.attention.output.LayerNorm`, eps);

  const widened = dense(afterAttention, weights, `${name}.intermediate.dense`); // (T, intermediateSize)
  const fed = dense(activate(widened, config.hiddenActivation), weights, `${name}.output.dense`); // (T, C)
  return { hiddenStates: norm(add(fed, afterAttention), weights, `${name}.output.LayerNorm`, eps), attentions };
}

/** What the encoder hands out: the embedding output as step 0, then each layer's output with its attentions. */
export interface EncoderStep {
  readonly step: number;
  /** (T, C). */
  readonly hiddenStates: Tensor64;
  /** Null at step 0. */
  readonly attentions: LayerAttentions | null;
}

/**
 * The whole encoder, one step at a time: a generator, so that nobody has to keep what nobody asked for.
 *
 * Source: HF LongformerModel.forward.
 */
export function* encoder(
  inputs: EncoderInputs,
  weights: Weights,
  config: LongformerConfig,
): Generator<EncoderStep, void> {
  const roles = tokenRoles(sequenceLengthOf(inputs), inputs.attentionMask, inputs.globalAttentionMask);
  let hiddenStates = embeddings(inputs, weights, config); // (T, C)
  yield { step: 0, hiddenStates, attentions: null };
  for (let layer = 0; layer < config.layers; layer++) {
    const output = encoderLayer(hiddenStates, weights, layer, roles, config);
    hiddenStates = output.hiddenStates;
    yield { step: layer + 1, hiddenStates, attentions: output.attentions };
  }
}

/** tanh(W h₀ + b) of the first token. hiddenStates: (T, C). Returns (1, C). Source: HF LongformerPooler. */
export function pooler(hiddenStates: Tensor64, weights: Weights): Tensor64 {
  return activate(dense(sliceRows(hiddenStates, 0, 1), weights, 'pooler.dense'), 'tanh');
}

/** Every tensor the encoder reads. */
export function encoderWeightNames(config: LongformerConfig): string[] {
  const pair = (name: string): string[] => [`${name}.weight`, `${name}.bias`];
  const projections = ['query', 'key', 'value', 'query_global', 'key_global', 'value_global'];
  const layers = Array.from({ length: config.layers }, (_, layer) =>
    [
      ...projections.map(projection => `attention.self.${projection}`),
      'attention.output.dense',
      'attention.output.LayerNorm',
      'intermediate.dense',
      'output.dense',
      'output.LayerNorm',
    ].flatMap(part => pair(`encoder.layer.${layer}.${part}`)),
  );
  const tables = ['word', 'position', 'token_type'].map(table => `embeddings.${table}_embeddings.weight`);
  return [...tables, ...pair('embeddings.LayerNorm'), ...layers.flat()];
}

export const poolerWeightNames = ['pooler.dense.weight', 'pooler.dense.bias'];
