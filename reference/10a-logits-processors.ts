/**
 * 10a. What may be written next: rules that change the scores of the next token before one is chosen.
 *
 * Each takes the scores (V) of one hypothesis and its target so far, the prompt included, and changes the scores in place. Greedy search
 * hands in logits, beam search log probabilities; nothing is normalised again afterwards. -Infinity means never.
 *
 * Read before: 9-led.ts. Read next: 10-generate.ts, which asks them in the order of `logitsProcessors`.
 */
import type { ResolvedOptions } from './10b-options.ts';

/** Changes scores (V) in place; target: ids so far, prompt included. */
export type LogitsProcessor = (scores: Float64Array, target: readonly number[]) => void;

const never = Number.NEGATIVE_INFINITY;

/**
 * Tokens of the target become less likely: a positive score is divided, a negative one multiplied. Once, however often a token occurred.
 *
 * Subtle: log probabilities are never positive, so beam search always multiplies. Source: HF RepetitionPenaltyLogitsProcessor.
 */
export const repetitionPenalty =
  (penalty: number): LogitsProcessor =>
  (scores, target) => {
    for (const token of new Set(target)) {
      scores[token] = scores[token]! < 0 ? scores[token]! * penalty : scores[token]! / penalty;
    }
  };

/** The tokens that would end an n-gram of `text` whose first n - 1 tokens are the last ones of `target`. */
export function endingsOfNgrams(text: ArrayLike<number>, target: readonly number[], size: number): number[] {
  const begun = target.length - (size - 1); // where the n-gram that is being written begins
  if (begun < 0) return [];
  const endings: number[] = [];
  for (let start = 0; start + size <= text.length; start++) {
    let same = true;
    for (let k = 0; k < size - 1; k++) same &&= text[start + k] === target[begun + k];
    if (same) endings.push(text[start + size - 1]!);
  }
  return endings;
}

/**
 * No n-gram twice. Subtle: with size 1 no token twice, the start token among them, and LED starts with its end token.
 *
 * Source: HF NoRepeatNGramLogitsProcessor.
 */
export const noRepeatNgram =
  (size: number): LogitsProcessor =>
  (scores, target) => {
    for (const token of endingsOfNgrams(target, target, size)) scores[token] = never;
  };

/** No n-gram of the source, padding and all. source: (T). Source: HF EncoderNoRepeatNGramLogitsProcessor. */
export const encoderNoRepeatNgram =
  (size: number, source: ArrayLike<number>): LogitsProcessor =>
  (scores, target) => {
    for (const token of endingsOfNgrams(source, target, size)) scores[token] = never;
  };

/**
 * The last token of a bad word is forbidden where all tokens before it have just been written.
 *
 * Subtle: a bad word that is an end token alone is overlooked. Source: HF NoBadWordsLogitsProcessor.
 */
export const noBadWords =
  (words: readonly (readonly number[])[], endTokenIds: readonly number[]): LogitsProcessor =>
  (scores, target) => {
    for (const word of words) {
      if (word.length === 1 && endTokenIds.includes(word[0]!)) continue;
      const begun = target.length - (word.length - 1);
      const isBegun = begun >= 0 && word.slice(0, -1).every((token, k) => token === target[begun + k]);
      if (isBegun) scores[word.at(-1)!] = never;
    }
  };

/** No end while the target, prompt included, is shorter than `length`. Source: HF MinLengthLogitsProcessor, MinNewTokensLengthLogitsProcessor. */
export const minLength =
  (length: number, endTokenIds: readonly number[]): LogitsProcessor =>
  (scores, target) => {
    if (target.length < length) for (const token of endTokenIds) scores[token] = never;
  };

/** When the target has `length` tokens, only these may follow, for free. Source: HF ForcedBOSTokenLogitsProcessor, ForcedEOSTokenLogitsProcessor. */
export const forcedAt =
  (length: number, tokenIds: readonly number[]): LogitsProcessor =>
  (scores, target) => {
    if (target.length !== length) return;
    scores.fill(never);
    for (const token of tokenIds) scores[token] = 0;
  };

/** The rules that are asked for, in the order in which HF asks them: a later one overrules an earlier one. source: (T) ids. */
export function logitsProcessors(options: ResolvedOptions, source: ArrayLike<number>): LogitsProcessor[] {
  const { endTokenIds, badWordsIds, forcedBosTokenId, forcedEosTokenIds, maxLength } = options;
  const rules: LogitsProcessor[] = [];
  if (options.repetitionPenalty !== 1) rules.push(repetitionPenalty(options.repetitionPenalty));
  if (options.noRepeatNgramSize > 0) rules.push(noRepeatNgram(options.noRepeatNgramSize));
  if (options.encoderNoRepeatNgramSize > 0) rules.push(encoderNoRepeatNgram(options.encoderNoRepeatNgramSize, source));
  if (badWordsIds.length > 0) rules.push(noBadWords(badWordsIds, endTokenIds));
  if (options.minLength > 0) rules.push(minLength(options.minLength, endTokenIds));
  if (forcedBosTokenId !== null) rules.push(forcedAt(1, [forcedBosTokenId]));
  if (forcedEosTokenIds.length > 0) rules.push(forcedAt(maxLength - 1, forcedEosTokenIds));
  return rules;
}
