/**
 * Drawing the next token: temperature, then the best topK, then the best whose probabilities reach topP, then the lot.
 *
 * Source: HF TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper. The numbers drawn are not PyTorch's.
 * Read before: scores.ts. Read next: greedy.ts.
 */
import type { Settings } from './options.ts';
import { BestScores } from './scores.ts';

/** scores: (V), processed. random: [0, 1). Returns a token. */
export type DrawToken = (scores: Float64Array, random: number) => number;

export function createDraw({ temperature, topK, topP }: Settings, vocabSize: number): DrawToken {
  const few = topK > 0 && topK < vocabSize ? topK : 0;
  if (few > 0) {
    const best = new BestScores(few);
    return (scores, random) => {
      best.clear();
      best.show(scores);
      // Differs: HF keeps every token as good as the last of the best; which of equals are kept is a matter of rounding.
      const probabilities = exponentials(best.scores, best.scores[0]!, temperature);
      return best.indices[drawDescending(probabilities, topP, random)]!;
    };
  }
  return (scores, random) => {
    let largest = Number.NEGATIVE_INFINITY;
    for (let v = 0; v < scores.length; v++) if (scores[v]! > largest) largest = scores[v]!;
    const probabilities = exponentials(scores, largest, temperature);
    return topP < 1 ? drawFromBest(probabilities, topP, random) : drawAny(probabilities, random);
  };
}

function exponentials(scores: Float64Array, largest: number, temperature: number): Float64Array {
  return scores.map(score => Math.exp((score - largest) / temperature));
}

const sumOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0);

/** Index into probabilities in descending order, not normalised: a token counts while those before it have not reached topP. */
function drawDescending(probabilities: Float64Array, topP: number, random: number): number {
  const total = sumOf(probabilities);
  let kept = 0;
  let mass = 0;
  while (kept < probabilities.length && (kept === 0 || topP === 1 || mass < topP * total))
    mass += probabilities[kept++]!;
  return drawAny(probabilities.subarray(0, kept), random);
}

/** The same for probabilities in any order: a heap gives the best one by one, and few are asked for. */
function drawFromBest(probabilities: Float64Array, topP: number, random: number): number {
  const heap = new Int32Array(probabilities.length).map((_, v) => v);
  let size = heap.length;
  const above = (a: number, b: number): boolean => {
    const difference = probabilities[a]! - probabilities[b]!;
    return difference > 0 || (difference === 0 && a < b);
  };
  const sink = (at: number): void => {
    for (let child = 2 * at + 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && above(heap[child + 1]!, heap[child]!)) child++;
      if (!above(heap[child]!, heap[at]!)) return;
      [heap[at], heap[child]] = [heap[child]!, heap[at]!];
      at = child;
    }
  };
  for (let at = size >> 1; at >= 0; at--) sink(at);
  const enough = topP * sumOf(probabilities);
  let mass = 0;
  const tokens: number[] = [];
  do {
    const token = heap[0]!;
    tokens.push(token);
    mass += probabilities[token]!;
    heap[0] = heap[--size]!;
    sink(0);
  } while (mass < enough && size > 0);
  return tokens[
    drawAny(
      Float64Array.from(tokens, token => probabilities[token]!),
      random,
    )
  ]!;
}

/** An index with the probability of its share of the sum. */
function drawAny(probabilities: Float64Array, random: number): number {
  let rest = random * sumOf(probabilities);
  let last = 0;
  for (let i = 0; i < probabilities.length; i++) {
    if (probabilities[i] === 0) continue;
    last = i;
    rest -= probabilities[i]!;
    if (rest < 0) return i;
  }
  return last; // rounding left a crumb
}
