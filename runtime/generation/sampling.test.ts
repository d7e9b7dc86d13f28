/** Distributions as Hugging Face's warpers leave them, and lots that follow them. */
import { readFileSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import { createRandom } from './random.ts';
import { createLots, drawLot } from './sampling.ts';

interface Recorded {
  readonly logits: readonly (number | null)[];
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly probabilities: readonly number[];
}

/** Recorded by conformance/generate/sampling.py; null is a forbidden token. */
const { cases } = JSON.parse(
  readFileSync(new URL('../../conformance/vectors/sampling.json', import.meta.url), 'utf8'),
) as { cases: readonly Recorded[] };

const scoresOf = (logits: Recorded['logits']): Float64Array =>
  Float64Array.from(logits, logit => logit ?? Number.NEGATIVE_INFINITY);

describe('what may be drawn is what Hugging Face’s warpers leave', () => {
  test.each(cases)('temperature $temperature, topK $topK, topP $topP', recorded => {
    const { logits, probabilities } = recorded;
    const { tokens, weights } = createLots(recorded, logits.length)(scoresOf(logits));
    const sum = weights.reduce((all, weight) => all + weight, 0);
    const ours = new Float64Array(logits.length);
    for (const [i, token] of tokens.entries()) ours[token] = weights[i]! / sum;
    expect([...ours].map(p => p > 0)).toEqual(probabilities.map(p => p > 0));
    for (const [token, probability] of probabilities.entries()) expect(ours[token]).toBeCloseTo(probability, 14);
  });
});

describe('lots', () => {
  it.each([
    { temperature: 0.7, topK: 0, topP: 1 },
    { temperature: 1, topK: 6, topP: 1 },
    { temperature: 1.5, topK: 0, topP: 0.9 },
    { temperature: 1, topK: 8, topP: 0.8 },
  ])('are drawn as often as they are likely: %o', settings => {
    const scores = Float64Array.from({ length: 12 }, (_, v) => Math.sin(3 * v) + v / 8);
    const lots = createLots(settings, scores.length)(scores);
    const random = createRandom(11, 0);
    const draws = 40_000;
    const counts = new Map<number, number>();
    for (let i = 0; i < draws; i++) {
      const token = drawLot(lots, random());
      counts.set(token, (counts.get(token) ?? 0) + 1);
    }
    const sum = lots.weights.reduce((all, weight) => all + weight, 0);
    let chiSquare = 0;
    for (const [i, token] of lots.tokens.entries()) {
      const expected = (draws * lots.weights[i]!) / sum;
      chiSquare += ((counts.get(token) ?? 0) - expected) ** 2 / expected;
    }
    expect([...counts.keys()].every(token => lots.tokens.includes(token))).toBe(true);
    expect(chiSquare).toBeLessThan(31.3); // 11 degrees of freedom: one in a thousand
  });

  it('a vocabulary of real size keeps what a sort would keep', () => {
    const random = createRandom(3, 1);
    const scores = Float64Array.from({ length: 50_265 }, () => 10 * random());
    const sorted = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);
    const { tokens } = createLots({ temperature: 1, topK: 0, topP: 0.3 }, scores.length)(scores);
    expect([...tokens]).toEqual(sorted.slice(0, tokens.length));
    const mass = (some: readonly number[]): number => some.reduce((sum, v) => sum + Math.exp(scores[v]!), 0);
    expect(mass([...tokens]) / mass(sorted)).toBeGreaterThanOrEqual(0.3);
    expect(mass([...tokens].slice(0, -1)) / mass(sorted)).toBeLessThan(0.3);
  });

  it.each([
    [0.25, 1],
    [0.5, 2],
    [0.51, 3],
    [1, 4],
  ])('four that are equally likely: a sum that is exactly topP %d is enough', (topP, count) => {
    const { tokens } = createLots({ temperature: 1, topK: 0, topP }, 4)(new Float64Array(4));
    expect(tokens).toHaveLength(count);
  });

  it('the largest random number draws a token that is possible', () => {
    const scores = scoresOf([0, null, 0, null]);
    expect(drawLot(createLots({ temperature: 1, topK: 0, topP: 1 }, 4)(scores), 1 - 2 ** -53)).toBe(2);
  });

  it('nothing allowed is an error, not a token', () => {
    expect(() => createLots({ temperature: 1, topK: 2, topP: 1 }, 3)(scoresOf([null, null, null]))).toThrow(
      expect.objectContaining({ code: 'E_RANGE', got: 'none: all are forbidden' }),
    );
  });
});
