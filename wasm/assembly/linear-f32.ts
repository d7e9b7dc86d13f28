/**
 * out = activation(input Wᵀ + bias), W in panels of 8 output features with their bias in front (pack.ts beside this folder).
 *
 * Each element is the sum of blocks of KC products, each block summed upwards from 0, the bias added to the first. That order is the
 * same for whole tiles, ragged ones and any row range, so a row's bits do not depend on its neighbours.
 */
import { edgeTile, KC, MC, MR, min, NR, PACKED, packedRows, panelBytes } from './layout';
import { activateTile } from './math';
import { packTile } from './pack';
import { tile1x8, tile2x8, tile3x8, tile4x8, tile5x8, tile6x8 } from './tile';

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
    // One or two tiles of rows, as in a step of a decoder, are packed in one piece: then the weights stream by in the order they lie in.
    const piece = tilesOf(blockRows) <= 2 ? (MC / MR / 2) * PACKED : PACKED;
    for (let k = 0; k < inFeatures; k += piece) {
      const count = min(piece, inFeatures - k);
      const from = input + <usize>row * inputBytes + ((<usize>k) << 2);
      const tiles = tilesOf(blockRows);
      for (let t = 0; t < tiles; t++) {
        const r = firstRow(t, tiles, blockRows);
        const valid = firstRow(t + 1, tiles, blockRows) - r;
        const to = packedRows + ((<usize>(t * MR * count)) << 2);
        packTile(to, from + <usize>r * inputBytes, inputBytes, valid, count, 1);
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
  const tiles = tilesOf(rows);
  for (let column = 0; column < outFeatures; column += NR) {
    const bias = weights + <usize>(column >> 3) * perPanel;
    const b = bias + 32 + ((<usize>k) << 5);
    const columns = min(NR, outFeatures - column);
    for (let t = 0; t < tiles; t++) {
      const r = firstRow(t, tiles, rows);
      const height = firstRow(t + 1, tiles, rows) - r;
      const a = packedRows + ((<usize>(t * MR * count)) << 2);
      const c = out + <usize>r * outBytes + ((<usize>column) << 2);
      if (columns === NR) {
        multiplyTile(height, count, a, b, c, outBytes, k === 0 ? bias : 0);
        if (activation !== 0) activateTile(c, height, outBytes, activation);
        continue;
      }
      const bytes = (<usize>columns) << 2;
      for (let i = 0; k !== 0 && i < height; i++) {
        memory.copy(edgeTile + ((<usize>i) << 5), c + <usize>i * outBytes, bytes);
      }
      multiplyTile(height, count, a, b, edgeTile, 32, k === 0 ? bias : 0);
      if (activation !== 0) activateTile(edgeTile, height, 32, activation);
      for (let i = 0; i < height; i++) memory.copy(c + <usize>i * outBytes, edgeTile + ((<usize>i) << 5), bytes);
    }
  }
}

/** Rows of a block are dealt out to as few tiles as will do, evenly: 20 rows are four tiles of 5, not three of 6 and one of 2. */
@inline
function tilesOf(rows: i32): i32 {
  return (rows + MR - 1) / MR;
}

@inline
function firstRow(t: i32, tiles: i32, rows: i32): i32 {
  const least = rows / tiles;
  return t * least + min(t, rows - least * tiles);
}

/** The first `height` rows of a tile. */
function lowTile(height: i32, count: i32, a: usize, b: usize, c: usize, cStride: usize, init: usize, initStride: usize): void {
  switch (height) {
    case 1:
      tile1x8(count, a, b, c, cStride, init, initStride);
      break;
    case 2:
      tile2x8(count, a, b, c, cStride, init, initStride);
      break;
    case 3:
      tile3x8(count, a, b, c, cStride, init, initStride);
      break;
    case 4:
      tile4x8(count, a, b, c, cStride, init, initStride);
      break;
    default:
      tile5x8(count, a, b, c, cStride, init, initStride);
  }
}

/** One tile, `count` steps in blocks of KC. Without a bias, c is added to. */
function multiplyTile(height: i32, count: i32, a: usize, b: usize, c: usize, stride: usize, bias: usize): void {
  let init = bias ? bias : c;
  let initStride: usize = bias ? <usize>0 : stride;
  for (let k = 0; k < count; k += KC) {
    const steps = min(KC, count - k);
    if (height === MR) tile(steps, a, b, c, stride, init, initStride);
    else lowTile(height, steps, a, b, c, stride, init, initStride);
    init = c;
    initStride = stride;
    a += (<usize>(KC * MR)) << 2;
    b += (<usize>KC) << 5;
  }
}
