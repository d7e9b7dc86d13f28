/**
 * 9. LED, the Longformer Encoder-Decoder. Paper §7; HF LEDModel and the classes above it.
 *
 * The encoder is lesson 7 with other names, no token types, and positions that are simply 0, 1, 2, …. The decoder is the ordinary
 * one (BART's): each layer looks at the target so far, then at the whole source, then thinks.
 *
 *     h ─ self-attention (causal) ─ (+) norm ─ cross-attention ─ (+) norm ─ dense ─ activation ─ dense ─ (+) norm ── h'
 *
 * Both attentions of the decoder are lesson 3, word for word: a target is short. There is no cache: everything is computed anew from
 * the whole target, which is the definition that every cache must agree with.
 *
 * Letters: T source tokens, U target tokens. Read before: 8-heads.ts. Read next: 10-generate.ts, which writes with it.
 */
import type { LedConfig, LedHead } from '../contract/config.ts';
import { decoderIdsOf } from '../contract/led-inputs.ts';
import type { DecoderLayerAttentions, EncoderInputs, LayerAttentions, LedInputs } from '../contract/model.ts';
import type { Tensor, Tensor64 } from '../contract/tensor.ts';
import { activate, add, gatherRows, linear, sliceRows, toFloat64 } from './1-operations.ts';
import { type Band, causal, intersection, type Pattern, type TokenRoles } from './2-patterns.ts';
import { denseAttention } from './3-dense-attention.ts';
import { dense, type EncoderStep, norm, selfAttention, tokenRoles, type Weights } from './7-longformer.ts';

/** Encoder, decoder and output layer read one table, `shared.weight`, unless the checkpoint unties them. (V, C). */
export function wordTable(user: 'encoder' | 'decoder' | 'output', weights: Weights, config: LedConfig): Tensor {
  if (config.tieWordEmbeddings) return weights('shared.weight');
  return weights(user === 'output' ? 'lm_head.weight' : `${user}.embed_tokens.weight`);
}

/**
 * Word + position, then layer norm. words: (T, C), already looked up. Returns (T, C).
 *
 * Subtle: row t of the table is position t, for padding too; BART, and the authors' own files, begin at row 2.
 * Source: HF LEDLearnedPositionalEmbedding, and the beginnings of LEDEncoder.forward and LEDDecoder.forward.
 */
export function ledEmbeddings(
  side: 'encoder' | 'decoder',
  words: Tensor64,
  weights: Weights,
  config: LedConfig,
): Tensor64 {
  const positionIds = Int32Array.from({ length: words.shape[0]! }, (_, t) => t); // (T)
  const positions = gatherRows(weights(`${side}.embed_positions.weight`), positionIds); // (T, C)
  return norm(add(words, positions), weights, `${side}.layernorm_embedding`, config.layerNormEps);
}

/** The band of one layer of the encoder. */
export function bandOfLedLayer(config: LedConfig, layer: number): Band {
  const { encoderHeads: heads, oneSidedWindow, dilation } = config;
  return { heads, causal: false, oneSidedWindow: oneSidedWindow[layer]!, dilation: dilation[layer]! };
}

/** dense, activation, dense, and the layer's last norm around them. (T, C) → (T, C). */
function feedForward(hiddenStates: Tensor64, weights: Weights, name: string, config: LedConfig): Tensor64 {
  const widened = dense(hiddenStates, weights, `${name}.fc1`); // (T, intermediateSize)
  const fed = dense(activate(widened, config.hiddenActivation), weights, `${name}.fc2`); // (T, C)
  return norm(add(fed, hiddenStates), weights, `${name}.final_layer_norm`, config.layerNormEps);
}

/** One layer of the encoder. hiddenStates: (T, C) → (T, C). Source: HF LEDEncoderLayer. */
export function ledEncoderLayer(
  hiddenStates: Tensor64,
  weights: Weights,
  layer: number,
  roles: TokenRoles,
  config: LedConfig,
): { hiddenStates: Tensor64; attentions: LayerAttentions } {
  const name = `encoder.layers.${layer}`;
  const projections = `${name}.self_attn.longformer_self_attn`;
  const band = bandOfLedLayer(config, layer);
  const { attended, attentions } = selfAttention(hiddenStates, weights, projections, roles, band);

  const projected = dense(attended, weights, `${name}.self_attn.output`); // (T, C)
  const sum = add(projected, hiddenStates);
  const afterAttention = norm(sum, weights, `${name}.self_attn_layer_norm`, config.layerNormEps);
  return { hiddenStates: feedForward(afterAttention, weights, name, config), attentions };
}

/** The whole encoder, one step at a time. Subtle: no head of LED makes any token global by itself. Source: HF LEDEncoder.forward. */
export function* ledEncoder(inputs: EncoderInputs, weights: Weights, config: LedConfig): Generator<EncoderStep, void> {
  const { inputIds, inputsEmbeds, attentionMask, globalAttentionMask } = inputs;
  const words = inputIds ? gatherRows(wordTable('encoder', weights, config), inputIds) : toFloat64(inputsEmbeds!);
  const roles = tokenRoles(words.shape[0]!, attentionMask, globalAttentionMask);
  let hiddenStates = ledEmbeddings('encoder', words, weights, config); // (T, C)
  yield { step: 0, hiddenStates, attentions: null };
  for (let layer = 0; layer < config.encoderLayers; layer++) {
    const output = ledEncoderLayer(hiddenStates, weights, layer, roles, config);
    hiddenStates = output.hiddenStates;
    yield { step: layer + 1, hiddenStates, attentions: output.attentions };
  }
}

/** What a decoder knows of its source. */
export interface EncodedDocument {
  /** (T, C) Output of the encoder's last layer. */
  readonly hiddenStates: Tensor64;
  /**
   * (T) 1 = may be looked at. Subtle: the attention mask as the caller gave it. A global mask of -1 hides a token from the encoder, but
   * not from the decoder.
   */
  readonly attentionMask: ArrayLike<number>;
}

/** A source, read. Source: HF LEDModel.forward, first half. */
export function encodeDocument(inputs: EncoderInputs, weights: Weights, config: LedConfig): EncodedDocument {
  const { hiddenStates } = [...ledEncoder(inputs, weights, config)].at(-1)!;
  return { hiddenStates, attentionMask: attentionMaskOf(inputs, hiddenStates.shape[0]!) };
}

/** (T) The caller's mask, or ones. */
export const attentionMaskOf = (inputs: EncoderInputs, length: number): ArrayLike<number> =>
  inputs.attentionMask ?? new Int32Array(length).fill(1);

/**
 * Attention of the decoder with its four projections. queries: (U, C); others: (U or T, C), what is looked at.
 *
 * Returns projected (U, C) and probs (H, U, U or T). Source: HF LEDDecoderAttention.
 */
function decoderAttention(
  queries: Tensor64,
  others: Tensor64,
  weights: Weights,
  name: string,
  heads: number,
  pattern: Pattern,
): { projected: Tensor64; probs: Tensor64 } {
  const query = dense(queries, weights, `${name}.q_proj`); // (U, C)
  const key = dense(others, weights, `${name}.k_proj`);
  const value = dense(others, weights, `${name}.v_proj`);
  const { attended, probs } = denseAttention(query, key, value, heads, pattern);
  return { projected: dense(attended, weights, `${name}.out_proj`), probs };
}

/**
 * One layer of the decoder. hiddenStates: (U, C) → (U, C); targetMask: (U) 1 = may be looked at. Source: HF LEDDecoderLayer.
 *
 * Differs: a row that may look at nothing, as padding on the left of a target, gets zeros; in HF it looks at everything.
 */
export function decoderLayer(
  hiddenStates: Tensor64,
  targetMask: ArrayLike<number>,
  source: EncodedDocument,
  weights: Weights,
  layer: number,
  config: LedConfig,
): { hiddenStates: Tensor64; attentions: DecoderLayerAttentions } {
  const name = `decoder.layers.${layer}`;
  const { decoderHeads: heads, layerNormEps: eps } = config;

  const past = intersection(causal(), (_, j) => targetMask[j] === 1);
  const self = decoderAttention(hiddenStates, hiddenStates, weights, `${name}.self_attn`, heads, past);
  const afterSelf = norm(add(self.projected, hiddenStates), weights, `${name}.self_attn_layer_norm`, eps);

  const sourceTokens: Pattern = (_, j) => source.attentionMask[j] === 1;
  const read = source.hiddenStates; // (T, C)
  const cross = decoderAttention(afterSelf, read, weights, `${name}.encoder_attn`, heads, sourceTokens);
  const afterCross = norm(add(cross.projected, afterSelf), weights, `${name}.encoder_attn_layer_norm`, eps);

  const output = feedForward(afterCross, weights, name, config);
  return { hiddenStates: output, attentions: { self: self.probs, cross: cross.probs } };
}

/** A target as rows of words: (U, C), and which of them may be looked at. */
export interface Target {
  readonly words: Tensor64;
  /** (U) */
  readonly mask: ArrayLike<number>;
}

/** A target of ids, all of which may be looked at. */
export function targetOf(ids: ArrayLike<number>, weights: Weights, config: LedConfig): Target {
  return { words: gatherRows(wordTable('decoder', weights, config), ids), mask: new Int32Array(ids.length).fill(1) };
}

/** The target of whole inputs; without one it is the source shifted right. Source: HF LEDModel.forward. */
export function targetOfInputs(inputs: LedInputs, weights: Weights, config: LedConfig): Target {
  const { decoderInputsEmbeds, decoderAttentionMask } = inputs;
  const target = decoderInputsEmbeds
    ? { words: toFloat64(decoderInputsEmbeds), mask: new Int32Array(decoderInputsEmbeds.shape[0]!).fill(1) }
    : targetOf(decoderIdsOf(inputs, config), weights, config);
  return decoderAttentionMask ? { ...target, mask: decoderAttentionMask } : target;
}

/** What the decoder hands out: its embedding output as step 0, then each layer's output with its attentions. */
export interface DecoderStep {
  readonly step: number;
  /** (U, C). */
  readonly hiddenStates: Tensor64;
  /** Null at step 0. */
  readonly attentions: DecoderLayerAttentions | null;
}

/** The whole decoder, one step at a time. Source: HF LEDDecoder.forward. */
export function* ledDecoder(
  target: Target,
  source: EncodedDocument,
  weights: Weights,
  config: LedConfig,
): Generator<DecoderStep, void> {
  let hiddenStates = ledEmbeddings('decoder', target.words, weights, config); // (U, C)
  yield { step: 0, hiddenStates, attentions: null };
  for (let layer = 0; layer < config.decoderLayers; layer++) {
    const output = decoderLayer(hiddenStates, target.mask, source, weights, layer, config);
    hiddenStates = output.hiddenStates;
    yield { step: layer + 1, hiddenStates, attentions: output.attentions };
  }
}

/**
 * Scores of every next token. (Question answering is lesson 8's, on the decoder's rows.)
 *
 * hiddenStates: (U, C). Returns (U, V). Source: HF LEDForConditionalGeneration.forward.
 */
export function vocabularyLogits(hiddenStates: Tensor64, weights: Weights, config: LedConfig): Tensor64 {
  const { data } = weights('final_logits_bias'); // (1, V): zeros, unless somebody trained it
  return linear(hiddenStates, wordTable('output', weights, config), { shape: [config.vocabSize], data });
}

/**
 * The decoder's row at the last end token of the source decides. hiddenStates: (U, C) with U = T. Returns (1, labels).
 *
 * Source: HF LEDForSequenceClassification (removed in transformers 5); Differs: HF wants as many end tokens in every row of a batch.
 */
export function ledClassificationLogits(
  hiddenStates: Tensor64,
  inputIds: Int32Array,
  weights: Weights,
  config: LedConfig,
): Tensor64 {
  const last = sliceRows(hiddenStates, inputIds.lastIndexOf(config.eosTokenId), 1); // (1, C)
  const inner = activate(dense(last, weights, 'classification_head.dense'), 'tanh');
  return dense(inner, weights, 'classification_head.out_proj');
}

/** Every tensor a model of this config reads; `final_logits_bias` may be missing from the file and is zeros then. */
export function ledWeightNames(config: LedConfig): string[] {
  const pair = (name: string): string[] => [`${name}.weight`, `${name}.bias`];
  const layersOf = (side: string, count: number, parts: readonly string[]): string[] =>
    Array.from({ length: count }, (_, layer) => parts.flatMap(part => pair(`${side}.layers.${layer}.${part}`))).flat();
  const longformer = ['query', 'key', 'value', 'query_global', 'key_global', 'value_global'];
  const encoderParts = [...longformer.map(part => `self_attn.longformer_self_attn.${part}`), 'self_attn.output'];
  const projections = ['q_proj', 'k_proj', 'v_proj', 'out_proj'];
  const decoderParts = ['self_attn', 'encoder_attn'].flatMap(name => projections.map(part => `${name}.${part}`));
  const ends = ['self_attn_layer_norm', 'fc1', 'fc2', 'final_layer_norm'];
  const tables = config.tieWordEmbeddings ? ['shared'] : ['encoder.embed_tokens', 'decoder.embed_tokens'];
  const heads: Record<LedHead, string[]> = {
    none: [],
    conditionalGeneration: ['final_logits_bias', ...(config.tieWordEmbeddings ? [] : ['lm_head.weight'])],
    questionAnswering: pair('qa_outputs'),
    sequenceClassification: [...pair('classification_head.dense'), ...pair('classification_head.out_proj')],
  };
  return [
    ...[...tables, 'encoder.embed_positions', 'decoder.embed_positions'].map(name => `${name}.weight`),
    ...['encoder', 'decoder'].flatMap(side => pair(`${side}.layernorm_embedding`)),
    ...layersOf('encoder', config.encoderLayers, [...encoderParts, ...ends]),
    ...layersOf('decoder', config.decoderLayers, [...decoderParts, 'encoder_attn_layer_norm', ...ends]),
    ...heads[config.head],
  ];
}
