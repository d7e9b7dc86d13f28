/** Each processor on paper: a vocabulary of 8, scores that are easy to tell apart. */
import { describe, expect, it } from 'vitest';
import type { GenerationOptions } from '../../contract/generation.ts';
import { createProcessor } from './logits-processors.ts';
import { settingsOf } from './options.ts';
import { createTableModel } from './table-model.ts';

const { config } = createTableModel([Array.from({ length: 8 }, () => new Array<number>(8).fill(0))]);
const source = { inputIds: Int32Array.of(0, 3, 4, 5, 3, 4, 6, 2) };

/** Scores 1, -1, 1, -1, … after the processors of these options. */
function process(options: GenerationOptions, ...ids: number[]): number[] {
  const scores = Float64Array.from({ length: 8 }, (_, v) => (v % 2 === 0 ? 1 : -1));
  createProcessor(settingsOf(options, config, 1), [source])(scores, Int32Array.from(ids), 0);
  return [...scores];
}

/** Tokens that may not be written. */
const banned = (options: GenerationOptions, ...ids: number[]): number[] =>
  process(options, ...ids).flatMap((score, v) => (score === Number.NEGATIVE_INFINITY ? [v] : []));

describe('logits processors', () => {
  it('nothing is asked for: nothing changes', () => {
    expect(process({}, 2, 3)).toEqual([1, -1, 1, -1, 1, -1, 1, -1]);
  });

  it('repetition penalty: positive scores are divided, negative ones multiplied, once for each token', () => {
    expect(process({ repetitionPenalty: 2 }, 2, 3, 3, 4)).toEqual([1, -1, 0.5, -2, 0.5, -1, 1, -1]);
    expect(process({ repetitionPenalty: 0.5 }, 2, 3)).toEqual([1, -1, 2, -0.5, 1, -1, 1, -1]);
  });

  it('no n-gram twice: whatever followed the last n - 1 tokens before', () => {
    expect(banned({ noRepeatNgramSize: 1 }, 2, 3, 3)).toEqual([2, 3]);
    expect(banned({ noRepeatNgramSize: 2 }, 2, 3, 4, 3)).toEqual([4]);
    expect(banned({ noRepeatNgramSize: 2 }, 2, 3, 4, 3, 5, 3)).toEqual([4, 5]);
    expect(banned({ noRepeatNgramSize: 3 }, 2, 3, 4, 3)).toEqual([]);
    expect(banned({ noRepeatNgramSize: 3 }, 2, 3, 4, 2, 3)).toEqual([4]);
    expect(banned({ noRepeatNgramSize: 4 }, 2, 3)).toEqual([]); // too short for any
    expect(banned({ noRepeatNgramSize: 2 }, 2, 3, 3)).toEqual([3]); // an n-gram that overlaps itself
  });

  it('no n-gram of the source', () => {
    expect(banned({ encoderNoRepeatNgramSize: 1 }, 2)).toEqual([0, 2, 3, 4, 5, 6]);
    expect(banned({ encoderNoRepeatNgramSize: 2 }, 2, 4)).toEqual([5, 6]);
    expect(banned({ encoderNoRepeatNgramSize: 3 }, 2, 3, 4)).toEqual([5, 6]);
    expect(banned({ encoderNoRepeatNgramSize: 3 }, 4)).toEqual([]);
  });

  it('bad words: the last token of one whose others stand there; the end of a text is none', () => {
    const badWordsIds = [[7], [3, 5], [3, 4, 6], [2]];
    expect(banned({ badWordsIds }, 2, 4)).toEqual([7]);
    expect(banned({ badWordsIds }, 2, 3)).toEqual([5, 7]);
    expect(banned({ badWordsIds }, 3, 4)).toEqual([6, 7]);
    expect(banned({ badWordsIds: [[5, 3, 6]] }, 3)).toEqual([]); // longer than what stands there
  });

  it('no end before the minimum, prompt counted or not', () => {
    expect(banned({ minLength: 3 }, 2, 3)).toEqual([2]);
    expect(banned({ minLength: 3 }, 2, 3, 4)).toEqual([]);
    expect(banned({ minNewTokens: 2 }, 2, 3)).toEqual([2]);
    expect(banned({ minNewTokens: 2 }, 2, 3, 4)).toEqual([]);
    expect(banned({ minNewTokens: 2, minLength: 9 }, 2, 3, 4)).toEqual([]); // HF: the new tokens win
    expect(banned({ minLength: 3, eosTokenId: [2, 5] }, 2, 3)).toEqual([2, 5]);
  });

  it('forced tokens have the last word, with a score of 0', () => {
    const never = Number.NEGATIVE_INFINITY;
    const forced = { forcedBosTokenId: 7, forcedEosTokenId: 2, maxLength: 5, minLength: 5 };
    expect(process(forced, 2)).toEqual([never, never, never, never, never, never, never, 0]);
    expect(banned(forced, 2, 7)).toEqual([2]);
    expect(process(forced, 2, 7, 3, 4)).toEqual([never, never, 0, never, never, never, never, never]);
  });
});
