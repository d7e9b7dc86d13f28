import { readFileSync } from 'node:fs';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LongformerError, TokenizerError } from '../../contract/index.ts';
import type { Encoding } from './encoding.ts';
import { loadTokenizer } from './load.ts';
import type { Tokenizer } from './tokenizer.ts';

const tokenizerJson = readFileSync(
  new URL('../../conformance/models/tokenizer-small/tokenizer.json', import.meta.url),
  'utf8',
);
const tokenizer = loadTokenizer({ tokenizerJson });

/** Tokens as the text they stand for. */
function slices(text: string, { offsets }: Encoding): string[] {
  return Array.from({ length: offsets.length / 2 }, (_, t) => text.slice(offsets[2 * t], offsets[2 * t + 1]));
}

const tokensOf = (of: Tokenizer, { inputIds }: Encoding): string[] => Array.from(inputIds, id => of.idToToken(id)!);

describe('encode', () => {
  test('a sentence: <s> and </s> round it, blanks are part of the token but not of its offsets', () => {
    const text = 'one two';
    const encoding = tokenizer.encode(text);
    expect(tokensOf(tokenizer, encoding)).toEqual(['<s>', 'one', 'Ġtwo', '</s>']);
    expect(Array.from(encoding.offsets)).toEqual([0, 0, 0, 3, 4, 7, 0, 0]);
    expect(Array.from(encoding.specialTokensMask)).toEqual([1, 0, 0, 1]);
    expect(Array.from(encoding.attentionMask)).toEqual([1, 1, 1, 1]);
    expect(Array.from(encoding.sequenceIds)).toEqual([-1, 0, 0, -1]);
  });

  test('a token that is a part of a character has the whole character for its span', () => {
    const text = 'a😀b';
    const encoding = tokenizer.encode(text, { addSpecialTokens: false });
    expect(slices(text, encoding)).toEqual(['a', '😀', '😀', '😀', '😀', 'b']);
    // The emoji is two UTF-16 code units and one code point.
    expect(Array.from(encoding.offsets)).toEqual([0, 1, 1, 3, 1, 3, 1, 3, 1, 3, 3, 4]);
    expect(Array.from(encoding.codePointOffsets)).toEqual([0, 1, 1, 2, 1, 2, 1, 2, 1, 2, 2, 3]);
  });

  test('<mask> swallows the blank before it, as the model was trained', () => {
    const encoding = tokenizer.encode('one <mask>', { addSpecialTokens: false });
    expect(tokensOf(tokenizer, encoding)).toEqual(['one', '<mask>']);
    expect(Array.from(encoding.offsets)).toEqual([0, 3, 4, 10]);
  });

  test('special tokens in the text are found, unless splitSpecialTokens says that it is only text', () => {
    const { sep } = tokenizer.specialTokens;
    expect(tokenizer.encode('a</s>b').inputIds.filter(id => id === sep)).toHaveLength(2);
    expect(tokenizer.encode('a</s>b', { splitSpecialTokens: true }).inputIds.filter(id => id === sep)).toHaveLength(1);
  });

  test('a pair has two separators between the texts, type 0 everywhere and offsets of its own', () => {
    const encoding = tokenizer.encode('one', { textPair: 'the' });
    expect(tokensOf(tokenizer, encoding)).toEqual(['<s>', 'one', '</s>', '</s>', 'the', '</s>']);
    expect(Array.from(encoding.tokenTypeIds)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(Array.from(encoding.sequenceIds)).toEqual([-1, 0, -1, -1, 1, -1]);
    expect(Array.from(encoding.offsets.subarray(8, 10))).toEqual([0, 3]);
  });

  test('a batch is the same as its entries', () => {
    const [first, second] = tokenizer.encodeBatch(['one', ['one', 'two']], { addSpecialTokens: false });
    expect(first).toEqual(tokenizer.encode('one', { addSpecialTokens: false }));
    expect(second).toEqual(tokenizer.encode('one', { textPair: 'two', addSpecialTokens: false }));
  });

  test('maxLength alone cuts as HF does; windows overlap by the stride', () => {
    const encoding = tokenizer.encode('a b c d e', { maxLength: 5, stride: 1, returnOverflowing: true });
    const windows = [encoding, ...encoding.overflowing].map(window =>
      tokensOf(tokenizer, window).slice(1, -1).join(''),
    );
    expect(windows).toEqual(['aĠbĠc', 'ĠcĠdĠe']);
    expect(encoding.overflowing[0]!.offsets[2]).toBe(4); // offsets of a window are those of the text
  });
});

describe('lone surrogates, which Python cannot hold, are read as U+FFFD', () => {
  test.each([
    ['a\ud800b', ['a', '\ud800', '\ud800', '\ud800', 'b']],
    ['\udc00', ['\udc00', '\udc00', '\udc00']],
    ['\ud83d\ud83d\ude00', ['\ud83d', '\ud83d', '\ud83d', '😀', '😀', '😀']],
  ])('%j', (text, expected) => {
    const encoding = tokenizer.encode(text, { addSpecialTokens: false });
    // As many tokens as bytes, or fewer where merges apply; spans are whole characters of the text as given.
    expect([...new Set(slices(text, encoding))]).toEqual([...new Set(expected)]);
    const replaced = text.replace(/\p{Surrogate}/gu, '\ufffd');
    expect(encoding).toEqual(tokenizer.encode(replaced, { addSpecialTokens: false }));
    expect(tokenizer.decode(encoding.inputIds)).toBe(replaced);
  });
});

describe('decode', () => {
  test('gives the text back, with or without special tokens', () => {
    const { inputIds } = tokenizer.encode(' naïve 漢字 😀\n');
    expect(tokenizer.decode(inputIds)).toBe('<s> naïve 漢字 😀\n</s>');
    expect(tokenizer.decode(inputIds, { skipSpecialTokens: true })).toBe(' naïve 漢字 😀\n');
    expect(tokenizer.decode([])).toBe('');
  });

  test('half a character is U+FFFD', () => {
    const { inputIds } = tokenizer.encode('😀', { addSpecialTokens: false });
    expect(tokenizer.decode(inputIds.subarray(0, 1))).toBe('\ufffd');
  });

  test('an id without a token is an error', () => {
    const decode = (): string => tokenizer.decode([0, 999999]);
    expect(decode).toThrow(TokenizerError);
    expect(decode).toThrow('tokenizer.decode: "ids[1]" expected the id of a token, got 999999.');
  });
});

test('tokens and ids', () => {
  expect(tokenizer.vocabSize).toBe(4261);
  expect(tokenizer.tokenToId('<mask>')).toBe(4260);
  expect(tokenizer.idToToken(4260)).toBe('<mask>');
  expect(tokenizer.tokenToId('no such token')).toBeUndefined();
  expect(tokenizer.specialTokens).toEqual({ bos: 0, cls: 0, pad: 1, eos: 2, sep: 2, unk: 3, mask: 4260 });
});

describe('wrong options are typed errors', () => {
  test.each([
    [{ maxLength: 1 }, 'tokenizer.encode: "maxLength" expected an integer >= 2 (the special tokens), got 1.'],
    [
      { maxLength: Number.NaN },
      'tokenizer.encode: "maxLength" expected an integer >= 2 (the special tokens), got NaN.',
    ],
    [
      { truncation: 'longest_first' as const },
      'tokenizer.encode: "maxLength" expected a number of tokens, because the tokenizer has no model_max_length, got none.',
    ],
    [
      { maxLength: 5, stride: 4 },
      'tokenizer.encode: "stride" expected an integer in 0..3 (maxLength without special tokens), got 4.',
    ],
    [
      { maxLength: 5, stride: 3 },
      'tokenizer.encode: "stride" expected fewer tokens than a window keeps of the text that is cut (3), got 3.',
    ],
    [
      { maxLength: 5, truncation: 'shortest' as never },
      'tokenizer.encode: "truncation" expected longest_first, only_first, only_second or false, got shortest.',
    ],
    [
      { maxLength: 5, truncation: 'only_second' as const },
      'tokenizer.encode: "truncation" expected a textPair for only_second, got one text.',
    ],
    [
      { maxLength: 6, truncation: 'only_second' as const, textPair: 'b' },
      'tokenizer.encode: "maxLength" expected room for at least one token of the second text, got 2 tokens of room, 6 of them taken by the other text.\n  Hint: use longest_first, or a larger maxLength.',
    ],
  ])('%j', (options, message) => {
    expect(() => tokenizer.encode('a b c d e f', options)).toThrow(expect.objectContaining({ message }));
    expect(() => tokenizer.encode('a b c d e f', options)).toThrow(TokenizerError);
  });

  test('more windows than anybody wants', () => {
    const options = { maxLength: 1002, stride: 999, returnOverflowing: true };
    expect(() => tokenizer.encode('a b '.repeat(20_000), options)).toThrow(
      'tokenizer.encode: "returnOverflowing" expected windows of at most 16777216 tokens together, got 39002 windows of 1000 tokens.',
    );
  });

  test('a text that is none', () => {
    expect(() => tokenizer.encode(undefined as never)).toThrow(TypeError);
  });
});

describe('large texts', () => {
  test('longer than maxCharacters is an error', () => {
    expect(() => tokenizer.encode('a'.repeat(2_000_001))).toThrow(
      'tokenizer.encode: "text" expected at most 2000000 characters, got 2000001.\n  Hint: split the document, or load the tokenizer with a larger maxCharacters.',
    );
  });

  test.each([
    ['letters', 'a'],
    ['emoji', '😀'],
    ['blanks', ' '],
    ['lone surrogates', '\ud800'],
    ['special tokens', '<mask> '],
  ])('2 MB of %s neither overflow the stack nor take quadratic time', (_, unit) => {
    const text = unit.repeat(2_000_000 / unit.length);
    const { offsets, inputIds } = tokenizer.encode(text);
    expect(offsets[2 * inputIds.length - 3]).toBeGreaterThan(text.length - 2);
  });

  test('one word of ten million characters, where the cap is raised', () => {
    const patient = loadTokenizer({ tokenizerJson }, { maxCharacters: 10_000_000 });
    const { inputIds, offsets } = patient.encode('字'.repeat(1_000_000) + 'a'.repeat(9_000_000));
    expect(offsets[2 * inputIds.length - 3]).toBe(10_000_000);
  });
});

describe('for any text', () => {
  const anyText = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'grapheme' }),
    fc.array(fc.integer({ min: 0, max: 0xffff })).map(units => String.fromCharCode(...units)), // lone surrogates too
    fc
      .array(fc.constantFrom('<mask>', ' ', '\n', "'s", 'the', '</s>', '😀', '1', '\u0085', '\ud800'))
      .map(all => all.join('')),
  );

  test('spans lie in the text, in order, and cover all but blanks', () => {
    fc.assert(
      fc.property(anyText, text => {
        const { offsets, inputIds } = tokenizer.encode(text, { addSpecialTokens: false });
        let covered = 0;
        for (let t = 0; t < inputIds.length; t++) {
          const [start, end] = [offsets[2 * t]!, offsets[2 * t + 1]!];
          expect(end).toBeGreaterThanOrEqual(start);
          expect(text.slice(covered, start)).toMatch(/^\p{White_Space}*$/u);
          covered = Math.max(covered, end);
        }
        expect(covered).toBeLessThanOrEqual(text.length);
        expect(text.slice(covered)).toMatch(/^\p{White_Space}*$/u);
      }),
      { numRuns: 1000 },
    );
  });

  test('the ids give the text back where no token swallows a blank', () => {
    fc.assert(
      fc.property(anyText, text => {
        const { inputIds } = tokenizer.encode(text, { addSpecialTokens: false, splitSpecialTokens: true });
        expect(tokenizer.decode(inputIds)).toBe(text.replace(/\p{Surrogate}/gu, '\ufffd'));
      }),
      { numRuns: 1000 },
    );
  });

  test('the ids are those of @huggingface/tokenizers, where its Unicode and its special tokens do not differ', () => {
    const twin = new HuggingFaceTokenizer(JSON.parse(tokenizerJson), {});
    const differs = /[\u0085\ufeff<]|\p{Surrogate}|[^\p{Cn}\0-\u{32fff}]/u;
    fc.assert(
      fc.property(anyText, text => {
        fc.pre(!differs.test(text));
        const { inputIds } = tokenizer.encode(text);
        expect(Array.from(inputIds)).toEqual(twin.encode(text).ids);
      }),
      { numRuns: 1000 },
    );
  });

  test('only typed errors come out, whatever the options', () => {
    const options = fc.record({
      textPair: fc.option(anyText, { nil: undefined }),
      maxLength: fc.option(fc.integer({ min: -1, max: 12 }), { nil: undefined }),
      stride: fc.integer({ min: -1, max: 6 }),
      truncation: fc.constantFrom('longest_first', 'only_first', 'only_second', false, undefined),
      truncationSide: fc.constantFrom('left', 'right'),
      returnOverflowing: fc.boolean(),
      addSpecialTokens: fc.boolean(),
    });
    fc.assert(
      fc.property(anyText, options, (text, given) => {
        try {
          const encoding = tokenizer.encode(text, given as never);
          if (given.truncation && given.maxLength !== undefined) {
            expect(encoding.inputIds.length).toBeLessThanOrEqual(given.maxLength);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(LongformerError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
