/**
 * Drawing the next token: temperature, then the best topK, then the best whose probabilities reach topP, then the lot.
 *
 * Source: HF TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper. The numbers drawn are not PyTorch's.
 * Read before: scores.ts. Read next: greedy.ts.
 */
import { ValueRangeError } from '../../contract/errors.ts';
import type { Settings } from './options.ts';
import { BestScores } from './scores.ts';

/** The tokens that may be drawn and how likely each is, in any order; weights are not normalised. */
export interface Lots {
  readonly tokens: Int32Array;
  readonly weights: Float64Array;
}

/** scores: (V), processed. Lots live until the next call. @throws ValueRangeError when every token is forbidden */
export type LotsOf = (scores: Float64Array) => Lots;

/** What is left of a distribution over the vocabulary, and how it is weighted. */
export function createLots(
  { temperature, topK, topP }: Pick<Settings, 'temperature' | 'topK' | 'topP'>,
  vocabSize: number,
): LotsOf {
  const best = new BestScores(topK > 0 && topK < vocabSize ? topK : 1);
  const everyToken = Int32Array.from({ length: vocabSize }, (_, v) => v);
  return scores => {
    best.clear();
    best.show(scores);
    const largest = best.scores[0]!;
    if (largest === Number.NEGATIVE_INFINITY) failWithoutLots();
    // Every token as good as the last of the best, too.
    const least = best.scores.at(-1)!;
    const tokens = topK > 0 && topK < vocabSize ? everyToken.filter(v => scores[v]! >= least) : everyToken;
    const weights = Float64Array.from(tokens, v => Math.exp((scores[v]! - largest) / temperature));
    return topP < 1 ? likeliest({ tokens, weights }, topP) : { tokens, weights };
  };
}

/** A token of the lots. random: [0, 1). */
export function drawLot({ tokens, weights }: Lots, random: number): number {
  let rest = random * sumOf(weights);
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0) continue;
    last = i;
    rest -= weights[i]!;
    if (rest < 0) break;
  }
  return tokens[last]!; // rounding may leave a crumb for the last one
}

const sumOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0);

/**
 * Token after token, the likeliest first, while those before have not reached topP; at least one. A heap gives them one by one, since few of
 * a vocabulary are asked for.
 */
function likeliest({ tokens, weights }: Lots, topP: number): Lots {
  const heap = Int32Array.from(tokens, (_, i) => i);
  let size = heap.length;
  const above = (a: number, b: number): boolean => {
    const difference = weights[a]! - weights[b]!;
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
  const enough = topP * sumOf(weights);
  const kept: number[] = [];
  let mass = 0;
  do {
    const top = heap[0]!;
    kept.push(top);
    mass += weights[top]!;
    heap[0] = heap[--size]!;
    sink(0);
  } while (mass < enough && size > 0);
  return { tokens: Int32Array.from(kept, i => tokens[i]!), weights: Float64Array.from(kept, i => weights[i]!) };
}

function failWithoutLots(): never {
  throw new ValueRangeError({
    where: 'generate',
    name: 'doSample',
    expected: 'a token that may be drawn',
    got: 'none: all are forbidden',
    hint: 'badWordsIds, noRepeatNgramSize or encoderNoRepeatNgramSize forbid everything: loosen them.',
  });
}
