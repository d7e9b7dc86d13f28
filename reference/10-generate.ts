/**
 * 10. Writing: a decoder says how likely each next token is; greedy and beam search make a text of it. Paper §7.2 (beams); HF generate.
 *
 * Greedy search takes the best token, again and again. Beam search keeps the B best beginnings instead of one, because the best
 * text need not begin with the best token. Only its bookkeeping is hard: which texts are finished, how a long one compares
 * with a short one, and when no running one can win any more.
 *
 * One document at a time, and nothing is remembered between steps but ids and sums: `next` computes the whole target anew.
 * Read before: 9-led.ts, 10a-logits-processors.ts. This is the last lesson.
 */
import type { LedConfig } from '../contract/config.ts';
import type { GeneratedSequence, GenerationOptions } from '../contract/generation.ts';
import type { EncoderInputs } from '../contract/model.ts';
import { sliceRows } from './1-operations.ts';
import type { Weights } from './7-longformer.ts';
import { type EncodedDocument, encodeDocument, ledDecoder, targetOf, vocabularyLogits } from './9-led.ts';
import { type LogitsProcessor, logitsProcessors } from './10a-logits-processors.ts';
import { type ResolvedOptions, resolveOptions } from './10b-options.ts';

/** Logits (V) of the token after a target. Anything that can answer this can write: see the table of numbers in the tests. */
export type NextLogits = (target: readonly number[]) => Float64Array;

/** The best token by the rules, until one of them ends the text or maxLength is reached. Source: HF GenerationMixin._sample. */
export function greedySearch(
  next: NextLogits,
  processors: readonly LogitsProcessor[],
  { prompt, maxLength, endTokenIds }: ResolvedOptions,
): GeneratedSequence {
  const target = [...prompt];
  while (target.length < maxLength) {
    const scores = next(target).slice(); // (V)
    for (const process of processors) process(scores, target);
    let best = 0; // the first of equals
    for (let token = 1; token < scores.length; token++) if (scores[token]! > scores[best]!) best = token;
    target.push(best);
    if (endTokenIds.includes(best)) break;
  }
  return { ids: Int32Array.from(target), score: null };
}

/** log softmax: scores that are logarithms of probabilities. logits: (V). Returns (V). */
export function logSoftmax(logits: Float64Array): Float64Array {
  const highest = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - highest);
  return logits.map(logit => logit - highest - Math.log(sum));
}

/** A text that is being written, or could be. */
interface Hypothesis {
  readonly ids: readonly number[];
  /** Running: the sum of its log probabilities. Finished: that, divided by length ^ lengthPenalty. */
  readonly score: number;
  /** Its last token ended it, or it is as long as it may be. */
  readonly ended: boolean;
}

/** What HF adds to a score to rule a hypothesis out. Subtle: it is not -Infinity; of two that are ruled out the better one stays ahead. */
const ruledOut = -1e9;

/** The `count` best, best first; of equals the earlier one first. */
function best(hypotheses: readonly Hypothesis[], count: number): Hypothesis[] {
  return hypotheses.toSorted((a, b) => b.score - a.score || 0).slice(0, count);
}

/**
 * The best beginnings side by side. Returns the numReturnSequences best texts, best first.
 *
 * Source: HF GenerationMixin._beam_search and its helpers; spec E.6, whose steps are numbered here.
 */
export function beamSearch(
  next: NextLogits,
  processors: readonly LogitsProcessor[],
  options: ResolvedOptions,
): GeneratedSequence[] {
  const { prompt, maxLength, numBeams, lengthPenalty, earlyStopping, endTokenIds } = options;
  // Only the first beam counts in the beginning: all of them are the prompt, and would write the same.
  let running: Hypothesis[] = Array.from({ length: numBeams }, (_, beam) => {
    return { ids: prompt, score: beam === 0 ? 0 : ruledOut, ended: false };
  });
  let finished: Hypothesis[] = running.map(() => ({ ids: prompt, score: ruledOut, ended: false }));

  for (;;) {
    // 1. Every beam with every token; of these the best. Twice as many as beams, so that enough of them go on if many end now.
    const candidates = best(
      running.flatMap(beam => continuations(beam, next, processors, options)),
      Math.max(2, 1 + endTokenIds.length) * numBeams,
    );

    // 2, 3. Those that have not ended run on.
    running = best(
      candidates.map(each => ({ ...each, score: each.score + (each.ended ? ruledOut : 0) })),
      numBeams,
    );

    // 4. Those that have ended may take the place of worse finished ones. Subtle: only if they are among the first numBeams candidates:
    // the others are there to run on.
    const length = candidates[0]!.ids.length - prompt.length; // tokens after the prompt, the ending one included
    const newlyFinished = candidates.map(({ ids, score, ended: hasEnded }, rank): Hypothesis => {
      const ended = hasEnded && rank < numBeams;
      return { ids, score: score / length ** lengthPenalty + (ended ? 0 : ruledOut), ended };
    });
    finished = best([...finished, ...newlyFinished], numBeams);

    // 5. Can the best running beam still get ahead of the worst finished text?
    const attainable = earlyStopping === 'never' && lengthPenalty > 0 ? maxLength - prompt.length : length;
    const hope = running[0]!.score / attainable ** lengthPenalty;
    const worst = Math.min(...finished.map(text => text.score));
    const canImprove = finished.some(text => hope > (text.ended ? worst : ruledOut));

    // 6. Enough?
    const isDone = earlyStopping === true && finished.every(text => text.ended);
    if (!canImprove || isDone || candidates.every(each => each.ended)) break;
  }
  return finished.slice(0, options.numReturnSequences).map(({ ids, score }) => ({ ids: Int32Array.from(ids), score }));
}

/** A beam with each token of the vocabulary behind it. */
function continuations(
  { ids, score }: Hypothesis,
  next: NextLogits,
  processors: readonly LogitsProcessor[],
  { maxLength, endTokenIds }: ResolvedOptions,
): Hypothesis[] {
  const scores = logSoftmax(next(ids)); // (V)
  for (const process of processors) process(scores, ids);
  return Array.from(scores, (logProbability, token) => ({
    ids: [...ids, token],
    score: score + logProbability,
    ended: endTokenIds.includes(token) || ids.length + 1 >= maxLength,
  }));
}

/** LED as something that can write: the decoder over the whole target, its last row. */
export function ledNextLogits(source: EncodedDocument, weights: Weights, config: LedConfig): NextLogits {
  return target => {
    const { hiddenStates } = [...ledDecoder(targetOf(target, weights, config), source, weights, config)].at(-1)!;
    return vocabularyLogits(sliceRows(hiddenStates, target.length - 1, 1), weights, config).data;
  };
}

/**
 * The texts that LED writes for one document: greedy search for one beam, beam search for more.
 *
 * document: which of options.decoderInputIds is its prompt. inputs: checked. Source: HF GenerationMixin.generate.
 * @throws ValueRangeError, UnsupportedError for options it cannot follow
 */
export function generate(
  inputs: EncoderInputs,
  weights: Weights,
  config: LedConfig,
  options: GenerationOptions = {},
  document = 0,
): GeneratedSequence[] {
  const resolved = resolveOptions(options, config, document);
  const next = ledNextLogits(encodeDocument(inputs, weights, config), weights, config);
  const processors = logitsProcessors(resolved, inputs.inputIds ?? []);
  return resolved.numBeams === 1 ? [greedySearch(next, processors, resolved)] : beamSearch(next, processors, resolved);
}
