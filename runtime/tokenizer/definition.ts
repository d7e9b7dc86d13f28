/** What the tokenizer files say, in our words: load.ts writes it, tokenizer.ts reads it. */

/** A token that is searched for in the text before words are cut. HF: AddedToken. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Found only where no letter or digit touches it. */
  readonly singleWord: boolean;
  /** Swallows the blanks before it: `<mask>` does. */
  readonly lstrip: boolean;
  /** Swallows the blanks after it. */
  readonly rstrip: boolean;
  /** Searched for in a second round, in what the first one left. */
  readonly normalized: boolean;
  /** Left out by decode with `skipSpecialTokens`. */
  readonly special: boolean;
}

/** The roles a model knows tokens by; null when the files name none. */
export interface SpecialTokenIds {
  readonly bos: number | null;
  readonly eos: number | null;
  readonly cls: number | null;
  readonly sep: number | null;
  readonly pad: number | null;
  readonly unk: number | null;
  readonly mask: number | null;
}

export interface TokenizerDefinition {
  /** Token, written in byte symbols, to id. Added tokens need not be in it. */
  readonly vocab: ReadonlyMap<string, number>;
  /** Pairs in the order of their rank; both parts and their union are in `vocab`. */
  readonly merges: readonly (readonly [string, string])[];
  /** A word that is a token as it stands is not taken apart. HF `ignore_merges`. */
  readonly ignoreMerges: boolean;
  /** Every stretch of text that does not start with a blank gets one. HF pre_tokenizer `add_prefix_space`. */
  readonly addPrefixSpace: boolean;
  /** Words are cut before BPE; without, a stretch of text is one word. HF `use_regex`. */
  readonly cutWords: boolean;
  /** Blanks at the ends of a token are not part of its offsets. HF post_processor `trim_offsets`. */
  readonly trimOffsets: boolean;
  /** The first token of a window keeps one blank. HF post_processor `add_prefix_space`. */
  readonly trimKeepsFirstBlank: boolean;
  readonly addedTokens: readonly AddedToken[];
  /** First token of a sequence. HF post_processor `cls`. */
  readonly clsId: number;
  /** Between and after texts. HF post_processor `sep`. */
  readonly sepId: number;
  readonly specialTokens: SpecialTokenIds;
  /** HF `model_max_length`; null when absent or endless. */
  readonly modelMaxLength: number | null;
}
