/**
 * 2. Who may attend to whom. Paper §3.1 and Figure 2.
 *
 * A pattern is a yes-or-no question about a query row i, a key row j and a head. Nothing else about attention is decided
 * here: no scores, no weights. Draw one with `draw` and compare it with the paper's Figure 2.
 *
 * Read before: 1-operations.ts. Read next: 3-dense-attention.ts, which turns a pattern into attention.
 */
import { expectLength, expectRange, ValueRangeError } from '../contract/errors.ts';

/** May the query at row i see the key at row j, in this head? */
export type Pattern = (i: number, j: number, head: number) => boolean;

/** The band of one layer. Paper §3.1. */
export interface Band {
  /** H. */
  readonly heads: number;
  /** Keys on each side, the query itself not counted. HF attention_window / 2. Paper ½w. */
  readonly oneSidedWindow: number;
  /** (H) Distance between neighbouring keys; 1 = no gaps. Paper: the gap, d - 1 here. */
  readonly dilation: readonly number[];
  /** True: only keys at or before the query. */
  readonly causal: boolean;
}

/** What is known about the tokens of one document before any arithmetic starts. */
export interface TokenRoles {
  /** (T) 1 = real token, 0 = padding: nobody attends to it, and its own attention output is 0. */
  readonly attentionMask: ArrayLike<number>;
  /** (G) Ascending rows of the real tokens with global attention. */
  readonly globalIndices: readonly number[];
}

/** Everyone sees everyone: n² attention. Figure 2a. */
export const full = (): Pattern => () => true;

/** The oneSidedWindow keys on each side and the token itself. Figure 2b. */
export const slidingWindow =
  (oneSidedWindow: number): Pattern =>
  (i, j) =>
    Math.abs(j - i) <= oneSidedWindow;

/**
 * Every dilation-th key, oneSidedWindow of them on each side; heads may differ. Figure 2c.
 *
 * Subtle: dilation keeps the number of keys and stretches the reach, it does not thin out a fixed reach.
 */
export const dilatedSlidingWindow =
  (oneSidedWindow: number, dilation: readonly number[]): Pattern =>
  (i, j, head) => {
    const step = dilation[head]!;
    return Math.abs(j - i) <= oneSidedWindow * step && (j - i) % step === 0;
  };

/** Keys at or before the query. */
export const causal = (): Pattern => (i, j) => j <= i;

/** Global tokens see everyone and are seen by everyone: full rows and full columns. The cross in Figure 2d. */
export const globalTokens = (globalIndices: readonly number[]): Pattern => {
  const isGlobal = new Set(globalIndices);
  return (i, j) => isGlobal.has(i) || isGlobal.has(j);
};

/** Padding is never seen and sees nothing. */
export const realTokens =
  (attentionMask: ArrayLike<number>): Pattern =>
  (i, j) =>
    attentionMask[i] === 1 && attentionMask[j] === 1;

/** Allowed by at least one of them. */
export const union =
  (...patterns: readonly Pattern[]): Pattern =>
  (i, j, head) =>
    patterns.some(allows => allows(i, j, head));

/** Allowed by all of them. */
export const intersection =
  (...patterns: readonly Pattern[]): Pattern =>
  (i, j, head) =>
    patterns.every(allows => allows(i, j, head));

/**
 * The pattern of a whole Longformer layer: real tokens ∩ (band ∪ global tokens), and everything at or before the query
 * when causal. Paper §3.1; Figure 2d.
 *
 * Differs: neither the paper nor Hugging Face says what causal attention means beside global tokens. Ours: j ≤ i holds for
 * all of them, so that no token ever learns about its future.
 */
export function longformerPattern(band: Band, roles: TokenRoles): Pattern {
  const local = dilatedSlidingWindow(band.oneSidedWindow, band.dilation);
  const seen = intersection(realTokens(roles.attentionMask), union(local, globalTokens(roles.globalIndices)));
  return band.causal ? intersection(causal(), seen) : seen;
}

/**
 * The pattern as text, a line for each query: ■ the token itself, ● a key it sees, · a key it does not.
 *
 * @throws ValueRangeError unless sequenceLength is 1..2000.
 */
export function draw(pattern: Pattern, sequenceLength: number, head = 0): string {
  expectRange('draw', 'sequenceLength', [sequenceLength], 1, 2000);
  const lines: string[] = [];
  for (let i = 0; i < sequenceLength; i++) {
    let line = '';
    for (let j = 0; j < sequenceLength; j++) {
      line += pattern(i, j, head) ? (i === j ? '■' : '●') : '·';
    }
    lines.push(line);
  }
  return lines.join('\n');
}

/**
 * Checks a band and the roles of T tokens once, at the door; everything behind trusts them.
 *
 * @throws ShapeError, ValueRangeError
 */
export function expectBandAndRoles(where: string, band: Band, roles: TokenRoles, sequenceLength: number): void {
  const { heads, oneSidedWindow, dilation } = band;
  expectRange(where, 'heads', [heads], 1, Number.MAX_SAFE_INTEGER);
  expectRange(where, 'oneSidedWindow', [oneSidedWindow], 1, Number.MAX_SAFE_INTEGER);
  expectLength(where, 'dilation', dilation, heads);
  expectRange(where, 'dilation', dilation, 1, Number.MAX_SAFE_INTEGER);
  expectLength(where, 'attentionMask', roles.attentionMask, sequenceLength);
  expectRange(where, 'attentionMask', roles.attentionMask, 0, 1);
  expectRange(where, 'globalIndices', roles.globalIndices, 0, sequenceLength - 1);
  roles.globalIndices.forEach((row, slot) => {
    const name = `globalIndices[${slot}]`;
    if (slot > 0 && row <= roles.globalIndices[slot - 1]!) {
      throw new ValueRangeError({ where, name, expected: 'ascending rows', got: String(row) });
    }
    if (roles.attentionMask[row] !== 1) {
      throw new ValueRangeError({ where, name, expected: 'a real token', got: `row ${row}, which is padding` });
    }
  });
}
