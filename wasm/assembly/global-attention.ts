/**
 * Attention of global tokens over all real tokens of their document, with projections of their own.
 *
 * Written as it is defined, keys and values of all T' tokens are projected for the sake of a few queries: 4 T' C² operations. The same sum
 * can be associated the other way:
 *
 *     score(s, j) = q_s · (Wk x_j + bk)      = (Wkᵀ q_s) · x_j + constant of the row, which softmax ignores
 *     result(s)   = Σ_j p_j (Wv x_j + bv)    = Wv (Σ_j p_j x_j) + bv
 *
 * for each head, which costs about 4 G' H T' C. The cheaper way is taken for each document by its own numbers, so packing changes nothing.
 */
import {
  attendedTile,
  foldedRows,
  GROUP,
  HEAD,
  hiddenKeys,
  KC,
  KEYS,
  keyPanels,
  MC,
  MR,
  min,
  packedFolded,
  packedRows,
  packedScores,
  panelBytes,
  partials,
  projected,
  roundUp8,
  scores,
  sums,
  valuePanels,
  zeroRow,
} from './layout';
import { linear, tile } from './linear-f32';
import { madd, sumOfLanes } from './math';
import { packColumns4, packTile, packValueRow } from './pack';
import { scaleRow, softmaxRow } from './softmax';

let out: usize = 0;
let outBytes: usize = 0;
/** Row of `out` for each global token, or 0 when probabilities are wanted. */
let outRows: usize = 0;
let query: usize = 0;
let hiddenStates: usize = 0;
let hiddenSize: i32 = 0;
let rowBytes: usize = 0;
let keyProjection: usize = 0;
let valueProjection: usize = 0;
let heads: i32 = 0;
let headDim: i32 = 0;
let causal: bool = false;
let roles: usize = 0;
/** The document: first row, rows, first global token, global tokens. */
let start: i32 = 0;
let length: i32 = 0;
let firstSlot: i32 = 0;
let slots: i32 = 0;
let globals: usize = 0;
let someHidden: bool = false;

/**
 * Documents first .. first + count. query: (G, C); hiddenStates: (T, C); projections: packed (linear-f32.ts). Row s of the result goes to
 * row outRows[s] of `out`, outFeatures floats wide. With outRows = 0 the probabilities of the one document go to (H * G', outFeatures) instead.
 * Of the work on a document, only the part-th of `parts` is done: some heads, or some (slot, head).
 */
export function globalAttention(
  out_: usize,
  outFeatures: i32,
  outRows_: usize,
  query_: usize,
  hiddenStates_: usize,
  hiddenSize_: i32,
  keyProjection_: usize,
  valueProjection_: usize,
  heads_: i32,
  causal_: i32,
  roles_: usize,
  documents: usize,
  firstDocument: i32,
  documentCount: i32,
  globalRows: usize,
  globalStarts: usize,
  part: i32,
  parts: i32,
): void {
  out = out_;
  outBytes = (<usize>outFeatures) << 2;
  outRows = outRows_;
  query = query_;
  hiddenStates = hiddenStates_;
  hiddenSize = hiddenSize_;
  rowBytes = (<usize>hiddenSize_) << 2;
  keyProjection = keyProjection_;
  valueProjection = valueProjection_;
  heads = heads_;
  headDim = hiddenSize_ / heads_;
  causal = causal_ !== 0;
  roles = roles_;
  globals = globalRows;
  for (let document = firstDocument; document < firstDocument + documentCount; document++) {
    const at = (<usize>document) << 2;
    start = load<i32>(documents + at);
    length = load<i32>(documents + at, 4) - start;
    firstSlot = load<i32>(globalStarts + at);
    slots = load<i32>(globalStarts + at, 4) - firstSlot;
    if (slots === 0) continue;
    listHidden();
    if (headDim <= HEAD && !folds()) {
      for (let head = (heads * part) / parts; head < (heads * (part + 1)) / parts; head++) attendHead(head);
    } else {
      const rows = slots * heads;
      const end = <i32>((<i64>rows * (part + 1)) / parts);
      for (let row = <i32>((<i64>rows * part) / parts); row < end; row += GROUP) attendFolded(row, min(GROUP, end - row));
    }
  }
}

/** Whether folding the projections into the queries is cheaper. Multiplications for one document, C² left out where both have it. */
function folds(): bool {
  const c = <f64>hiddenSize;
  const t = <f64>length;
  const s = <f64>slots;
  return s * c + s * <f64>heads * t < t * c + s * t;
}

/** Marks padding among the keys of the document. */
function listHidden(): void {
  someHidden = false;
  for (let j = 0; j < length; j++) {
    const isHidden = load<u8>(roles + <usize>(start + j)) === 0;
    if (isHidden) someHidden = true;
    store<i32>(hiddenKeys + ((<usize>j) << 2), isHidden ? -1 : 0);
  }
}

@inline
function isHidden(j: i32): bool {
  return j >= length || load<i32>(hiddenKeys + ((<usize>j) << 2)) !== 0;
}

/** Softmax of row r of the scores, which belongs to `slot`; columns = T' rounded up to 8. */
function softmaxOf(r: i32, slot: i32, columns: i32): void {
  const highest = causal ? load<i32>(globals + ((<usize>(firstSlot + slot)) << 2)) - start : length - 1;
  const row = scores + ((<usize>r * <usize>columns) << 2);
  const sum = softmaxRow(row, 0, 0, 0, highest, columns, someHidden ? hiddenKeys : 0);
  store<f32>(sums + ((<usize>r) << 2), sum);
}

/** Row r of the scores, divided by its sum, to its row of the probabilities. */
function storeProbabilities(r: i32, slot: i32, head: i32, columns: i32): void {
  scaleRow(
    out + <usize>(head * slots + slot) * outBytes,
    scores + ((<usize>r * <usize>columns) << 2),
    length,
    <f32>1.0 / load<f32>(sums + ((<usize>r) << 2)),
  );
}

// ---- as defined: keys and values of one head, then tiles of queries ----

function attendHead(head: i32): void {
  projectHead(head);
  const columns = roundUp8(length);
  const stride = (<usize>columns) << 2;
  const perPanel = (<usize>headDim) << 5;
  const attendedBytes = <usize>roundUp8(headDim) << 2;
  for (let slot = 0; slot < slots; slot += MR) {
    const count = min(MR, slots - slot);
    const q = query + <usize>(firstSlot + slot) * rowBytes + ((<usize>(head * headDim)) << 2);
    packTile(packedRows, q, rowBytes, count, headDim, <f32>(1.0 / sqrt<f64>(<f64>headDim)));
    for (let column = 0; column < columns; column += 8) {
      const b = keyPanels + <usize>(column >> 3) * perPanel;
      tile(headDim, packedRows, b, scores + ((<usize>column) << 2), stride, zeroRow, 0);
    }
    for (let r = 0; r < count; r++) softmaxOf(r, slot + r, columns);
    if (!outRows) {
      for (let r = 0; r < count; r++) storeProbabilities(r, slot + r, head, columns);
      continue;
    }
    packTile(packedScores, scores, stride, count, columns, 1);
    let panel = valuePanels;
    for (let c = attendedTile, end = attendedTile + attendedBytes; c !== end; c += 32, panel += (<usize>columns) << 5) {
      for (let j = 0; j < columns; j += KEYS) {
        const a = packedScores + ((<usize>(j * MR)) << 2);
        const b = panel + ((<usize>j) << 5);
        if (j === 0) tile(min(KEYS, columns), a, b, c, attendedBytes, zeroRow, 0);
        else tile(min(KEYS, columns - j), a, b, c, attendedBytes, c, attendedBytes);
      }
    }
    for (let r = 0; r < count; r++) {
      const row = load<i32>(outRows + ((<usize>(firstSlot + slot + r)) << 2));
      scaleRow(
        out + <usize>row * outBytes + ((<usize>(head * headDim)) << 2),
        attendedTile + <usize>r * attendedBytes,
        headDim,
        <f32>1.0 / load<f32>(sums + ((<usize>r) << 2)),
      );
    }
  }
}

/** Keys and values of one head for the whole document, MC tokens at a time, into their panels. */
function projectHead(head: i32): void {
  const firstFeature = head * headDim;
  const firstPanel = firstFeature >> 3;
  const panels = ((firstFeature + headDim + 7) >> 3) - firstPanel;
  const width = panels << 3; // ≤ HEAD + 16
  const bytes = (<usize>width) << 2;
  const offset = (<usize>(firstFeature - (firstPanel << 3))) << 2;
  const weights = <usize>firstPanel * panelBytes(hiddenSize);
  const columns = roundUp8(length);
  for (let block = 0; block < length; block += MC) {
    // MC is a multiple of 8: blocks fill whole panels, and the last one is filled up with zeros.
    const count = min(MC, length - block);
    const input = hiddenStates + <usize>(start + block) * rowBytes;
    linear(projected, width, input, hiddenSize, count, keyProjection + weights, hiddenSize, width, 0);
    for (let j = 0; j < roundUp8(count); j += 4) {
      const row = projected + <usize>j * bytes + offset;
      const panel = keyPanels + ((<usize>((block + j) >> 3) * <usize>headDim) << 5) + ((j & 4) << 2);
      packColumns4(
        panel,
        isHidden(block + j) ? zeroRow : row,
        isHidden(block + j + 1) ? zeroRow : row + bytes,
        isHidden(block + j + 2) ? zeroRow : row + bytes * 2,
        isHidden(block + j + 3) ? zeroRow : row + bytes * 3,
        headDim,
      );
    }
    if (!outRows) continue;
    linear(projected, width, input, hiddenSize, count, valueProjection + weights, hiddenSize, width, 0);
    for (let j = 0; j < roundUp8(count); j++) {
      const row = isHidden(block + j) ? zeroRow : projected + <usize>j * bytes + offset;
      packValueRow(valuePanels + ((<usize>(block + j)) << 5), row, headDim, (<usize>columns) << 5);
    }
  }
}

// ---- the other way round: rows are (slot, head), slot first ----

function attendFolded(firstRow: i32, rows: i32): void {
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
