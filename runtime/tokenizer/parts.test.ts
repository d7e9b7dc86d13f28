/** The parts against their dumber twins. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BytePairs } from './byte-pairs.ts';
import { byteSymbols, symbolBytes } from './byte-symbols.ts';
import { BLANK, characterClasses, LETTER, NUMBER } from './character-classes.ts';
import { planWindows } from './windows.ts';
import { wordEnd } from './words.ts';

describe('words', () => {
  const words = (text: string): string[] => {
    const found: string[] = [];
    for (let start = 0; start < text.length; ) {
      const end = wordEnd(text, start, text.length);
      found.push(text.slice(start, end));
      start = end;
    }
    return found;
  };

  test.each([
    ["It's 12 o'clock!", ['It', "'s", ' 12', ' o', "'", 'clock', '!']],
    ['a  b', ['a', ' ', ' b']],
    ['a \n b ', ['a', ' \n', ' b', ' ']],
    ['a\nb', ['a', '\n', 'b']],
    ['a\n\n b', ['a', '\n\n', ' b']],
    ["we'll 'llama 'S", ['we', "'ll", " '", 'llama', " '", 'S']],
    ['漢字123😀😀', ['漢字', '123', '😀😀']],
  ])('%j', (text, expected) => {
    expect(words(text)).toEqual(expected);
  });

  test('are those of the regular expression, which is slower to fail but shorter', () => {
    const pattern = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;
    const unit = fc.constantFrom(..." \n\t\u00a0a1é漢½²!?_'", "'s", "'ll", "'re", '😀', '\u{1d54f}', '\u0301');
    fc.assert(
      fc.property(fc.array(unit), units => {
        const text = units.join('');
        expect(words(text)).toEqual(text.match(pattern) ?? []);
      }),
      { numRuns: 3000 },
    );
  });

  test('classes differ from this engine only in U+0085, U+FEFF and in characters of newer Unicode versions', () => {
    const classes = characterClasses();
    const of = (character: string): number =>
      /\p{L}/u.test(character) ? LETTER : /\p{N}/u.test(character) ? NUMBER : /\s/u.test(character) ? BLANK : 0;
    const different: number[] = [];
    for (let codePoint = 0; codePoint < 0x3000; codePoint++) {
      if (classes[codePoint] !== of(String.fromCodePoint(codePoint))) different.push(codePoint);
    }
    expect(different).toContain(0x85);
    expect(different.length).toBeLessThan(5);
    expect(classes[0xfeff]).toBe(0);
  });
});

test('every byte has a symbol of its own, and the blank is Ġ', () => {
  expect(new Set(byteSymbols).size).toBe(256);
  expect(byteSymbols[0x20]).toBe('Ġ');
  expect(byteSymbols.every((symbol, byte) => symbolBytes.get(symbol) === byte)).toBe(true);
});

describe('byte pairs', () => {
  /** The definition: merge the leftmost pair of the lowest rank until there is none. */
  const encodePlainly = (word: string, vocab: Map<string, number>, merges: [string, string][]): number[] => {
    let parts = Array.from(new TextEncoder().encode(word), byte => byteSymbols[byte]!);
    for (;;) {
      let best = -1;
      let bestRank = merges.length;
      for (let at = 0; at + 1 < parts.length; at++) {
        const rank = merges.findLastIndex(([left, right]) => left === parts[at] && right === parts[at + 1]);
        if (rank >= 0 && rank < bestRank) [best, bestRank] = [at, rank];
      }
      if (best < 0) return parts.map(part => vocab.get(part)!);
      parts = [...parts.slice(0, best), parts[best]! + parts[best + 1]!, ...parts.slice(best + 2)];
    }
  };

  test('equal the definition for any merges', () => {
    const picks = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 20 });
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'é'), minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(picks, word, (pairs, text) => {
        const vocab = new Map(byteSymbols.map((symbol, byte) => [symbol, byte]));
        const known = ['a', 'b', 'c', byteSymbols[0xc3]!, byteSymbols[0xa9]!];
        const merges = pairs.map(([left, right]): [string, string] => {
          const merge: [string, string] = [known[left % known.length]!, known[right % known.length]!];
          const union = merge.join('');
          if (!vocab.has(union)) vocab.set(union, vocab.size);
          known.push(union);
          return merge;
        });
        const encoded = new BytePairs(vocab, merges, false).encode(text);
        expect(Array.from(encoded)).toEqual(encodePlainly(text, vocab, merges));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('windows', () => {
  const plan = { strategy: 'longest_first', room: 5, stride: 2, side: 'right' } as const;

  test('a text that fits is one window', () => {
    expect(planWindows(5, null, plan, true)).toEqual({ first: [[0, 5]], second: null });
  });

  test('windows share the stride and end with the text', () => {
    expect(planWindows(9, null, plan, true).first).toEqual([
      [0, 5],
      [3, 8],
      [6, 9],
    ]);
    expect(planWindows(9, null, { ...plan, side: 'left' }, true).first).toEqual([
      [4, 9],
      [1, 6],
      [0, 3],
    ]);
    expect(planWindows(9, null, plan, false).first).toEqual([[0, 5]]);
  });

  test.each([
    // first, second, room → what is kept
    [2, 9, 6, 2, 4],
    [9, 2, 6, 4, 2],
    [9, 9, 7, 3, 4],
    [9, 8, 7, 4, 3],
    [3, 3, 6, 3, 3],
    [9, 0, 4, 4, 0],
  ])('longest_first keeps of %i and %i tokens in a room of %i: %i and %i', (first, second, room, a, b) => {
    const windows = planWindows(first, second, { ...plan, room, stride: 0 }, false);
    expect(windows.first[0]).toEqual([0, a]);
    expect(windows.second![0]).toEqual([0, b]);
  });

  test('without any room the whole text is what does not fit', () => {
    expect(planWindows(9, null, { ...plan, room: 0, stride: 0 }, true).first).toEqual([
      [0, 0],
      [0, 9],
    ]);
  });
});
