/**
 * Where tokens lie in the text. Byte-level BPE loses nothing, so the bytes of the tokens, laid along the bytes of the text,
 * give exact spans; a token that holds a part of a character spans the whole character.
 *
 * Everything here counts code points, as Python does, because HF's rules (trimming by one) are made for them; only the
 * finished spans are translated to UTF-16 code units.
 */

/** Tokens of one text, without special ones: columns of the same length. */
export interface TokenColumns {
  readonly ids: number[];
  /** First code point of the token. */
  readonly starts: number[];
  /** Code point after its last one. */
  readonly ends: number[];
  /** Blanks at its beginning and end, as it stands in the text. */
  readonly leadingBlanks: number[];
  readonly trailingBlanks: number[];
  /** Number of the word it is a part of. An added token is a word. */
  readonly words: number[];
}

/** The word after those that are there. */
export const nextWord = ({ words }: TokenColumns): number => (words.at(-1) ?? -1) + 1;

/** What the tokens of the vocabulary are made of, by id. */
export interface TokenMeasures {
  readonly bytes: Int32Array;
  readonly leadingBlanks: Int32Array;
  readonly trailingBlanks: Int32Array;
}

/**
 * Appends the tokens of the word `text[start, end)` with their spans, and returns the code point after the word.
 *
 * ids: (t) tokens of the word. codePoint: number of the word's first code point.
 * prefixed: `text[0]` is a blank that was added; it shares the span of the character after it.
 */
export function appendWord(
  columns: TokenColumns,
  text: string,
  start: number,
  ids: Int32Array,
  measures: TokenMeasures,
  codePoint: number,
  prefixed: boolean,
): number {
  let at = start; // next character that has not been entered
  let current = codePoint - 1; // code point whose bytes are being consumed
  let next = codePoint;
  let bytesOfCurrent = 0; // not consumed yet
  const word = nextWord(columns);
  for (const id of ids) {
    let bytes = measures.bytes[id]!;
    let first = -1;
    while (bytes > 0) {
      if (bytesOfCurrent === 0) {
        const character = text.codePointAt(at)!;
        bytesOfCurrent = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
        current = next;
        if (!(prefixed && at === 0)) next++;
        at += bytesOfCurrent === 4 ? 2 : 1;
      }
      if (first < 0) first = current;
      const consumed = Math.min(bytes, bytesOfCurrent);
      bytes -= consumed;
      bytesOfCurrent -= consumed;
    }
    columns.ids.push(id);
    columns.starts.push(first);
    columns.ends.push(current + 1);
    columns.leadingBlanks.push(measures.leadingBlanks[id]!);
    columns.trailingBlanks.push(measures.trailingBlanks[id]!);
    columns.words.push(word);
  }
  return next;
}

/**
 * The token's span without the blanks at its ends, in code points, as HF's process_offsets trims it.
 *
 * keepsFirstBlank: a single blank before the first token was added, so there is nothing to trim; several were in the text.
 * first: it is the first token of its window.
 * Subtle: HF takes every token that starts at 0 for a first one too, and elsewhere trims an added blank although the span
 * does not have it (behind an added token): spans are cut to emptiness then, never turned round.
 */
export function trimmedSpan(
  columns: Readonly<TokenColumns>,
  token: number,
  first: boolean,
  keepsFirstBlank: boolean,
): [start: number, end: number] {
  let start = columns.starts[token]!;
  let end = columns.ends[token]!;
  let leading = columns.leadingBlanks[token]!;
  const trailing = columns.trailingBlanks[token]!;
  if (leading > 0) {
    if (keepsFirstBlank && (first || start === 0) && leading === 1) leading = 0;
    start = Math.min(start + leading, end);
  }
  if (trailing > 0 && end >= trailing) end = Math.max(end - trailing, start);
  return [start, end];
}

/**
 * (code points + 1) UTF-16 index of every code point of `text` and of its end; null when they are the same, which saves the
 * table for most texts.
 */
export function codeUnitIndices(text: string): Int32Array | null {
  if (!/[\ud800-\udbff]/.test(text)) return null;
  const indices = new Int32Array(text.length + 1);
  let codePoints = 0;
  for (let at = 0; at < text.length; codePoints++) {
    indices[codePoints] = at;
    at += text.codePointAt(at)! > 0xffff ? 2 : 1;
  }
  indices[codePoints] = text.length;
  return indices.subarray(0, codePoints + 1);
}
