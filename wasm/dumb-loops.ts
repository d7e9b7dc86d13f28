/** What the kernels should compute, as plain loops in float64, written from contract/kernels.ts and from nothing else. For tests and benchmarks. */
import type { Activation } from '../contract/config.ts';
import type { BandPattern, SequenceRoles } from '../contract/kernels.ts';

/** erf by its Taylor series up to 3, by the continued fraction of erfc beyond; correct to about 1e-14. */
export function erf(x: number): number {
  const t = Math.abs(x);
  if (t > 3) {
    let fraction = 0;
    for (let k = 120; k > 0; k--) fraction = k / 2 / (t + fraction);
    return Math.sign(x) * (1 - Math.exp(-t * t) / Math.sqrt(Math.PI) / (t + fraction));
  }
  let term = x;
  let sum = x;
  for (let n = 1; n < 100; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export const activations: Record<Activation, (x: number) => number> = {
  linear: x => x,
  gelu: x => (x * (1 + erf(x / Math.SQRT2))) / 2,
  geluTanh: x => (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))) / 2,
  quickGelu: x => x * sigmoid(1.702 * x),
  relu: x => Math.max(0, x),
  relu2: x => Math.max(0, x) ** 2,
  relu6: x => Math.min(6, Math.max(0, x)),
  silu: x => x * sigmoid(x),
  mish: x => x * Math.tanh(Math.log1p(Math.exp(x))),
  tanh: Math.tanh,
  sigmoid,
};

/** input (rows, K), weight (N, K), bias (N) → (rows, N). */
export function linear(
  input: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  inFeatures: number,
) {
  const rows = input.length / inFeatures;
  const outFeatures = bias.length;
  const out = new Float64Array(rows * outFeatures);
  for (let t = 0; t < rows; t++) {
    for (let o = 0; o < outFeatures; o++) {
      let sum = bias[o]!;
      for (let k = 0; k < inFeatures; k++) sum += input[t * inFeatures + k]! * weight[o * inFeatures + k]!;
      out[t * outFeatures + o] = sum;
    }
  }
  return out;
}

/** First row and end of the document that row i lies in. */
export function documentOf(i: number, { documentStarts, attentionMask }: SequenceRoles): [number, number] {
  const document = documentStarts.findLastIndex(start => start <= i);
  return [documentStarts[document]!, documentStarts[document + 1] ?? attentionMask.length];
}

/** The keys of local query i in HF's columns: global keys, then the band; -1 where a column is empty. */
export function localKeys(i: number, head: number, roles: SequenceRoles, band: BandPattern): number[] {
  const { attentionMask, globalIndices } = roles;
  const [start, end] = documentOf(i, roles);
  const inTime = (j: number): boolean => !band.causal || j <= i;
  const globals = [...globalIndices].filter(j => j >= start && j < end);
  const columns = globals.map(j => (inTime(j) ? j : -1));
  for (let step = -band.oneSidedWindow; step <= band.oneSidedWindow; step++) {
    const j = i + step * band.dilation[head]!;
    const seen = j >= start && j < end && attentionMask[j] === 1 && !globals.includes(j) && inTime(j);
    columns.push(seen ? j : -1);
  }
  return columns;
}

/** Softmax of one query's scores over these keys (-1: no key, probability 0). Row numbers count rows of C = H * D. */
export function probabilitiesOf(
  query: ArrayLike<number>,
  queryRow: number,
  key: ArrayLike<number>,
  keys: readonly number[],
  head: number,
  heads: number,
  hiddenSize: number,
): number[] {
  const headDim = hiddenSize / heads;
  const scores = keys.map(j => {
    if (j < 0) return Number.NEGATIVE_INFINITY;
    let sum = 0;
    for (let d = head * headDim; d < (head + 1) * headDim; d++) {
      sum += query[queryRow * hiddenSize + d]! * key[j * hiddenSize + d]!;
    }
    return sum / Math.sqrt(headDim);
  });
  const largest = Math.max(...scores);
  const exponentials = scores.map(score => Math.exp(score - largest));
  const total = exponentials.reduce((sum, x) => sum + x, 0);
  return exponentials.map(x => x / total);
}

/** out[outRow] of one head += Σ p_j value_j. */
export function addValues(
  out: Float64Array,
  outRow: number,
  value: ArrayLike<number>,
  keys: readonly number[],
  probabilities: readonly number[],
  head: number,
  heads: number,
  hiddenSize: number,
): void {
  const headDim = hiddenSize / heads;
  keys.forEach((j, column) => {
    if (j < 0) return;
    for (let d = head * headDim; d < (head + 1) * headDim; d++) {
      out[outRow * hiddenSize + d]! += probabilities[column]! * value[j * hiddenSize + d]!;
    }
  });
}
