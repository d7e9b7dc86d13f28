/**
 * What may be written next: each processor changes the scores of one hypothesis where it stands.
 *
 * In Hugging Face's order, so that a later one has the last word. Greedy search and sampling give logits, beam search log probabilities, and
 * nothing is normalised again. Read before: options.ts. Source: HF GenerationMixin._get_logits_processor, generation/logits_process.py.
 */
import { ValueRangeError } from '../../contract/errors.ts';
import type { EncoderInputs } from '../../contract/model.ts';
import type { Settings } from './options.ts';

/**
 * ids: (t) the hypothesis so far, prompt included; scores: (V) of the token after it, changed in place; document: whose target it is.
 */
export type LogitsProcessor = (scores: Float64Array, ids: Int32Array, document: number) => void;

/** All processors that the settings ask for, as one. @throws ValueRangeError when a source has no ids and they are needed */
export function createProcessor(settings: Settings, documents: readonly EncoderInputs[]): LogitsProcessor {
  const { repetitionPenalty, noRepeatNgramSize, encoderNoRepeatNgramSize, badWordsIds } = settings;
  const { minLength, maxLength, eosTokenIds, forcedBosTokenId, forcedEosTokenIds } = settings;
  const processors: LogitsProcessor[] = [];
  if (repetitionPenalty !== 1) processors.push(repetitionPenaltyProcessor(repetitionPenalty));
  if (noRepeatNgramSize > 0) processors.push(noRepeatNgrams(noRepeatNgramSize));
  if (encoderNoRepeatNgramSize > 0) processors.push(noSourceNgrams(encoderNoRepeatNgramSize, documents));
  if (badWordsIds.length > 0) processors.push(noBadWords(badWordsIds, eosTokenIds));
  if (minLength > 0) processors.push((scores, ids) => ban(scores, ids.length < minLength ? eosTokenIds : []));
  if (forcedBosTokenId !== null) {
    processors.push((scores, ids) => {
      if (ids.length === 1) force(scores, [forcedBosTokenId]);
    });
  }
  if (forcedEosTokenIds.length > 0) {
    processors.push((scores, ids) => {
      if (ids.length === maxLength - 1) force(scores, forcedEosTokenIds);
    });
  }
  return (scores, ids, document) => {
    for (const process of processors) process(scores, ids, document);
  };
}

function ban(scores: Float64Array, tokens: Iterable<number>): void {
  for (const token of tokens) scores[token] = Number.NEGATIVE_INFINITY;
}

function force(scores: Float64Array, tokens: readonly number[]): void {
  scores.fill(Number.NEGATIVE_INFINITY);
  for (const token of tokens) scores[token] = 0;
}

/** Every token of the hypothesis once, however often it stands there. HF RepetitionPenaltyLogitsProcessor. */
function repetitionPenaltyProcessor(penalty: number): LogitsProcessor {
  return (scores, ids) => {
    for (const token of new Set(ids)) {
      const score = scores[token]!;
      scores[token] = score < 0 ? score * penalty : score / penalty;
    }
  };
}

/** Every token that followed an earlier occurrence of the last size - 1 tokens. HF NoRepeatNGramLogitsProcessor. */
function noRepeatNgrams(size: number): LogitsProcessor {
  return (scores, ids) => {
    const tail = ids.length + 1 - size; // where the last size - 1 tokens begin
    for (let start = 0; start + size <= ids.length; start++) {
      let same = true;
      for (let i = 0; same && i < size - 1; i++) same = ids[start + i] === ids[tail + i];
      if (same) scores[ids[start + size - 1]!] = Number.NEGATIVE_INFINITY;
    }
  };
}

/** The same for n-grams of the source. They are looked up, since a source is long. HF EncoderNoRepeatNGramLogitsProcessor. */
function noSourceNgrams(size: number, documents: readonly EncoderInputs[]): LogitsProcessor {
  const followers = documents.map(({ inputIds }, document) => {
    if (!inputIds) {
      throw new ValueRangeError({
        where: 'generate',
        name: 'encoderNoRepeatNgramSize',
        expected: 'inputIds for every document',
        got: `embeddings for document ${document}`,
        hint: 'n-grams of a source are n-grams of its ids.',
      });
    }
    const after = new Map<string, Set<number>>();
    for (let start = 0; start + size <= inputIds.length; start++) {
      const key = inputIds.subarray(start, start + size - 1).join();
      const tokens = after.get(key) ?? new Set();
      after.set(key, tokens.add(inputIds[start + size - 1]!));
    }
    return after;
  });
  return (scores, ids, document) => {
    if (ids.length < size - 1) return;
    ban(scores, followers[document]!.get(ids.subarray(ids.length + 1 - size).join()) ?? []);
  };
}

/** The last token of a bad word whose others have just been written. The end of a text is never a bad word. HF NoBadWordsLogitsProcessor. */
function noBadWords(words: readonly (readonly number[])[], eosTokenIds: readonly number[]): LogitsProcessor {
  const banned = words.filter(word => word.length > 1 || !eosTokenIds.includes(word[0]!));
  return (scores, ids) => {
    for (const word of banned) {
      const begin = ids.length - (word.length - 1);
      const written = begin >= 0 && word.slice(0, -1).every((token, i) => token === ids[begin + i]);
      if (written) scores[word.at(-1)!] = Number.NEGATIVE_INFINITY;
    }
  };
}
