import { describe, expect, it } from 'vitest';
import {
  causal,
  dilatedSlidingWindow,
  draw,
  expectBandAndRoles,
  full,
  globalTokens,
  intersection,
  longformerPattern,
  slidingWindow,
  union,
} from './2-patterns.ts';

const picture = (text: string): string => text.trim().replace(/^ +/gm, '');

describe('patterns, drawn', () => {
  it('full (Figure 2a)', () => {
    expect(draw(full(), 3)).toBe(
      picture(`
        ■●●
        ●■●
        ●●■`),
    );
  });

  it('sliding window (Figure 2b)', () => {
    expect(draw(slidingWindow(1), 5)).toBe(
      picture(`
        ■●···
        ●■●··
        ·●■●·
        ··●■●
        ···●■`),
    );
  });

  it('dilated sliding window (Figure 2c): as many keys, a longer reach', () => {
    expect(draw(dilatedSlidingWindow(1, [2]), 5)).toBe(
      picture(`
        ■·●··
        ·■·●·
        ●·■·●
        ·●·■·
        ··●·■`),
    );
  });

  it('global and sliding window (Figure 2d)', () => {
    expect(draw(union(slidingWindow(1), globalTokens([0])), 5)).toBe(
      picture(`
        ■●●●●
        ●■●··
        ●●■●·
        ●·●■●
        ●··●■`),
    );
  });

  it('causal', () => {
    expect(draw(intersection(causal(), slidingWindow(1)), 4)).toBe(
      picture(`
        ■···
        ●■··
        ·●■·
        ··●■`),
    );
  });

  it('causal with a global token: j ≤ i holds for its row and its column', () => {
    const band = { heads: 1, oneSidedWindow: 1, dilation: [1], causal: true };
    expect(draw(longformerPattern(band, { attentionMask: [1, 1, 1, 1, 1], globalIndices: [2] }), 5)).toBe(
      picture(`
        ■····
        ●■···
        ●●■··
        ··●■·
        ··●●■`),
    );
  });

  it('padding sees nothing and is not seen', () => {
    const band = { heads: 1, oneSidedWindow: 1, dilation: [1], causal: false };
    expect(draw(longformerPattern(band, { attentionMask: [1, 0, 1], globalIndices: [0] }), 3)).toBe(
      picture(`
        ■·●
        ···
        ●·■`),
    );
  });

  it('heads may differ', () => {
    const pattern = dilatedSlidingWindow(1, [1, 2]);
    expect([pattern(0, 1, 0), pattern(0, 1, 1), pattern(0, 2, 0), pattern(0, 2, 1)]).toEqual([
      true,
      false,
      false,
      true,
    ]);
  });
});

describe('expectBandAndRoles', () => {
  const band = { heads: 2, oneSidedWindow: 1, dilation: [1, 1], causal: false };
  const roles = { attentionMask: [1, 1, 0], globalIndices: [0] };
  const check =
    (bandPart: Partial<typeof band>, rolesPart: Partial<typeof roles> = {}): (() => void) =>
    () =>
      expectBandAndRoles('test', { ...band, ...bandPart }, { ...roles, ...rolesPart }, 3);

  it('accepts what fits', () => expect(check({})).not.toThrow());

  it.each([
    [check({ oneSidedWindow: 0 }), 'test: "oneSidedWindow[0]" expected 1..9007199254740991, got 0.'],
    [check({ dilation: [1] }), 'test: "dilation" expected length 2, got 1.'],
    [check({ dilation: [1, 0] }), 'test: "dilation[1]" expected 1..9007199254740991, got 0.'],
    [check({}, { attentionMask: [1, 1] }), 'test: "attentionMask" expected length 3, got 2.'],
    [check({}, { attentionMask: [1, 2, 0] }), 'test: "attentionMask[1]" expected 0..1, got 2.'],
    [check({}, { globalIndices: [3] }), 'test: "globalIndices[0]" expected 0..2, got 3.'],
    [check({}, { globalIndices: [1, 0] }), 'test: "globalIndices[1]" expected ascending rows, got 0.'],
    [check({}, { globalIndices: [2] }), 'test: "globalIndices[0]" expected a real token, got row 2, which is padding.'],
  ])('refuses (%#) %s', (run, message) => {
    expect(run).toThrow(expect.objectContaining({ message }));
  });

  it('draws nothing of absurd size', () => {
    expect(() => draw(full(), 1e9)).toThrow('draw: "sequenceLength[0]" expected 1..2000, got 1000000000.');
  });
});
