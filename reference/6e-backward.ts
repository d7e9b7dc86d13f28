/**
 * 6e. The backward pass of attention, from the three modes of 6d. For those who port training.
 *
 * Softmax first: with P the probabilities of a row and dP the gradient that reaches them,
 *
 *     dS = P ∘ (dP - Σ P ∘ dP)          over the whole row, global columns and band together
 *
 * Then each product of the forward pass is undone by modes 1 to 3. Keys that were removed have P = 0 and receive nothing.
 * A row of a global token was overwritten, so no gradient flows through its local query; its key and value still have some.
 *
 * Read before: 6d-diagonaled-matmul.ts. Read next: 7-longformer.ts.
 */
import type { Tensor, Tensor64 } from '../contract/tensor.ts';
import { add, gatherRows, toFloat64, zeros } from './1-operations.ts';
import type { Band, TokenRoles } from './2-patterns.ts';
import { headDimOf } from './3-dense-attention.ts';
import { backwardOfBandedTimesPlain, backwardOfPlainTimesPlain } from './6d-diagonaled-matmul.ts';

/** Gradients of the three inputs of an attention, each shaped like its input. */
export interface AttentionGradients {
  readonly query: Tensor64;
  readonly key: Tensor64;
  readonly value: Tensor64;
}

/**
 * Gradients of slidingWindowAttention (4). Rows of global tokens and of padding are ignored in `gradient`.
 *
 * gradient, query, key, value: (T, H * D); probs: (H, T, G + 2 * oneSidedWindow + 1) from the forward pass.
 * Source: the identities of the authors' diagonaled_mm_tvm.py; spec A.9.
 */
export function slidingWindowAttentionBackward(
  gradient: Tensor64,
  query: Tensor64,
  key: Tensor64,
  value: Tensor64,
  probs: Tensor64,
  roles: TokenRoles,
  band: Band,
): AttentionGradients {
  const [sequenceLength, hiddenSize] = query.shape as [number, number];
  const { heads, oneSidedWindow } = band;
  const headDim = headDimOf('slidingWindowAttentionBackward', hiddenSize, heads);
  const { attentionMask, globalIndices } = roles;
  const globals = globalIndices.length;
  const bandWidth = 2 * oneSidedWindow + 1;
  const symmetric: Band = { ...band, causal: false }; // probs has all 2w + 1 columns; those after a causal query hold 0

  const isGlobal = new Set(globalIndices);
  const rows = zeros(sequenceLength, hiddenSize); // the gradient at rows that the local attention really produced
  for (let i = 0; i < sequenceLength; i++) {
    if (attentionMask[i] === 0 || isGlobal.has(i)) continue;
    rows.data.set(gradient.data.subarray(i * hiddenSize, (i + 1) * hiddenSize), i * hiddenSize);
  }

  const bandProbs = zeros(heads, sequenceLength, bandWidth);
  for (let row = 0; row < heads * sequenceLength; row++) {
    const from = row * (globals + bandWidth) + globals;
    bandProbs.data.set(probs.data.subarray(from, from + bandWidth), row * bandWidth);
  }
  const ofValueProduct = backwardOfBandedTimesPlain(rows, bandProbs, value, symmetric);
  const bandScores = ofValueProduct.banded; // (H, T, 2w + 1): dP now, dS after the softmax
  const globalScores = zeros(heads, sequenceLength, globals); // the same for the global columns
  const globalKeyGradient = zeros(sequenceLength, hiddenSize);
  const globalQueryGradient = zeros(sequenceLength, hiddenSize);
  const globalValueGradient = zeros(sequenceLength, hiddenSize);

  for (let head = 0; head < heads; head++) {
    const features = head * headDim;
    for (let i = 0; i < sequenceLength; i++) {
      const row = head * sequenceLength + i;
      const p = probs.data.subarray(row * (globals + bandWidth), (row + 1) * (globals + bandWidth));
      const dBand = bandScores.data.subarray(row * bandWidth, (row + 1) * bandWidth);
      const dGlobal = globalScores.data.subarray(row * globals, (row + 1) * globals);
      globalIndices.forEach((j, slot) => {
        for (let f = features; f < features + headDim; f++) {
          const output = rows.data[i * hiddenSize + f]!;
          dGlobal[slot]! += output * value.data[j * hiddenSize + f]!;
          globalValueGradient.data[j * hiddenSize + f]! += p[slot]! * output;
        }
      });
      softmaxBackward(p, dGlobal, dBand);
      globalIndices.forEach((j, slot) => {
        for (let f = features; f < features + headDim; f++) {
          globalQueryGradient.data[i * hiddenSize + f]! += dGlobal[slot]! * key.data[j * hiddenSize + f]!;
          globalKeyGradient.data[j * hiddenSize + f]! += dGlobal[slot]! * query.data[i * hiddenSize + f]!;
        }
      });
    }
  }
  const ofScores = backwardOfPlainTimesPlain(bandScores, query, key, symmetric);
  return {
    query: scaled(add(ofScores.plain, globalQueryGradient), headDim),
    key: scaled(add(ofScores.y, globalKeyGradient), headDim),
    value: add(ofValueProduct.y, globalValueGradient),
  };
}

/**
 * Gradients of globalAttention (5). gradient: (T, H * D), of which only the rows of global tokens count.
 *
 * queryGlobal: (G, H * D); keyGlobal, valueGlobal: (T, H * D); probs: (H, G, T) from the forward pass.
 */
export function globalAttentionBackward(
  gradient: Tensor64,
  queryGlobal: Tensor64,
  keyGlobal: Tensor64,
  valueGlobal: Tensor64,
  probs: Tensor64,
  globalIndices: readonly number[],
): AttentionGradients {
  const [sequenceLength, hiddenSize] = keyGlobal.shape as [number, number];
  const [heads, globals] = probs.shape as [number, number];
  const headDim = headDimOf('globalAttentionBackward', hiddenSize, heads);
  const rows = gatherRows(gradient, globalIndices); // (G, H * D)
  const query = zeros(globals, hiddenSize);
  const key = zeros(sequenceLength, hiddenSize);
  const value = zeros(sequenceLength, hiddenSize);
  for (let head = 0; head < heads; head++) {
    for (let slot = 0; slot < globals; slot++) {
      const start = (head * globals + slot) * sequenceLength;
      const p = probs.data.subarray(start, start + sequenceLength); // (T)
      const dScores = new Float64Array(sequenceLength);
      const features = Array.from({ length: headDim }, (_, d) => head * headDim + d);
      for (let j = 0; j < sequenceLength; j++) {
        for (const f of features) {
          const output = rows.data[slot * hiddenSize + f]!;
          dScores[j]! += output * valueGlobal.data[j * hiddenSize + f]!;
          value.data[j * hiddenSize + f]! += p[j]! * output;
        }
      }
      softmaxBackward(p, dScores);
      for (let j = 0; j < sequenceLength; j++) {
        for (const f of features) {
          query.data[slot * hiddenSize + f]! += dScores[j]! * keyGlobal.data[j * hiddenSize + f]!;
          key.data[j * hiddenSize + f]! += dScores[j]! * queryGlobal.data[slot * hiddenSize + f]!;
        }
      }
    }
  }
  return { query: scaled(query, headDim), key: scaled(key, headDim), value };
}

/** Gradients of y = x Wᵀ + b. gradient: (T, out); input: (T, in); weight: (out, in). */
export function linearBackward(
  gradient: Tensor64,
  input: Tensor64,
  weight: Tensor,
): { input: Tensor64; weight: Tensor64; bias: Tensor64 } {
  const [rows, outFeatures] = gradient.shape as [number, number];
  const inFeatures = input.shape[1]!;
  const w = toFloat64(weight).data;
  const result = { input: zeros(rows, inFeatures), weight: zeros(outFeatures, inFeatures), bias: zeros(outFeatures) };
  for (let t = 0; t < rows; t++) {
    for (let o = 0; o < outFeatures; o++) {
      const g = gradient.data[t * outFeatures + o]!;
      result.bias.data[o]! += g;
      for (let f = 0; f < inFeatures; f++) {
        result.input.data[t * inFeatures + f]! += g * w[o * inFeatures + f]!;
        result.weight.data[o * inFeatures + f]! += g * input.data[t * inFeatures + f]!;
      }
    }
  }
  return result;
}

/** dP → dS, in place. The parts of dP lie one after the other in the order of `probs`. */
function softmaxBackward(probs: Float64Array, ...parts: Float64Array[]): void {
  const forEachEntry = (visit: (part: Float64Array, c: number, p: number) => void): void => {
    let offset = 0;
    for (const part of parts) {
      for (let c = 0; c < part.length; c++) visit(part, c, probs[offset + c]!);
      offset += part.length;
    }
  };
  let weighted = 0;
  forEachEntry((part, c, p) => {
    weighted += p * part[c]!;
  });
  forEachEntry((part, c, p) => {
    part[c] = p * (part[c]! - weighted);
  });
}

/** The scale of the scores, once more on the way back. */
function scaled({ shape, data }: Tensor64, headDim: number): Tensor64 {
  return { shape, data: data.map(value => value / Math.sqrt(headDim)) };
}
