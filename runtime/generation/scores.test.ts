import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRandom } from './random.ts';
import { BestScores, indexOfLargest, logSoftmax } from './scores.ts';

describe('logSoftmax', () => {
  it('two equal logits are a coin each', () => {
    const scores = new Float64Array(2);
    logSoftmax(scores, Float32Array.of(9, 700, 700), 1);
    expect([...scores]).toEqual([-Math.LN2, -Math.LN2].map(x => expect.closeTo(x, 15)));
  });

  it('probabilities add up to 1, and differences stay', () => {
    fc.assert(
      fc.property(
        fc.float32Array({ minLength: 1, noNaN: true, noDefaultInfinity: true, min: -80, max: 80 }),
        logits => {
          const scores = new Float64Array(logits.length);
          logSoftmax(scores, logits, 0);
          expect(scores.reduce((sum, score) => sum + Math.exp(score), 0)).toBeCloseTo(1, 12);
          for (const [v, score] of scores.entries()) expect(score - scores[0]!).toBeCloseTo(logits[v]! - logits[0]!, 9);
        },
      ),
    );
  });
});

describe('BestScores', () => {
  it('equals sorting everything, the first of equals first', () => {
    const values = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constant(Number.NEGATIVE_INFINITY));
    fc.assert(
      fc.property(
        fc.array(fc.array(values, { minLength: 4, maxLength: 4 }), { minLength: 1 }),
        fc.nat(9),
        (rows, size) => {
          const best = new BestScores(size + 1);
          const all = rows.flatMap((row, r) => row.map((score, v) => ({ score: score + r / 2, index: 4 * r + v })));
          for (const [r, row] of rows.entries()) best.show(Float64Array.from(row), r / 2, 4 * r);
          const expected = all.sort((a, b) => (a.score === b.score ? a.index - b.index : b.score - a.score));
          expect(best.count).toBe(Math.min(size + 1, all.length));
          expect([...best.indices.subarray(0, best.count)]).toEqual(expected.slice(0, best.count).map(e => e.index));
          best.clear();
          expect(best.count).toBe(0);
        },
      ),
    );
  });
});

it('indexOfLargest takes the first of equals', () => expect(indexOfLargest(Float64Array.of(1, 3, 3, 2))).toBe(1));

describe('createRandom', () => {
  const draw = (seed: number, stream: number): number[] => {
    const random = createRandom(seed, stream);
    return Array.from({ length: 1000 }, random);
  };

  it('lies in [0, 1), evenly, and comes again', () => {
    const numbers = draw(7, 0);
    expect(numbers.every(x => x >= 0 && x < 1)).toBe(true);
    expect(numbers.reduce((sum, x) => sum + x) / 1000).toBeCloseTo(0.5, 1);
    expect(draw(7, 0)).toEqual(numbers);
  });

  it('seeds and streams differ, large seeds too', () => {
    const firsts = [draw(0, 0), draw(1, 0), draw(0, 1), draw(2 ** 40, 0), draw(2 ** 41, 0)].map(numbers => numbers[0]);
    expect(new Set(firsts).size).toBe(firsts.length);
  });
});
