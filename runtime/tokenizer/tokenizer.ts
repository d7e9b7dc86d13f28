/**
 * Text to token ids and back, with exact spans: byte-level BPE with RoBERTa's special tokens, equal to Hugging Face
 * `tokenizers` id by id and offset by offset (cases: conformance/cases/tokenizer).
 *
 * Order of work: added tokens are found (added-tokens.ts), the rest is cut into words (words.ts), words into tokens
 * (byte-pairs.ts), tokens are laid along the text (offsets.ts), too long sequences are cut into windows (windows.ts).
 * There is no padding: documents are packed, each with its own length.
 */
import { TokenizerError } from '../../contract/index.ts';
import { AddedTokenFinder } from './added-tokens.ts';
import { BytePairs } from './byte-pairs.ts';
import { blankSymbol, symbolBytes } from './byte-symbols.ts';
import type { SpecialTokenIds, TokenizerDefinition } from './definition.ts';
import { buildEncoding, type EncodedText, type Encoding } from './encoding.ts';
import { appendWord, codeUnitIndices, nextWord, type TokenColumns, type TokenMeasures } from './offsets.ts';
import { planWindows, type Truncation } from './windows.ts';
import { wordEnd } from './words.ts';

export interface EncodeOptions {
  /**
   * Second text: `<s> text </s></s> textPair </s>`. An empty string is a text too, as in `tokenizers`; transformers takes
   * it for none, except in batches. HF `text_pair`.
   */
  readonly textPair?: string;
  /** HF `add_special_tokens`; default true. */
  readonly addSpecialTokens?: boolean;
  /** Tokens at most, special tokens included. Default `modelMaxLength` when truncation is asked for. */
  readonly maxLength?: number;
  /** What is cut when the text is too long. Default: longest_first when maxLength is given, else false, as in HF. */
  readonly truncation?: Truncation | false;
  /** Tokens that neighbouring windows share; default 0. */
  readonly stride?: number;
  /** What did not fit is handed out in `overflowing`; default false. HF `return_overflowing_tokens`. */
  readonly returnOverflowing?: boolean;
  /** Side that is cut; default right. HF `truncation_side`. */
  readonly truncationSide?: 'right' | 'left';
  /**
   * Special tokens written in the text (`</s>`, `<mask>`) are ordinary text; default false, as in HF. Set it for text from
   * strangers, who could otherwise end a sequence or start another. HF `split_special_tokens`.
   */
  readonly splitSpecialTokens?: boolean;
}

export interface TokenizerOptions {
  /**
   * Longest text, in UTF-16 code units; default 2,000,000. Time grows as n log n and memory by about 30 bytes per byte of
   * the longest word, so that 10,000,000 without a blank still work.
   */
  readonly maxCharacters?: number;
}

export interface Tokenizer {
  readonly definition: TokenizerDefinition;
  /** Number of tokens, added ones included. HF `len(tokenizer)`. */
  readonly vocabSize: number;
  readonly modelMaxLength: number | null;
  readonly specialTokens: SpecialTokenIds;
  /**
   * Lone surrogates are read as U+FFFD (Python refuses them); spans stay those of the text as given.
   * @throws TokenizerError for texts that are too long or cannot be cut as asked.
   */
  encode(text: string, options?: EncodeOptions): Encoding;
  /** One encoding per entry; a pair is written [text, textPair]. */
  encodeBatch(texts: readonly (string | readonly [string, string])[], options?: EncodeOptions): Encoding[];
  /**
   * Bytes that are no UTF-8 become U+FFFD. Blanks are not cleaned up.
   * Differs: HF leaves out ids it does not know. @throws TokenizerError for them.
   */
  decode(ids: ArrayLike<number>, options?: { readonly skipSpecialTokens?: boolean }): string;
  tokenToId(token: string): number | undefined;
  idToToken(id: number): string | undefined;
}

const defaultMaxCharacters = 2_000_000;
/** Trusts the definition: loadTokenizer has checked it. */
export function createTokenizer(definition: TokenizerDefinition, options: TokenizerOptions = {}): Tokenizer {
  const { maxCharacters = defaultMaxCharacters } = options;
  const { vocab, addedTokens } = definition;
  const bytePairs = new BytePairs(vocab, definition.merges, definition.ignoreMerges);
  const finder = new AddedTokenFinder(addedTokens);
  const tokenIds = new Map([...vocab, ...addedTokens.map(token => [token.content, token.id] as const)]);
  const tokens = new Map(Array.from(tokenIds, ([token, id]) => [id, token]));
  const specialIds = new Set(addedTokens.filter(token => token.special).map(token => token.id));
  const measures = measureTokens(tokens);

  function encodeText(name: string, given: string, splitSpecialTokens: boolean): EncodedText {
    if (typeof given !== 'string') throw new TypeError(`tokenizer.encode: "${name}" expected a string.`);
    if (given.length > maxCharacters) {
      throw new TokenizerError({
        where: 'tokenizer.encode',
        name,
        expected: `at most ${maxCharacters} characters`,
        got: String(given.length),
        hint: 'split the document, or load the tokenizer with a larger maxCharacters.',
      });
    }
    const text = given.replace(/\p{Surrogate}/gu, '\ufffd');
    const unitIndices = codeUnitIndices(text);
    const columns: TokenColumns = { ids: [], starts: [], ends: [], leadingBlanks: [], trailingBlanks: [], words: [] };
    let codePoint = 0;
    let at = 0;
    for (const { start, end, token } of finder.find(text, splitSpecialTokens)) {
      codePoint += start - at; // stretches may overlap in blanks, which are one code unit each
      at = end;
      if (token === null) {
        codePoint = encodeStretch(columns, text.slice(start, end), codePoint);
      } else {
        const found = text.slice(start, end);
        columns.ids.push(token.id);
        columns.starts.push(codePoint);
        codePoint += unitIndices === null ? end - start : countCodePoints(found);
        columns.ends.push(codePoint);
        columns.leadingBlanks.push(countBlanks(found, 1));
        columns.trailingBlanks.push(countBlanks(found, -1));
        columns.words.push(nextWord(columns));
      }
    }
    return { columns, unitIndices };
  }

  /** Returns the code point after the stretch. */
  function encodeStretch(columns: TokenColumns, stretch: string, codePoint: number): number {
    const prefixed = definition.addPrefixSpace && !stretch.startsWith(' ');
    const text = prefixed ? ` ${stretch}` : stretch;
    let next = codePoint;
    for (let start = 0; start < text.length; ) {
      const end = definition.cutWords ? wordEnd(text, start, text.length) : text.length;
      const ids = bytePairs.encode(text.slice(start, end));
      next = appendWord(columns, text, start, ids, measures, next, prefixed);
      start = end;
    }
    return next;
  }

  function encode(text: string, given: EncodeOptions = {}): Encoding {
    const { textPair, addSpecialTokens = true, splitSpecialTokens = false, returnOverflowing = false } = given;
    const first = encodeText('text', text, splitSpecialTokens);
    const second = textPair === undefined ? null : encodeText('textPair', textPair, splitSpecialTokens);
    const layout = { definition, addSpecialTokens };
    const plan = planOf(given, addSpecialTokens, second !== null, definition.modelMaxLength);
    if (plan === null) {
      const secondPart = second && { text: second, range: [0, second.columns.ids.length] as const };
      return buildEncoding({ text: first, range: [0, first.columns.ids.length] }, secondPart, layout, []);
    }

    const secondLength = second === null ? null : second.columns.ids.length;
    const windows = planWindows(first.columns.ids.length, secondLength, plan, returnOverflowing);
    const build = (i: number, j: number, overflowing: readonly Encoding[] = []): Encoding => {
      const secondPart = second && { text: second, range: windows.second![j]! };
      return buildEncoding({ text: first, range: windows.first[i]! }, secondPart, layout, overflowing);
    };
    const overflowing: Encoding[] = [];
    if (returnOverflowing) {
      // HF's order: each further window of the first text with every window of the second, then the first with the rest.
      const [ofFirst, ofSecond] = [windows.first.length, windows.second?.length ?? 1];
      for (let i = 1; i < ofFirst; i++) for (let j = 0; j < ofSecond; j++) overflowing.push(build(i, j));
      for (let j = 1; j < ofSecond; j++) overflowing.push(build(0, j));
    }
    return build(0, 0, overflowing);
  }

  function decode(ids: ArrayLike<number>, { skipSpecialTokens = false } = {}): string {
    const bytes: number[] = [];
    for (let at = 0; at < ids.length; at++) {
      const id = ids[at]!;
      const token = tokens.get(id);
      if (token === undefined) {
        throw new TokenizerError({
          where: 'tokenizer.decode',
          name: `ids[${at}]`,
          expected: 'the id of a token',
          got: String(id),
        });
      }
      if (!(skipSpecialTokens && specialIds.has(id))) appendBytes(bytes, token);
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));
  }

  return {
    definition,
    vocabSize: tokenIds.size,
    modelMaxLength: definition.modelMaxLength,
    specialTokens: definition.specialTokens,
    encode,
    encodeBatch: (texts, encodeOptions) =>
      texts.map(entry =>
        typeof entry === 'string'
          ? encode(entry, encodeOptions)
          : encode(entry[0], { ...encodeOptions, textPair: entry[1] }),
      ),
    decode,
    tokenToId: token => tokenIds.get(token),
    idToToken: id => tokens.get(id),
  };
}

/** Null when nothing is to be cut. @throws TokenizerError for options that contradict each other. */
function planOf(options: EncodeOptions, addSpecialTokens: boolean, pair: boolean, modelMaxLength: number | null) {
  const { maxLength = modelMaxLength, stride = 0, truncationSide: side = 'right' } = options;
  const strategy = options.truncation ?? (options.maxLength === undefined ? false : 'longest_first');
  if (strategy === false) return null;
  const where = 'tokenizer.encode';
  if (!['longest_first', 'only_first', 'only_second'].includes(strategy)) {
    const expected = 'longest_first, only_first, only_second or false';
    throw new TokenizerError({ where, name: 'truncation', expected, got: String(strategy) });
  }
  if (maxLength === null) {
    const expected = 'a number of tokens, because the tokenizer has no model_max_length';
    throw new TokenizerError({ where, name: 'maxLength', expected, got: 'none' });
  }
  const special = addSpecialTokens ? (pair ? 4 : 2) : 0;
  if (!Number.isInteger(maxLength) || maxLength < special) {
    const expected = `an integer >= ${special} (the special tokens)`;
    throw new TokenizerError({ where, name: 'maxLength', expected, got: String(maxLength) });
  }
  if (!Number.isInteger(stride) || stride < 0 || (stride > 0 && stride > maxLength - special)) {
    const expected = `an integer in 0..${maxLength - special} (maxLength without special tokens)`;
    throw new TokenizerError({ where, name: 'stride', expected, got: String(stride) });
  }
  return { strategy, room: maxLength - special, stride, side };
}

/** Tables by id; of no meaning for added tokens that are no words of byte symbols. */
function measureTokens(tokens: ReadonlyMap<number, string>): TokenMeasures {
  let rows = 0;
  for (const id of tokens.keys()) rows = Math.max(rows, id + 1);
  const measures = {
    bytes: new Int32Array(rows),
    leadingBlanks: new Int32Array(rows),
    trailingBlanks: new Int32Array(rows),
  };
  for (const [id, token] of tokens) {
    measures.bytes[id] = token.length; // one symbol per byte
    measures.leadingBlanks[id] = countBlanks(token, 1);
    measures.trailingBlanks[id] = countBlanks(token, -1);
  }
  return measures;
}

const blankCharacter = new RegExp(`[${blankSymbol}\\p{White_Space}]`, 'u');

/** Blanks, written as themselves or in byte symbols, from the start (step 1) or from the end (step -1). */
function countBlanks(token: string, step: 1 | -1): number {
  let count = 0;
  while (count < token.length && blankCharacter.test(token.at(step === 1 ? count : -1 - count)!)) count++;
  return count;
}

/** Bytes of a token; one that is not written in byte symbols (an added one may be) stands for its own UTF-8. */
function appendBytes(bytes: number[], token: string): void {
  const from = bytes.length;
  for (const symbol of token) {
    const byte = symbolBytes.get(symbol);
    if (byte === undefined) {
      bytes.length = from;
      for (const own of new TextEncoder().encode(token)) bytes.push(own);
      return;
    }
    bytes.push(byte);
  }
}

function countCodePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
