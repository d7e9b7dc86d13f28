/** Four ways to the same attention: the definition (3), the band (4 and 5), and the authors' products (6). */
import { describe, expect, it } from 'vitest';
import type { Tensor64 } from '../contract/tensor.ts';
import { gatherRows, zeros } from './1-operations.ts';
import {
  type Band,
  intersection,
  longformerPattern,
  realTokens,
  slidingWindow,
  type TokenRoles,
} from './2-patterns.ts';
import { denseAttention } from './3-dense-attention.ts';
import { slidingWindowAttention } from './4-sliding-window-attention.ts';
import { globalAttention, overwriteGlobalRows } from './5-global-attention.ts';
import { attentionByProducts, type BandedProducts } from './6-banded-products.ts';
import { loop } from './6a-loop.ts';
import { slidingChunks } from './6b-sliding-chunks.ts';
import { slidingChunksNoOverlap } from './6c-sliding-chunks-no-overlap.ts';
import { diagonaledMatmul } from './6d-diagonaled-matmul.ts';
import { randomTensor, seededRandom } from './random.ts';

interface Example {
  readonly name: string;
  readonly sequenceLength: number;
  readonly band: Band;
  readonly roles: TokenRoles;
  readonly query: Tensor64;
  readonly key: Tensor64;
  readonly value: Tensor64;
}

const headDim = 3;

/** Random lengths, windows, dilations, paddings and global tokens; every eighth one without padding or globals. */
function randomExamples(count: number, multipleOfWindow: boolean): Example[] {
  const random = seededRandom(20);
  const integer = (lowest: number, highest: number): number => lowest + Math.floor(random() * (highest - lowest + 1));
  return Array.from({ length: count }, (_, index) => {
    const heads = integer(1, 3);
    const oneSidedWindow = integer(1, 4);
    const sequenceLength = multipleOfWindow ? 2 * oneSidedWindow * integer(1, 4) : integer(1, 21);
    const plain = index % 8 === 0;
    const attentionMask = Array.from({ length: sequenceLength }, () => (plain || random() < 0.85 ? 1 : 0));
    const globalIndices = attentionMask.flatMap((real, t) => (!plain && real && random() < 0.2 ? [t] : []));
    const dilation = Array.from({ length: heads }, () => (multipleOfWindow ? 1 : integer(1, 3)));
    const causal = !multipleOfWindow && random() < 0.4;
    const [query, key, value] = [0, 1, 2].map(() => randomTensor(random, [sequenceLength, heads * headDim], 4));
    const name = `${index}: T ${sequenceLength}, w ${oneSidedWindow}, d ${dilation}, G ${globalIndices.length}${causal ? ', causal' : ''}`;
    const band = { heads, oneSidedWindow, dilation, causal };
    return { name, sequenceLength, band, roles: { attentionMask, globalIndices }, query, key, value } as Example;
  });
}

const worstDifference = (a: Tensor64, b: Tensor64): number => {
  expect(a.shape).toEqual(b.shape);
  return a.data.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b.data[i]!)), 0);
};

describe('sliding window attention (4) and global attention (5) equal the definition (3)', () => {
  it.each(randomExamples(120, false))('$name', ({ band, roles, query, key, value, sequenceLength }) => {
    const { attended } = slidingWindowAttention(query, key, value, roles, band);
    // Other numbers for the global projections, so that mixing them up shows.
    const random = seededRandom(sequenceLength);
    const [queryGlobal, keyGlobal, valueGlobal] = [0, 1, 2].map(() => randomTensor(random, query.shape, 4)) as [
      Tensor64,
      Tensor64,
      Tensor64,
    ];
    const global = globalAttention(
      gatherRows(queryGlobal, roles.globalIndices),
      keyGlobal,
      valueGlobal,
      roles,
      band.heads,
      band.causal,
    );
    overwriteGlobalRows(attended, global.attended, roles.globalIndices);

    const pattern = longformerPattern(band, roles);
    const expected = denseAttention(query, key, value, band.heads, pattern).attended;
    const globalRows = denseAttention(queryGlobal, keyGlobal, valueGlobal, band.heads, pattern).attended;
    overwriteGlobalRows(expected, gatherRows(globalRows, roles.globalIndices), roles.globalIndices);
    expect(worstDifference(attended, expected)).toBeLessThan(1e-13);
  });
});

const implementations: [string, (band: Band) => BandedProducts, boolean][] = [
  ['loop', loop, false],
  ['diagonaled matmul', diagonaledMatmul, false],
  ['sliding chunks', band => slidingChunks(band.heads, band.oneSidedWindow), true],
];

describe.each(implementations)('%s (6) equals the band (4)', (_, products, multipleOfWindow) => {
  it.each(randomExamples(60, multipleOfWindow))('$name', ({ band, roles, query, key, value }) => {
    const expected = slidingWindowAttention(query, key, value, roles, band);
    const actual = attentionByProducts(query, key, value, withoutFuture(roles, band), products(band));
    if (band.causal && roles.globalIndices.length > 0) return; // the products know no causal global keys
    expect(worstDifference(actual.attended, expected.attended)).toBeLessThan(1e-13);
    if (!band.causal) expect(worstDifference(actual.probs, expected.probs)).toBeLessThan(1e-14);
  });
});

/** Causal examples are compared without global tokens. */
const withoutFuture = (roles: TokenRoles, band: Band): TokenRoles =>
  band.causal ? { ...roles, globalIndices: [] } : roles;

describe('sliding chunks without overlap (6c)', () => {
  const w = 3;
  const examples = randomExamples(40, false).map(example => {
    const sequenceLength = w * (1 + (example.sequenceLength % 5));
    const random = seededRandom(example.sequenceLength);
    const [query, key, value] = [0, 1, 2].map(() => randomTensor(random, [sequenceLength, 2 * headDim], 4)) as [
      Tensor64,
      Tensor64,
      Tensor64,
    ];
    const attentionMask = Array.from({ length: sequenceLength }, () => (random() < 0.8 ? 1 : 0));
    return { name: `T ${sequenceLength}`, query, key, value, attentionMask };
  });

  it.each(examples)('is attention over the block before, its own and the next: $name', example => {
    const { query, key, value, attentionMask } = example;
    const roles = { attentionMask, globalIndices: [] };
    const actual = attentionByProducts(query, key, value, roles, slidingChunksNoOverlap(2, w));
    const neighbours = (i: number, j: number): boolean => Math.abs(Math.floor(i / w) - Math.floor(j / w)) <= 1;
    const expected = denseAttention(query, key, value, 2, intersection(realTokens(attentionMask), neighbours));
    expect(worstDifference(actual.attended, expected.attended)).toBeLessThan(1e-13);
  });

  it('with the authors’ mask gives missing keys a share of the softmax', () => {
    const zerosOf = (): Tensor64 => zeros(w, headDim);
    const roles = { attentionMask: [1, 1, 1], globalIndices: [] };
    const products = slidingChunksNoOverlap(1, w, { authorsMask: true });
    const { probs } = attentionByProducts(zerosOf(), zerosOf(), zerosOf(), roles, products);
    // One block: the first query hides columns 0..2 (the missing block before) and only the last column of the missing block after.
    expect([...probs.data.subarray(0, 9)]).toEqual([0, 0, 0, 0.2, 0.2, 0.2, 0.2, 0.2, 0]);
  });
});

describe('worked by hand', () => {
  it('three tokens, one head of one feature, window 1', () => {
    const column = (...values: number[]): Tensor64 => ({ shape: [values.length, 1], data: Float64Array.from(values) });
    const zero = column(0, 0, 0); // equal scores: every visible key gets the same share
    const band = { heads: 1, oneSidedWindow: 1, dilation: [1], causal: false };
    const roles = { attentionMask: [1, 1, 1], globalIndices: [] };
    const { attended, probs } = slidingWindowAttention(zero, zero, column(3, 6, 12), roles, band);
    expect([...attended.data]).toEqual([4.5, 7, 9]); // (3+6)/2, (3+6+12)/3, (6+12)/2
    expect([...probs.data].map(p => +p.toFixed(3))).toEqual([0, 0.5, 0.5, 0.333, 0.333, 0.333, 0.5, 0.5, 0]);
  });

  it('a window over the whole document is full attention', () => {
    const random = seededRandom(1);
    const [query, key, value] = [0, 1, 2].map(() => randomTensor(random, [5, 4])) as [Tensor64, Tensor64, Tensor64];
    const band = { heads: 2, oneSidedWindow: 4, dilation: [1, 1], causal: false };
    const { attended } = slidingWindowAttention(
      query,
      key,
      value,
      { attentionMask: [1, 1, 1, 1, 1], globalIndices: [] },
      band,
    );
    expect(worstDifference(attended, denseAttention(query, key, value, 2, slidingWindow(4)).attended)).toBeLessThan(
      1e-15,
    );
  });
});
