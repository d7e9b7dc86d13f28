/**
 * Conformance level "tokenizer": ids, offsets and windows against what Hugging Face `tokenizers` answered, exactly.
 * cases/tokenizer/README.md describes the files.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LongformerError, TokenizerError } from '../contract/index.ts';
import { createTokenizer, type EncodeOptions, type Encoding, type Tokenizer } from '../runtime/tokenizer/index.ts';
import { loadTokenizerFromDirectory } from '../runtime/tokenizer/load-node.ts';
import type { CaseResult, Check } from './result.ts';

interface CaseFile {
  readonly name: string;
  /** Folder below models/. */
  readonly tokenizer: string;
  readonly texts: number;
}

interface Window {
  readonly ids: readonly number[];
  readonly offsets?: readonly number[];
  readonly sequenceIds?: readonly number[];
}

/** One line of texts.jsonl. */
interface Row extends Partial<Window> {
  readonly text?: string;
  readonly textRule?: {
    readonly pieces: readonly string[];
    readonly step: readonly [number, number];
    readonly count: number;
  };
  readonly pair?: string;
  readonly options?: {
    readonly add_special_tokens?: boolean;
    readonly split_special_tokens?: boolean;
    readonly truncation?: NonNullable<EncodeOptions['truncation']>;
    readonly max_length?: number;
    readonly stride?: number;
    readonly truncation_side?: 'left' | 'right';
  };
  readonly error?: true;
  readonly count?: number;
  readonly idsSha256?: string;
  readonly offsetsSha256?: string;
  readonly tokens?: readonly string[];
  readonly specialTokensMask?: readonly number[];
  readonly typeIds?: readonly number[];
  readonly overflowing?: readonly Window[];
  readonly decoded?: string;
  readonly decodedWithoutSpecial?: string;
}

export interface TokenizerMutant {
  readonly name: string;
  readonly description: string;
  readonly wrap: (tokenizer: Tokenizer) => Tokenizer;
}

/**
 * Runs one case; `directory` is `…/cases/tokenizer/<name>`, the models lie in `…/models`.
 *
 * A wrong answer and a thrown error are results, not exceptions. `mutant` is for the test of the cases themselves.
 */
export async function runTokenizerCase(directory: string, mutant?: TokenizerMutant): Promise<CaseResult> {
  const result = { level: 'tokenizer', name: directory.split(/[\\/]/).at(-1)!, subject: mutant?.name ?? 'runtime' };
  try {
    const file = JSON.parse(await readFile(join(directory, 'case.json'), 'utf8')) as CaseFile;
    const lines = (await readFile(join(directory, 'texts.jsonl'), 'utf8')).trimEnd().split('\n');
    const loaded = await loadTokenizerFromDirectory(join(directory, '..', '..', '..', 'models', file.tokenizer));
    const tokenizer = mutant === undefined ? loaded : mutant.wrap(loaded);
    const mismatches = new Mismatches();
    mismatches.compare('texts', 'texts.jsonl', lines.length, file.texts);
    for (const [line, text] of lines.entries())
      runRow(tokenizer, JSON.parse(text) as Row, `line ${line + 1}`, mismatches);
    const checks = mismatches.checks();
    return { ...result, verdict: checks.every(check => check.ok) ? 'pass' : 'fail', checks };
  } catch (error) {
    const reason = error instanceof LongformerError ? error.message : String(error);
    return { ...result, verdict: 'fail', reason, checks: [] };
  }
}

/** Counts per output how many values were compared unequal, and remembers the first place. */
class Mismatches {
  readonly #found = new Map<string, { count: number; where: string | undefined }>();

  compare(output: string, where: string, actual: unknown, expected: unknown): void {
    let entry = this.#found.get(output);
    if (entry === undefined) {
      entry = { count: 0, where: undefined };
      this.#found.set(output, entry);
    }
    if (actual === expected) return;
    entry.count++;
    entry.where ??= `${where}: expected ${shorten(expected)}, got ${shorten(actual)}`;
  }

  /** Element by element; a missing or surplus element counts too. Nothing is compared when nothing is expected. */
  compareAll(
    output: string,
    where: string,
    actual: ArrayLike<unknown>,
    expected: ArrayLike<unknown> | undefined,
  ): void {
    if (expected === undefined) return;
    this.compare(output, `${where}, length`, actual.length, expected.length);
    for (let at = 0; at < Math.min(actual.length, expected.length); at++) {
      this.compare(output, `${where} [${at}]`, actual[at], expected[at]);
    }
  }

  checks(): Check[] {
    return Array.from(this.#found, ([output, { count, where }]) => ({
      output,
      ok: count === 0,
      error: count,
      allowed: 0,
      baseline: null,
      ...(where === undefined ? {} : { where }),
    }));
  }
}

function runRow(tokenizer: Tokenizer, row: Row, where: string, mismatches: Mismatches): void {
  const text = row.text ?? textOfRule(row.textRule!);
  const options: EncodeOptions = {
    textPair: row.pair,
    addSpecialTokens: row.options?.add_special_tokens,
    splitSpecialTokens: row.options?.split_special_tokens,
    truncation: row.options?.truncation ?? false,
    maxLength: row.options?.max_length,
    stride: row.options?.stride,
    truncationSide: row.options?.truncation_side,
    returnOverflowing: true,
  };
  let encoding: Encoding;
  try {
    encoding = tokenizer.encode(text, options);
  } catch (error) {
    const kind = error instanceof TokenizerError ? 'TokenizerError' : String(error);
    mismatches.compare('error', where, kind, row.error ? 'TokenizerError' : 'none');
    return;
  }
  mismatches.compare('error', where, 'none', row.error ? 'TokenizerError' : 'none');
  if (row.error) return;

  const { inputIds, codePointOffsets, overflowing } = encoding;
  if (row.count !== undefined) {
    mismatches.compare('ids', `${where}, length`, inputIds.length, row.count);
    mismatches.compare('ids', where, sha256(inputIds), row.idsSha256);
    mismatches.compare('offsets', where, sha256(codePointOffsets), row.offsetsSha256);
  }
  compareWindow(encoding, row, where, mismatches);
  compareUnits(encoding, row, text, where, mismatches);
  mismatches.compareAll('specialTokensMask', where, encoding.specialTokensMask, row.specialTokensMask);
  mismatches.compareAll('typeIds', where, encoding.tokenTypeIds, row.typeIds);
  mismatches.compareAll(
    'tokens',
    where,
    Array.from(inputIds, id => tokenizer.idToToken(id)),
    row.tokens,
  );
  if (row.overflowing !== undefined) {
    mismatches.compare('overflowing', where, overflowing.length, row.overflowing.length);
    for (const [at, window] of row.overflowing.entries()) {
      if (overflowing[at]) compareWindow(overflowing[at], window, `${where}, window ${at + 1}`, mismatches);
    }
  }
  if (row.decoded !== undefined) {
    mismatches.compare('decoded', where, tokenizer.decode(inputIds), row.decoded);
    const plain = tokenizer.decode(inputIds, { skipSpecialTokens: true });
    mismatches.compare('decodedWithoutSpecial', where, plain, row.decodedWithoutSpecial);
  }
}

function compareWindow(encoding: Encoding, expected: Partial<Window>, where: string, mismatches: Mismatches): void {
  mismatches.compareAll('ids', where, encoding.inputIds, expected.ids);
  mismatches.compareAll('offsets', where, encoding.codePointOffsets, expected.offsets);
  mismatches.compareAll('sequenceIds', where, encoding.sequenceIds, expected.sequenceIds);
}

/** Hugging Face has no UTF-16 offsets: they must cut the same text out of the string as the expected ones out of its code points. */
function compareUnits(encoding: Encoding, row: Row, text: string, where: string, mismatches: Mismatches): void {
  if (row.offsets === undefined) return;
  const sources = [text, row.pair ?? ''].map(source => ({ source, codePoints: Array.from(source) }));
  for (let token = 0; token < Math.min(encoding.inputIds.length, row.offsets.length / 2); token++) {
    const { source, codePoints } = sources[Math.max(encoding.sequenceIds[token]!, 0)]!;
    const units = source.slice(encoding.offsets[2 * token], encoding.offsets[2 * token + 1]);
    const expected = codePoints.slice(row.offsets[2 * token], row.offsets[2 * token + 1]).join('');
    mismatches.compare('utf16Offsets', `${where}, token ${token}`, units, expected);
  }
}

function textOfRule({ pieces, step, count }: NonNullable<Row['textRule']>): string {
  let text = '';
  for (let i = 0; i < count; i++) text += pieces[(i * i * step[0] + i * step[1]) % pieces.length];
  return text;
}

/** Of the values as little-endian 32-bit integers. */
function sha256(values: Int32Array): string {
  const bytes = new DataView(new ArrayBuffer(4 * values.length));
  for (const [at, value] of values.entries()) bytes.setInt32(4 * at, value, true);
  return createHash('sha256').update(bytes).digest('hex');
}

function shorten(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** Deliberately wrong tokenizers: each must fail some case. */
export const tokenizerMutants: readonly TokenizerMutant[] = [
  {
    name: 'offset-after-multibyte-character',
    description: 'offsets are one too large behind the first character that is no ASCII',
    wrap: tokenizer =>
      rewriting(tokenizer, (encoding, text) => {
        const wide = Array.from(text).findIndex(character => character > '\u007f');
        const shift = (offset: number): number => (wide >= 0 && offset > wide ? offset + 1 : offset);
        return { ...encoding, codePointOffsets: encoding.codePointOffsets.map(shift) };
      }),
  },
  {
    name: 'utf16-offsets-as-code-points',
    description: 'offsets in UTF-16 code units are handed out as code points',
    wrap: tokenizer => rewriting(tokenizer, encoding => ({ ...encoding, codePointOffsets: encoding.offsets })),
  },
  {
    name: 'code-points-as-utf16-offsets',
    description: 'offsets in code points are handed out as UTF-16 code units',
    wrap: tokenizer => rewriting(tokenizer, encoding => ({ ...encoding, offsets: encoding.codePointOffsets })),
  },
  {
    name: 'mask-blank-not-swallowed',
    description: 'the blank before <mask> stays a token of its own',
    wrap: ({ definition }) => {
      const addedTokens = definition.addedTokens.map(token => ({ ...token, lstrip: false }));
      return createTokenizer({ ...definition, addedTokens });
    },
  },
  {
    name: 'one-separator-between-texts',
    description: '<s> A </s> B </s> instead of <s> A </s></s> B </s>',
    wrap: tokenizer =>
      rewriting(tokenizer, encoding => {
        const second = encoding.sequenceIds.indexOf(1);
        return second < 1 ? encoding : withoutToken(encoding, second - 1);
      }),
  },
  {
    name: 'type-ids-of-bert',
    description: 'tokens of the second text have type 1',
    wrap: tokenizer =>
      rewriting(tokenizer, encoding => ({
        ...encoding,
        tokenTypeIds: encoding.sequenceIds.map(id => (id === 1 ? 1 : 0)),
      })),
  },
  {
    name: 'empty-pair-forgotten',
    description: 'an empty second text is taken for none',
    wrap: tokenizer => ({
      ...tokenizer,
      encode: (text, options) => tokenizer.encode(text, { ...options, textPair: options?.textPair || undefined }),
    }),
  },
  {
    name: 'stride-ignored',
    description: 'windows do not overlap',
    wrap: tokenizer => ({ ...tokenizer, encode: (text, options) => tokenizer.encode(text, { ...options, stride: 0 }) }),
  },
  {
    name: 'offsets-not-trimmed',
    description: 'the blank before a word is part of its offsets',
    wrap: ({ definition }) => createTokenizer({ ...definition, trimOffsets: false }),
  },
  {
    name: 'prefix-space-forgotten',
    description: 'no blank is put before the text',
    wrap: ({ definition }) => createTokenizer({ ...definition, addPrefixSpace: false }),
  },
  {
    name: 'first-blank-trimmed',
    description: 'the added blank is trimmed as if it had been in the text',
    wrap: ({ definition }) => createTokenizer({ ...definition, trimKeepsFirstBlank: false }),
  },
  {
    name: 'words-not-cut',
    description: 'merges go across words',
    wrap: ({ definition }) => createTokenizer({ ...definition, cutWords: false }),
  },
  {
    name: 'special-tokens-never-split',
    description: 'special tokens in the text are found although they should be ordinary text',
    wrap: tokenizer => ({
      ...tokenizer,
      encode: (text, options) => tokenizer.encode(text, { ...options, splitSpecialTokens: false }),
    }),
  },
  {
    name: 'special-tokens-kept-in-decode',
    description: 'skipSpecialTokens is ignored',
    wrap: tokenizer => ({ ...tokenizer, decode: ids => tokenizer.decode(ids) }),
  },
  {
    name: 'single-word-ignored',
    description: 'added tokens are found inside of words',
    wrap: ({ definition }) => {
      const addedTokens = definition.addedTokens.map(token => ({ ...token, singleWord: false }));
      return createTokenizer({ ...definition, addedTokens });
    },
  },
];

/** A tokenizer whose encodings, and their windows, are changed on the way out. */
function rewriting(tokenizer: Tokenizer, change: (encoding: Encoding, text: string) => Encoding): Tokenizer {
  return {
    ...tokenizer,
    encode(text, options) {
      const encoding = tokenizer.encode(text, options);
      const overflowing = encoding.overflowing.map(window => change(window, text));
      return { ...change(encoding, text), overflowing };
    },
  };
}

function withoutToken(encoding: Encoding, token: number): Encoding {
  const drop = (values: Int32Array): Int32Array => values.filter((_, at) => at !== token);
  const dropPair = (values: Int32Array): Int32Array => values.filter((_, at) => at >> 1 !== token);
  return {
    inputIds: drop(encoding.inputIds),
    attentionMask: drop(encoding.attentionMask),
    specialTokensMask: drop(encoding.specialTokensMask),
    tokenTypeIds: drop(encoding.tokenTypeIds),
    sequenceIds: drop(encoding.sequenceIds),
    wordIds: drop(encoding.wordIds),
    offsets: dropPair(encoding.offsets),
    codePointOffsets: dropPair(encoding.codePointOffsets),
    overflowing: encoding.overflowing,
  };
}
