/**
 * Global attention the other way round: projections folded into the queries. Rows are (slot, head), slot first.
 *
 * Read before: global-attention.ts.
 */
import {
  firstSlot,
  headDim,
  heads,
  hiddenSize,
  hiddenStates,
  isHidden,
  keyProjection,
  length,
  out,
  outBytes,
  outRows,
  query,
  rowBytes,
  softmaxOf,
  start,
  storeProbabilities,
  valueProjection,
} from './globals-call';
import {
  foldedRows,
  KC,
  keyPanels,
  KEYS,
  min,
  MR,
  packedFolded,
  packedRows,
  panelBytes,
  partials,
  projected,
  roundUp8,
  scores,
  sums,
  valuePanels,
  zeroRow,
} from './layout';
import { tile } from './linear-f32';
import { madd, sumOfLanes } from './math';
import { packColumns4, packTile, packValueRow } from './pack';
import { scaleRow } from './softmax';

/** `rows` rows from `firstRow` on, at most GROUP. */
export function attendFolded(firstRow: i32, rows: i32): void {
  const foldedBytes = (<usize>roundUp8(hiddenSize)) << 2;
  for (let r = 0; r < rows; r++) {
    foldQuery(foldedRows + <usize>r * foldedBytes, (firstRow + r) / heads, (firstRow + r) % heads);
  }
  scoreFolded(rows, foldedBytes);
  const columns = roundUp8(length);
  for (let r = 0; r < rows; r++) {
    const slot = (firstRow + r) / heads;
    softmaxOf(r, slot, columns);
    if (!outRows) storeProbabilities(r, slot, (firstRow + r) % heads, columns);
  }
  if (!outRows) return;
  sumHiddenStates(rows, foldedBytes, columns);
  for (let r = 0; r < rows; r++) {
    const slot = (firstRow + r) / heads;
    const head = (firstRow + r) % heads;
    const row = foldedRows + <usize>r * foldedBytes;
    scaleRow(row, row, hiddenSize, <f32>1.0 / load<f32>(sums + ((<usize>r) << 2)));
    const outRow = load<i32>(outRows + ((<usize>(firstSlot + slot)) << 2));
    projectValue(out + <usize>outRow * outBytes, row, head);
  }
}

/** to (C) = Σ over the features d of the head: q[d] / √D * Wk[d]. A panel has 8 rows of Wk as columns, so lanes are summed last. */
function foldQuery(to: usize, slot: i32, head: i32): void {
  const first = head * headDim;
  const end = first + headDim;
  const q = query + <usize>(firstSlot + slot) * rowBytes;
  const scale = <f32>(1.0 / sqrt<f64>(<f64>headDim));
  memory.fill(partials, 0, (<usize>hiddenSize) << 4);
  for (let panel = first >> 3; panel << 3 < end; panel++) {
    // The 8 queries of the panel; 0 for those of the neighbouring heads.
    for (let lane = 0; lane < 8; lane++) {
      const feature = (panel << 3) + lane;
      const mine = feature >= first && feature < end;
      store<f32>(projected + ((<usize>lane) << 2), mine ? load<f32>(q + ((<usize>feature) << 2)) * scale : 0);
    }
    const low = v128.load(projected);
    const high = v128.load(projected, 16);
    let weight = keyProjection + <usize>panel * panelBytes(hiddenSize) + 32;
    for (let at = partials, last = partials + ((<usize>hiddenSize) << 4); at !== last; at += 16, weight += 32) {
      v128.store(at, madd(low, v128.load(weight), madd(high, v128.load(weight, 16), v128.load(at))));
    }
  }
  for (let k = 0; k < hiddenSize; k++) {
    store<f32>(to + ((<usize>k) << 2), sumOfLanes(v128.load(partials + ((<usize>k) << 4))));
  }
}

/** scores (rows, T' rounded up) = folded rows times hidden states, a panel of 8 tokens at a time. */
function scoreFolded(rows: i32, foldedBytes: usize): void {
  const stride = (<usize>roundUp8(length)) << 2;
  for (let k = 0; k < hiddenSize; k += KC) {
    const count = min(KC, hiddenSize - k);
    const offset = (<usize>k) << 2;
    for (let r = 0; r < rows; r += MR) {
      const from = foldedRows + <usize>r * foldedBytes + offset;
      packTile(packedFolded + ((<usize>(r * count)) << 2), from, foldedBytes, rows - r, count, 1);
    }
    for (let j = 0; j < length; j += 8) {
      const panel = keyPanels; // any region of (KC, 8) would do
      packColumns4(panel, token(j, offset), token(j + 1, offset), token(j + 2, offset), token(j + 3, offset), count);
      packColumns4(
        panel + 16,
        token(j + 4, offset),
        token(j + 5, offset),
        token(j + 6, offset),
        token(j + 7, offset),
        count,
      );
      for (let r = 0; r < rows; r += MR) {
        const a = packedFolded + ((<usize>(r * count)) << 2);
        const c = scores + <usize>r * stride + ((<usize>j) << 2);
        if (k === 0) tile(count, a, panel, c, stride, zeroRow, 0);
        else tile(count, a, panel, c, stride, c, stride);
      }
    }
  }
}

@inline
function token(j: i32, offset: usize): usize {
  return isHidden(j) ? zeroRow : hiddenStates + <usize>(start + j) * rowBytes + offset;
}

/** foldedRows (rows, C) = scores times hidden states, KEYS tokens and 8 features at a time. */
function sumHiddenStates(rows: i32, foldedBytes: usize, columns: i32): void {
  const stride = (<usize>columns) << 2;
  for (let j = 0; j < columns; j += KEYS) {
    const count = min(KEYS, columns - j);
    for (let r = 0; r < rows; r += MR) {
      const from = scores + <usize>r * stride + ((<usize>j) << 2);
      packTile(packedRows + ((<usize>(r * count)) << 2), from, stride, rows - r, count, 1);
    }
    for (let feature = 0; feature < hiddenSize; feature += 8) {
      const features = min(8, hiddenSize - feature);
      const offset = (<usize>feature) << 2;
      for (let i = 0; i < count; i++) {
        packValueRow(valuePanels + ((<usize>i) << 5), token(j + i, offset), features, 0);
      }
      for (let r = 0; r < rows; r += MR) {
        const a = packedRows + ((<usize>(r * count)) << 2);
        const c = foldedRows + <usize>r * foldedBytes + offset;
        if (j === 0) tile(count, a, valuePanels, c, foldedBytes, zeroRow, 0);
        else tile(count, a, valuePanels, c, foldedBytes, c, foldedBytes);
      }
    }
  }
}

/** The features of one head: to[feature] = Wv[feature] · row + bv[feature]. */
function projectValue(to: usize, row: usize, head: i32): void {
  const first = head * headDim;
  const end = first + headDim;
  const last = row + rowBytes;
  for (let panel = first >> 3; panel << 3 < end; panel++) {
    const weights = valueProjection + <usize>panel * panelBytes(hiddenSize);
    let weight = weights + 32;
    // Four sums that do not wait for each other, over every fourth feature.
    let low = f32x4.splat(0);
    let high = f32x4.splat(0);
    let low1 = low;
    let high1 = low;
    let low2 = low;
    let high2 = low;
    let low3 = low;
    let high3 = low;
    let at = row;
    for (; at + 16 <= last; at += 16, weight += 128) {
      let x = v128.load32_splat(at);
      low = madd(x, v128.load(weight), low);
      high = madd(x, v128.load(weight, 16), high);
      x = v128.load32_splat(at, 4);
      low1 = madd(x, v128.load(weight, 32), low1);
      high1 = madd(x, v128.load(weight, 48), high1);
      x = v128.load32_splat(at, 8);
      low2 = madd(x, v128.load(weight, 64), low2);
      high2 = madd(x, v128.load(weight, 80), high2);
      x = v128.load32_splat(at, 12);
      low3 = madd(x, v128.load(weight, 96), low3);
      high3 = madd(x, v128.load(weight, 112), high3);
    }
    for (; at !== last; at += 4, weight += 32) {
      const x = v128.load32_splat(at);
      low = madd(x, v128.load(weight), low);
      high = madd(x, v128.load(weight, 16), high);
    }
    low = f32x4.add(f32x4.add(low, low1), f32x4.add(low2, low3));
    high = f32x4.add(f32x4.add(high, high1), f32x4.add(high2, high3));
    v128.store(projected, f32x4.add(low, v128.load(weights)));
    v128.store(projected, f32x4.add(high, v128.load(weights, 16)), 16);
    for (let lane = 0; lane < 8; lane++) {
      const feature = (panel << 3) + lane;
      if (feature < first || feature >= end) continue;
      store<f32>(to + ((<usize>feature) << 2), load<f32>(projected + ((<usize>lane) << 2)));
    }
  }
}
