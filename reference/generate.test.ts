/** Searching and the rules of writing, on tables small enough for paper. */
import { describe, expect, it } from 'vitest';
import type { LedConfig } from '../contract/config.ts';
import type { GenerationOptions } from '../contract/generation.ts';
import { beamSearch, greedySearch, logSoftmax, type NextLogits } from './10-generate.ts';
import {
  encoderNoRepeatNgram,
  endingsOfNgrams,
  forcedAt,
  minLength,
  noBadWords,
  noRepeatNgram,
  repetitionPenalty,
} from './10a-logits-processors.ts';
import { resolveOptions } from './10b-options.ts';

const never = Number.NEGATIVE_INFINITY;
const config = {
  vocabSize: 4,
  eosTokenId: 0,
  padTokenId: 1,
  decoderStartTokenId: 0,
  maxDecoderPositionEmbeddings: 9,
} as LedConfig;

/** Scores after a rule. */
const scoresAfter = (
  rule: (scores: Float64Array, target: readonly number[]) => void,
  target: number[],
  scores: number[],
): number[] => {
  const changed = Float64Array.from(scores);
  rule(changed, target);
  return [...changed];
};

describe('rules', () => {
  it('the repetition penalty makes both signs less likely, once', () => {
    expect(scoresAfter(repetitionPenalty(2), [0, 1, 1], [4, -4, 4, -4])).toEqual([2, -8, 4, -4]);
  });

  it('no pair twice; with size 1 no token twice; too short a text forbids nothing', () => {
    expect(scoresAfter(noRepeatNgram(2), [3, 1, 3], [0, 0, 0, 0])).toEqual([0, never, 0, 0]);
    expect(scoresAfter(noRepeatNgram(1), [3, 1], [0, 0, 0, 0])).toEqual([0, never, 0, never]);
    expect(scoresAfter(noRepeatNgram(3), [3], [0, 0, 0, 0])).toEqual([0, 0, 0, 0]);
    expect(endingsOfNgrams([1, 2, 3, 1, 2, 0], [9, 1, 2], 3)).toEqual([3, 0]);
  });

  it('no pair of the source', () => {
    expect(scoresAfter(encoderNoRepeatNgram(2, [3, 2, 3, 1]), [0, 3], [0, 0, 0, 0])).toEqual([0, never, never, 0]);
  });

  it('a bad word is stopped at its last token; the end token alone is no bad word', () => {
    const rule = noBadWords([[1, 2], [3], [0], [2, 2, 2]], [0]);
    expect(scoresAfter(rule, [0, 1], [0, 0, 0, 0])).toEqual([0, 0, never, never]);
    expect(scoresAfter(rule, [1], [0, 0, 0, 0])).toEqual([0, 0, never, never]);
    expect(scoresAfter(rule, [1, 3], [0, 0, 0, 0])).toEqual([0, 0, 0, never]);
  });

  it('no end before the minimum, and only the forced token where one is forced', () => {
    expect(scoresAfter(minLength(3, [0, 2]), [0, 1], [0, 0, 0, 0])).toEqual([never, 0, never, 0]);
    expect(scoresAfter(minLength(3, [0, 2]), [0, 1, 1], [0, 0, 0, 0])).toEqual([0, 0, 0, 0]);
    expect(scoresAfter(forcedAt(1, [2]), [0], [5, 6, 7, 8])).toEqual([never, never, 0, never]);
    expect(scoresAfter(forcedAt(1, [2]), [0, 1], [5, 6, 7, 8])).toEqual([5, 6, 7, 8]);
  });
});

/** Probabilities of the next token by the last one: 0 is start and end, then A, B, C. */
const table = [
  [0.05, 0.5, 0.4, 0.05],
  [0.25, 0.25, 0.25, 0.25],
  [0.9, 0.02, 0.04, 0.04],
  [0.25, 0.25, 0.25, 0.25],
];
const next: NextLogits = target => Float64Array.from(table[target.at(-1)!]!, Math.log);
const options = (asked: GenerationOptions): ReturnType<typeof resolveOptions> => resolveOptions(asked, config, 0);

describe('searches', () => {
  it('greedy takes the best token and the first of equals, and stops at the end token or at the end of the room', () => {
    expect([...greedySearch(next, [], options({ maxLength: 5 })).ids]).toEqual([0, 1, 0]);
    expect([...greedySearch(next, [minLength(9, [0])], options({ maxLength: 5 })).ids]).toEqual([0, 1, 1, 1, 1]);
  });

  it('beams find what greedy misses; the score is the log probability over length ^ penalty', () => {
    const [first] = beamSearch(next, [], options({ maxLength: 5, numBeams: 2, lengthPenalty: 0 }));
    expect([...first!.ids]).toEqual([0, 2, 0]);
    expect(first!.score).toBeCloseTo(Math.log(0.4 * 0.9), 14);
    const [halved] = beamSearch(next, [], options({ maxLength: 5, numBeams: 2, lengthPenalty: 1 }));
    expect(halved!.score).toBeCloseTo(Math.log(0.4 * 0.9) / 2, 14);
  });

  it('as many texts as asked for, best first, and a prompt that does not count in the penalty', () => {
    const asked = { maxLength: 6, numBeams: 3, numReturnSequences: 3, decoderInputIds: [Int32Array.of(0, 1, 2)] };
    const texts = beamSearch(next, [], options(asked));
    expect([...texts[0]!.ids]).toEqual([0, 1, 2, 0]);
    expect(texts[0]!.score).toBeCloseTo(Math.log(0.9), 14); // one token after the prompt
    expect(texts.map(({ score }) => score)).toEqual(texts.map(({ score }) => score).toSorted((a, b) => b! - a!));
  });

  it('log softmax: logarithms of numbers that sum to 1', () => {
    const sum = logSoftmax(Float64Array.of(1000, 1001, never)).reduce((total, score) => total + Math.exp(score), 0);
    expect(sum).toBeCloseTo(1, 12);
  });
});

describe('options', () => {
  it('defaults: 20 tokens after the prompt if the table has room; new tokens win over lengths', () => {
    expect(options({})).toMatchObject({ prompt: [0], maxLength: 10, minLength: 0, numBeams: 1, endTokenIds: [0] });
    const both = options({ maxLength: 3, maxNewTokens: 6, minLength: 1, minNewTokens: 2 });
    expect(both).toMatchObject({ maxLength: 7, minLength: 3 });
  });

  it('the start token is put before prompts, unless one begins with it', () => {
    const prompts = [Int32Array.of(1, 2), Int32Array.of(3, 2)];
    expect(resolveOptions({ decoderInputIds: prompts }, config, 1).prompt).toEqual([0, 3, 2]);
    const begun = [Int32Array.of(0, 2), Int32Array.of(3, 2)];
    expect(resolveOptions({ decoderInputIds: begun }, config, 1).prompt).toEqual([3, 2]);
  });

  const bad: [GenerationOptions, string][] = [
    [
      { maxLength: 2, decoderInputIds: [Int32Array.of(0, 1)] },
      'led.generate: "decoderInputIds" expected a prompt shorter than 2, the longest allowed, got 2 tokens.\n' +
        '  Hint: raise maxLength or maxNewTokens, or shorten the prompt.',
    ],
    [
      { maxLength: 11 },
      'led.generate: "maxLength[0]" expected 1..10, got 11.\n  Hint: max_decoder_position_embeddings is 9.',
    ],
    [
      { maxLength: 5, minLength: 6 },
      'led.generate: "minLength[0]" expected 0..5, got 6.\n  Hint: a text cannot be forbidden to end before it has to.',
    ],
    [
      { numBeams: 2, numReturnSequences: 3 },
      'led.generate: "numReturnSequences[0]" expected 1..2, got 3.\n  Hint: there are as many sequences as beams.',
    ],
    [{ repetitionPenalty: 0 }, 'led.generate: "repetitionPenalty" expected a positive number, got 0.'],
    [{ badWordsIds: [[]] }, 'led.generate: "badWordsIds[0]" expected at least one token, got none.'],
    [
      { doSample: true },
      'led.generate: "doSample" expected false, got true.\n  Hint: sampling is a thing of the fast backends: the reference has no luck.',
    ],
  ];
  it.each(bad)('%j is refused', (asked, message) => {
    let said = '';
    try {
      options(asked);
    } catch (error) {
      said = (error as Error).message;
    }
    expect(said).toBe(message);
  });

  it('nothing to begin with is refused', () => {
    expect(() => resolveOptions({}, { ...config, decoderStartTokenId: null }, 0)).toThrow(
      'led.generate: "decoderStartTokenId" expected a token id (decoder_start_token_id), got null.\n' +
        '  Hint: give decoderStartTokenId: LED starts with its eos_token_id.',
    );
  });
});
