/**
 * How much error is allowed. The only place with tolerances. docs/decisions.md and FORMAT.md say why these.
 *
 * Two questions, two gates:
 * - float64: is it the same function? A wrong key, mask or epsilon cannot hide at 1e-10.
 * - float32: is it as accurate as PyTorch? A subject may err a small factor of what HF's own float32 errs on the same case.
 *
 * A third for weights in float16, which no float32 result can match: does it point the same way and choose the same?
 */

export type Precision = 'float64' | 'float32' | 'float16';

/** What a case records about one expected tensor. */
export interface Expectation {
  /** max |HF float32 - HF float64|. */
  readonly spread: number;
  /** max |expected|. */
  readonly max: number;
  /** Ids: equal or wrong. `spread` and `max` mean nothing then. */
  readonly exact?: boolean;
  /** Two things the writer had to choose between are closer than float32 can tell apart; only a float64 subject is held to the choice. */
  readonly tied?: boolean;
}

/**
 * A float32 subject may err this many times what HF's float32 errs. Frozen after the first honest measurement: `spread` is the luck
 * of one run of roundings, and on the worst of 1,100 tensors a correct kernel erred 3.3 times as much. The figure to watch is the
 * geometric mean over all tensors, which the report prints as growth.
 */
const float32Factor = 4;

/** One unit in the last place of a float32 around 1. */
const float32Eps = 2 ** -23;

const float64Relative = 1e-10;

/**
 * 1 - cosine of a whole tensor. Weights rounded to float16 on otherwise float32 kernels gave at most 1.0e-6 on 648 tensors; WebGPU's on
 * lavapipe 2.8e-6 on 1,134. No other largest logit in either.
 */
export const float16Distance = 1e-5;

/** Outputs of which a reader takes the largest element: it must be the same one. */
export const isChosenFrom = (output: string): boolean => /logits$/.test(output);

/** Probabilities and attention outputs: an expected zero means "nobody may look here", so it must be exact. */
export const hasExactZeros = (output: string): boolean => /^attn_output(\.|$)/.test(output) || isProbability(output);

/** The name of a tensor of attention probabilities, Longformer's or LED's. */
const isProbability = (output: string): boolean =>
  /^(encoder_|decoder_|cross_)?(global_)?attentions(\.|$)/.test(output);

/** Largest allowed |actual - expected| of one output. */
export function allowedError(output: string, expectation: Expectation, precision: 'float64' | 'float32'): number {
  if (precision === 'float32') return float32Factor * (expectation.spread + float32Eps * expectation.max);
  return float64Relative * (isProbability(output) ? 1 : expectation.max);
}
