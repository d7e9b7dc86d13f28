/** The result of tokenizing, and how it is laid out: `<s> A </s>` and `<s> A </s></s> B </s>`. */
import type { TokenizerDefinition } from './definition.ts';
import { type TokenColumns, trimmedSpan } from './offsets.ts';
import type { Range } from './windows.ts';

/** One sequence of T tokens. */
export interface Encoding {
  /** (T) HF `input_ids`. */
  readonly inputIds: Int32Array;
  /** (T) all 1: nothing is padded. HF `attention_mask`. */
  readonly attentionMask: Int32Array;
  /** (T) 1 = added by the layout. `<mask>` or `</s>` found in the text count as text, as in HF. */
  readonly specialTokensMask: Int32Array;
  /** (T) all 0, for the second text too: RoBERTa has one type. HF `token_type_ids`. */
  readonly tokenTypeIds: Int32Array;
  /** (T) 0 = first text, 1 = second, -1 = special (HF: None). HF `sequence_ids`. */
  readonly sequenceIds: Int32Array;
  /** (T) Number of the word of its text, as the text was cut before merging; -1 = special. HF `word_ids`. */
  readonly wordIds: Int32Array;
  /** (T, 2) start and end in UTF-16 code units of the token's own text: `text.slice(start, end)`. Special tokens: 0, 0. */
  readonly offsets: Int32Array;
  /** (T, 2) the same in code points, as Python counts. HF `offset_mapping`. */
  readonly codePointOffsets: Int32Array;
  /** Windows over what did not fit, in HF's order; empty unless asked for. */
  readonly overflowing: readonly Encoding[];
}

/** One text without special tokens. */
export interface EncodedText {
  /** Spans in code points, blanks not trimmed. */
  readonly columns: TokenColumns;
  /** UTF-16 index of each code point; null when they are equal. */
  readonly unitIndices: Int32Array | null;
}

export interface Part {
  readonly text: EncodedText;
  readonly range: Range;
}

export interface Layout {
  readonly definition: TokenizerDefinition;
  readonly addSpecialTokens: boolean;
}

/** Lays out one window. Source: HF RobertaProcessing. */
export function buildEncoding(
  first: Part,
  second: Part | null,
  { definition, addSpecialTokens }: Layout,
  overflowing: readonly Encoding[],
): Encoding {
  const special = addSpecialTokens ? 1 : 0;
  const parts = second === null ? [first] : [first, second];
  const length = parts.reduce((sum, { range }) => sum + range[1] - range[0] + 2 * special, 0);
  const inputIds = new Int32Array(length);
  const specialTokensMask = new Int32Array(length);
  const sequenceIds = new Int32Array(length).fill(-1);
  const wordIds = new Int32Array(length).fill(-1);
  const codePointOffsets = new Int32Array(2 * length);
  const offsets = new Int32Array(2 * length);

  let row = 0;
  const addSpecial = (id: number): void => {
    if (!addSpecialTokens) return;
    inputIds[row] = id;
    specialTokensMask[row] = 1;
    row++;
  };
  for (const [sequence, { text, range }] of parts.entries()) {
    addSpecial(sequence === 0 ? definition.clsId : definition.sepId);
    const { columns, unitIndices } = text;
    for (let token = range[0]; token < range[1]; token++, row++) {
      const [start, end] = definition.trimOffsets
        ? trimmedSpan(columns, token, token === range[0], definition.trimKeepsFirstBlank)
        : [columns.starts[token]!, columns.ends[token]!];
      inputIds[row] = columns.ids[token]!;
      sequenceIds[row] = sequence;
      wordIds[row] = columns.words[token]!;
      codePointOffsets[2 * row] = start;
      codePointOffsets[2 * row + 1] = end;
      offsets[2 * row] = unitIndices === null ? start : unitIndices[start]!;
      offsets[2 * row + 1] = unitIndices === null ? end : unitIndices[end]!;
    }
    addSpecial(definition.sepId);
  }
  return {
    inputIds,
    attentionMask: new Int32Array(length).fill(1),
    specialTokensMask,
    tokenTypeIds: new Int32Array(length),
    sequenceIds,
    wordIds,
    offsets,
    codePointOffsets,
    overflowing,
  };
}
