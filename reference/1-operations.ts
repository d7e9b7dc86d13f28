/**
 * 1. The arithmetic everything else is made of: linear layers, layer norm, activations, softmax.
 *
 * All storage and arithmetic here is float64. Weights may arrive as float32 (that is how checkpoints keep them); widening
 * them loses nothing. Nothing in this folder is fast, and nothing is meant to be.
 *
 * Letters used in all shapes: T tokens, C hiddenSize, H heads, D = C / H headDim, V vocabSize, G global tokens.
 * Read next: 2-patterns.ts.
 */
import type { Activation } from '../contract/config.ts';
import { expectShape } from '../contract/errors.ts';
import type { Tensor, Tensor64 } from '../contract/tensor.ts';

/** A tensor of zeros. */
export function zeros(...shape: number[]): Tensor64 {
  const elements = shape.reduce((product, extent) => product * extent, 1);
  return { shape, data: new Float64Array(elements) };
}

/** The same values in double precision; a copy only if they were not double already. */
export function toFloat64(tensor: Tensor): Tensor64 {
  const { shape, data } = tensor;
  return { shape, data: data instanceof Float64Array ? data : new Float64Array(data) };
}

/** Rows `first` .. `first + count` of (rows, features), copied. */
export function sliceRows(input: Tensor64, first: number, count: number): Tensor64 {
  const features = input.shape[1]!;
  return { shape: [count, features], data: input.data.slice(first * features, (first + count) * features) };
}

/** output[i] = input[rows[i]]. (rows, features) → (rows.length, features). */
export function gatherRows(input: Tensor, rows: ArrayLike<number>): Tensor64 {
  const features = input.shape[1]!;
  const output = zeros(rows.length, features);
  for (let i = 0; i < rows.length; i++) {
    const first = rows[i]! * features;
    output.data.set(input.data.subarray(first, first + features), i * features);
  }
  return output;
}

/**
 * y = x Wᵀ + b, row by row.
 *
 * input: (T, inFeatures); weight: (outFeatures, inFeatures), as PyTorch stores it; bias: (outFeatures) or null.
 * Returns (T, outFeatures). Source: HF nn.Linear.
 * @throws ShapeError
 */
export function linear(input: Tensor64, weight: Tensor, bias: Tensor | null): Tensor64 {
  const [rows, inFeatures] = input.shape as [number, number];
  const outFeatures = weight.shape[0]!;
  expectShape('linear', 'weight', weight, [outFeatures, inFeatures]);
  if (bias) expectShape('linear', 'bias', bias, [outFeatures]);

  const x = input.data; // (rows, inFeatures)
  const w = toFloat64(weight).data; // (outFeatures, inFeatures)
  const output = zeros(rows, outFeatures);
  for (let t = 0; t < rows; t++) {
    for (let o = 0; o < outFeatures; o++) {
      let sum = 0;
      for (let f = 0; f < inFeatures; f++) sum += x[t * inFeatures + f]! * w[o * inFeatures + f]!;
      output.data[t * outFeatures + o] = sum + (bias ? bias.data[o]! : 0);
    }
  }
  return output;
}

/** a + b, element by element; same shape. */
export function add(a: Tensor64, b: Tensor64): Tensor64 {
  expectShape('add', 'b', b, a.shape);
  const output = zeros(...a.shape);
  for (let i = 0; i < output.data.length; i++) output.data[i] = a.data[i]! + b.data[i]!;
  return output;
}

/**
 * Each row shifted to mean 0 and scaled to variance 1, then stretched by gamma and moved by beta.
 *
 * input: (T, C); gamma, beta: (C). Returns (T, C). Source: HF nn.LayerNorm.
 * @throws ShapeError
 */
export function layerNorm(input: Tensor64, gamma: Tensor, beta: Tensor, eps: number): Tensor64 {
  const [rows, features] = input.shape as [number, number];
  expectShape('layerNorm', 'gamma', gamma, [features]);
  expectShape('layerNorm', 'beta', beta, [features]);

  const output = zeros(rows, features);
  for (let t = 0; t < rows; t++) {
    const row = input.data.subarray(t * features, (t + 1) * features); // (C)
    let mean = 0;
    for (const value of row) mean += value / features;
    let variance = 0; // Subtle: the average over C, not C - 1.
    for (const value of row) variance += (value - mean) ** 2 / features;
    const scale = 1 / Math.sqrt(variance + eps);
    for (let f = 0; f < features; f++) {
      output.data[t * features + f] = (row[f]! - mean) * scale * gamma.data[f]! + beta.data[f]!;
    }
  }
  return output;
}

/**
 * Softmax of `scores`, in place: positive numbers that sum to 1. Entries of -Infinity become exactly 0.
 *
 * Subtle: when every entry is -Infinity there is nothing to attend to. The formula says 0/0; we say all zeros, never NaN.
 */
export function softmax(scores: Float64Array): void {
  let highest = Number.NEGATIVE_INFINITY;
  for (const score of scores) highest = Math.max(highest, score);
  if (highest === Number.NEGATIVE_INFINITY) {
    scores.fill(0);
    return;
  }
  let sum = 0;
  for (let i = 0; i < scores.length; i++) {
    scores[i] = Math.exp(scores[i]! - highest); // subtracting the highest changes nothing but prevents overflow
    sum += scores[i]!;
  }
  for (let i = 0; i < scores.length; i++) scores[i] = scores[i]! / sum;
}

/**
 * The error function, to a few units in the last place of a double.
 *
 * Source: erf(x) = 2/√π · exp(-x²) · Σ 2ⁿ x²ⁿ⁺¹ / (1·3·5···(2n+1)). All terms have the same sign, so nothing cancels.
 */
export function erf(x: number): number {
  const magnitude = Math.abs(x);
  if (Number.isNaN(x)) return x;
  if (magnitude > 6) return Math.sign(x); // 1 - erf(6) < 3e-17, below the last digit
  let term = magnitude;
  let sum = magnitude;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * magnitude * magnitude) / (2 * n + 1);
    sum += term;
  }
  return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-magnitude * magnitude) * sum;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** The activations a checkpoint may name, one number at a time. Source: HF ACT2FN; GELU: Hendrycks and Gimpel 2016. */
export const activations: Record<Activation, (x: number) => number> = {
  gelu: x => x * 0.5 * (1 + erf(x / Math.SQRT2)),
  geluTanh: x => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  quickGelu: x => x * sigmoid(1.702 * x),
  relu: x => Math.max(0, x),
  relu2: x => Math.max(0, x) ** 2,
  relu6: x => Math.min(6, Math.max(0, x)),
  silu: x => x * sigmoid(x),
  mish: x => x * Math.tanh(x > 20 ? x : Math.log1p(Math.exp(x))), // beyond 20 softplus is x, as in PyTorch
  tanh: x => Math.tanh(x),
  sigmoid,
  linear: x => x,
};

/** The activation applied to every element. */
export function activate(input: Tensor64, activation: Activation): Tensor64 {
  return { shape: input.shape, data: input.data.map(activations[activation]) };
}
