/**
 * out = activation(input Wᵀ + bias), W in panels of 8 output features with their bias in front (pack.ts beside this folder).
 *
 * Each element is the sum of blocks of KC products, each block summed upwards from 0, the bias added to the first. That order is the
 * same for whole tiles, ragged ones and any row range, so a row's bits do not depend on its neighbours.
 */
import { edgeTile, KC, MC, MR, min, NR, PACKED, packedRows, panelBytes } from './layout';
import { activateTile } from './math';
import { packTile } from './pack';
import { tile5x8, tile6x8 } from './tile';

/** The tile of this build. */
@inline
export function tile(
  count: i32,
  a: usize,
  b: usize,
  c: usize,
  cStride: usize,
  init: usize,
  initStride: usize,
): void {
  if (MR === 6) tile6x8(count, a, b, c, cStride, init, initStride);
  else tile5x8(count, a, b, c, cStride, init, initStride);
}

/**
 * out: (rows, outStride floats apart), input: (rows, inFeatures), inputStride floats apart; weights: packed panels.
 */
export function linear(
  out: usize,
  outStride: i32,
  input: usize,
  inputStride: i32,
  rows: i32,
  weights: usize,
  inFeatures: i32,
  outFeatures: i32,
  activation: i32,
): void {
  const outBytes = (<usize>outStride) << 2;
  const inputBytes = (<usize>inputStride) << 2;
  for (let row = 0; row < rows; row += MC) {
    const blockRows = min(MC, rows - row);
    for (let k = 0; k < inFeatures; k += PACKED) {
      const count = min(PACKED, inFeatures - k);
      const from = input + <usize>row * inputBytes + ((<usize>k) << 2);
      for (let r = 0; r < blockRows; r += MR) {
        const to = packedRows + ((<usize>(r * count)) << 2);
        packTile(to, from + <usize>r * inputBytes, inputBytes, blockRows - r, count, 1);
      }
      multiplyBlock(
        out + <usize>row * outBytes,
        outBytes,
        blockRows,
        weights,
        inFeatures,
        outFeatures,
        k,
        count,
        k + count === inFeatures ? activation : 0,
      );
    }
  }
}

/** The packed rows times the steps k .. k + count of every panel. */
function multiplyBlock(
  out: usize,
  outBytes: usize,
  rows: i32,
  weights: usize,
  inFeatures: i32,
  outFeatures: i32,
  k: i32,
  count: i32,
  activation: i32,
): void {
  const perPanel = panelBytes(inFeatures);
  for (let column = 0; column < outFeatures; column += NR) {
    const bias = weights + <usize>(column >> 3) * perPanel;
    const b = bias + 32 + ((<usize>k) << 5);
    const columns = min(NR, outFeatures - column);
    for (let r = 0; r < rows; r += MR) {
      const a = packedRows + ((<usize>(r * count)) << 2);
      const c = out + <usize>r * outBytes + ((<usize>column) << 2);
      const valid = min(MR, rows - r);
      if (valid === MR && columns === NR) {
        multiplyTile(count, a, b, c, outBytes, k === 0 ? bias : 0);
        if (activation !== 0) activateTile(c, MR, outBytes, activation);
        continue;
      }
      const bytes = (<usize>columns) << 2;
      for (let i = 0; k !== 0 && i < valid; i++) {
        memory.copy(edgeTile + ((<usize>i) << 5), c + <usize>i * outBytes, bytes);
      }
      multiplyTile(count, a, b, edgeTile, 32, k === 0 ? bias : 0);
      if (activation !== 0) activateTile(edgeTile, valid, 32, activation);
      for (let i = 0; i < valid; i++) memory.copy(c + <usize>i * outBytes, edgeTile + ((<usize>i) << 5), bytes);
    }
  }
}

/** One tile, `count` steps in blocks of KC. Without a bias, c is added to. */
function multiplyTile(count: i32, a: usize, b: usize, c: usize, stride: usize, bias: usize): void {
  const first = min(count, KC);
  if (bias) tile(first, a, b, c, stride, bias, 0);
  else tile(first, a, b, c, stride, c, stride);
  if (count === first) return;
  tile(count - first, a + ((<usize>(first * MR)) << 2), b + ((<usize>first) << 5), c, stride, c, stride);
}
