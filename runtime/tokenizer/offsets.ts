/**
 * Where tokens lie in the text. Byte-level BPE loses nothing, so the bytes of the tokens, laid along the bytes of the text,
 * give exact spans; a token that holds a part of a character spans the whole character.
 *
 * Everything here counts code points, as Python does, because HF's rules (trimming by one) are made for them; only the
 * finished spans are translated to UTF-16 code units.
 */

/** Tokens of one text, without special ones: three columns of the same length. */
export interface TokenColumns {
  readonly ids: number[];
  /** First code point of the token. */
  readonly starts: number[];
  /** Code point after its last one. */
  readonly ends: number[];
}

/**
 * Appends the tokens of the word `text[start, end)` with their spans, and returns the code point after the word.
 *
 * ids: (t) tokens of the word. byteLengths: bytes of each token by id. codePoint: number of the word's first code point.
 * prefixed: `text[0]` is a blank that was added; it shares the span of the character after it.
 */
export function appendWord(
  columns: TokenColumns,
  text: string,
  start: number,
  ids: Int32Array,
  byteLengths: Int32Array,
  codePoint: number,
  prefixed: boolean,
): number {
  let at = start; // next character that has not been entered
  let current = codePoint - 1; // code point whose bytes are being consumed
  let next = codePoint;
  let bytesOfCurrent = 0; // not consumed yet
  for (const id of ids) {
    let bytes = byteLengths[id]!;
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
  }
  return next;
}

/** Blanks at the ends of every token, by id: they are cut from its span. */
export interface TokenBlanks {
  readonly leading: Int32Array;
  readonly trailing: Int32Array;
}

/**
 * Cuts blanks from the spans in `offsets`, rows [from, to), as HF's process_offsets does: row `from` is the first token of a
 * window.
 *
 * offsets: (T, 2) in code points, changed in place. keepsFirstBlank: the blank before the first token was added, not there.
 * Subtle: HF takes every token that starts at 0 for a first one, and counts blanks that the span may not have (behind an
 * added token with an added blank); spans are cut to emptiness, never turned round.
 */
export function trimOffsets(
  offsets: Int32Array,
  ids: Int32Array,
  from: number,
  to: number,
  blanks: TokenBlanks,
  keepsFirstBlank: boolean,
): void {
  for (let row = from; row < to; row++) {
    const id = ids[row]!;
    let leading = blanks.leading[id]!;
    const trailing = blanks.trailing[id]!;
    let start = offsets[2 * row]!;
    let end = offsets[2 * row + 1]!;
    if (leading > 0) {
      if (keepsFirstBlank && (row === from || start === 0)) leading--;
      start = Math.min(start + leading, end);
    }
    if (trailing > 0 && end >= trailing) end = Math.max(end - trailing, start);
    offsets[2 * row] = start;
    offsets[2 * row + 1] = end;
  }
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
