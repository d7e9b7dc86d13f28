/**
 * The arithmetic of generation on the host: logits of one hypothesis → scores in double precision, and the best of them.
 *
 * A vocabulary has 50,000 entries and a step several hypotheses: each function passes once or twice over typed arrays and sorts nothing.
 * Read next: greedy.ts, sampling.ts, beam-search.ts.
 */

/** scores[v] = logits[from + v]. */
export function copyLogits(scores: Float64Array, logits: Float32Array | Float64Array, from: number): void {
  for (let v = 0; v < scores.length; v++) scores[v] = logits[from + v]!;
}

/** scores[v] = log softmax of logits[from ..]. Sums in double, whatever the backend's precision. */
export function logSoftmax(scores: Float64Array, logits: Float32Array | Float64Array, from: number): void {
  let largest = Number.NEGATIVE_INFINITY;
  for (let v = 0; v < scores.length; v++) {
    const logit = logits[from + v]!;
    scores[v] = logit;
    if (logit > largest) largest = logit;
  }
  let sum = 0;
  for (let v = 0; v < scores.length; v++) sum += Math.exp(scores[v]! - largest);
  const rest = Math.log(sum);
  // Largest first: it may be much larger than what is left.
  for (let v = 0; v < scores.length; v++) scores[v] = scores[v]! - largest - rest;
}

/** Index of the largest, the first one of equals. */
export function indexOfLargest(scores: Float64Array): number {
  let best = 0;
  for (let v = 1; v < scores.length; v++) if (scores[v]! > scores[best]!) best = v;
  return best;
}

/** The `size` best of all scores that it is shown, in descending order; of equals the first one shown. */
export class BestScores {
  readonly scores: Float64Array;
  /** What each of them belongs to: what was shown as `first` + its index. */
  readonly indices: Int32Array;
  #count = 0;

  constructor(size: number) {
    this.scores = new Float64Array(size);
    this.indices = new Int32Array(size);
  }

  clear(): void {
    this.#count = 0;
  }

  /** How many there are: `size`, unless fewer were shown. */
  get count(): number {
    return this.#count;
  }

  /** Shows scores[v] + shift for all v, as index first + v. */
  show(scores: Float64Array, shift = 0, first = 0): void {
    const size = this.scores.length;
    // The one to beat: almost every entry ends at this comparison.
    let worst = this.#count === size ? this.scores[size - 1]! : Number.NaN;
    for (let v = 0; v < scores.length; v++) {
      const score = scores[v]! + shift;
      if (score <= worst) continue;
      this.#insert(score, first + v);
      if (this.#count === size) worst = this.scores[size - 1]!;
    }
  }

  #insert(score: number, index: number): void {
    const { scores, indices } = this;
    let at = this.#count < scores.length ? this.#count++ : scores.length - 1;
    for (; at > 0 && scores[at - 1]! < score; at--) {
      scores[at] = scores[at - 1]!;
      indices[at] = indices[at - 1]!;
    }
    scores[at] = score;
    indices[at] = index;
  }
}
