/**
 * Ordinary attention of a decoder: every key, or every earlier one; in its own cache, or in a packed source document.
 *
 * A step has few queries and many keys, so memory is what bounds it: queries that share their keys, as the beams of a document do, are taken
 * four at a time, and every key and value is read once for all four. Keys are taken in blocks and all heads within a block, so that rows are
 * read as they lie. Missing queries of a tile repeat the first; what is computed for a query never depends on the others. Scores, then
 * exponentials, are (heads, 4, keys), the results stand behind them.
 */
import { scoreRow, sumsOfLanes, sumValuesOfRow } from './full-attention-row';
import { GROUP, MC, PACKED, max, min, packedRows, roundUp8, scoreRoom, scores, sums } from './layout';
import { madd, maxOfLanes, sumOfLanes } from './math';
import { exponentiate, largestOf } from './softmax';

/** Keys that heads are done over in turn: the values of one head stay in the first-level cache, the rows of all heads in the second. */
const KEY_BLOCK: i32 = 64;

// Where the keys of a group are: set by `locate`, read by the loops below.
let firstKey: i32 = 0;
let keyStride: i32 = 0;
let count: i32 = 0;
let mask: usize = 0;

/** Room for the scores and results of a tile: that of packed rows, or for long documents the one that grows with them. */
let work: usize = 0;
/** Heads whose scores and results have room at the same time; at least one. */
let headsTogether: i32 = 0;

@inline
function makeRoom(headDim: i32, headCount: i32): void {
  const perHead = 4 * (roundUp8(count) + roundUp8(headDim));
  const wanted = min(headCount, GROUP >> 2);
  const fits = mask !== 0 && perHead * wanted > MC * PACKED;
  work = fits ? scores : packedRows;
  const most = min(wanted, (fits ? scoreRoom(count) : MC * PACKED) / perHead);
  // As many in each round as in the others.
  const rounds = (headCount + most - 1) / most;
  headsTogether = (headCount + rounds - 1) / rounds;
}

/** One group's keys: every `groups`-th row of its own cache, or the rows of the document that groupDocuments names. */
@inline
function locate(group: i32, groups: i32, keyCount: i32, groupDocuments: usize, documents: usize, roles: usize): void {
  firstKey = group;
  keyStride = groups;
  count = keyCount;
  mask = 0;
  if (!groupDocuments) return;
  const document = documents + ((<usize>load<i32>(groupDocuments + ((<usize>group) << 2))) << 2);
  firstKey = load<i32>(document);
  keyStride = 1;
  count = load<i32>(document, 4) - firstKey;
  mask = roles + <usize>firstKey;
}

// The tile: bytes from the first query (and result) to the others, keys each may see, sums of exponentials.
let row1: usize = 0;
let row2: usize = 0;
let row3: usize = 0;
let seen0: i32 = 0;
let seen1: i32 = 0;
let seen2: i32 = 0;
let seen3: i32 = 0;

/**
 * `headCount` heads of `groupCount` groups. query, out: (queryCount * groups, C), row = position * groups + group; the same for key and value of
 * their own caches (groupDocuments = 0). Otherwise key and value are (T, C) of packed documents, and groupDocuments, documents and roles
 * say which rows they are and which of them are padding. Causal: query position i sees key positions up to count - queryCount + i.
 */
export function fullAttention(
  out: usize,
  query: usize,
  key: usize,
  value: usize,
  hiddenSize: i32,
  headDim: i32,
  head: i32,
  headCount: i32,
  groups: i32,
  group: i32,
  groupCount: i32,
  queryCount: i32,
  keyCount: i32,
  causal: i32,
  groupDocuments: usize,
  documents: usize,
  roles: usize,
): void {
  const rowBytes = (<usize>hiddenSize) << 2;
  const offset = (<usize>head * headDim) << 2;
  const end = group + groupCount;
  while (group < end) {
    // Groups side by side that read the same document share its keys.
    let together = 1;
    if (groupDocuments) {
      const document = load<i32>(groupDocuments + ((<usize>group) << 2));
      while (group + together < end && load<i32>(groupDocuments + ((<usize>(group + together)) << 2)) === document) together++;
    }
    locate(group, groups, keyCount, groupDocuments, documents, roles);
    makeRoom(headDim, headCount);
    const keyBytes = <usize>keyStride * rowBytes;
    const keys = key + <usize>firstKey * rowBytes + offset;
    const values = value + <usize>firstKey * rowBytes + offset;
    for (let q = 0; q < queryCount * together; q += 4) {
      const row = rowOf(q, together, groups, group);
      const first = <usize>row * rowBytes + offset;
      row1 = tileRow(q + 1, q, queryCount, together, groups, group, row, rowBytes);
      row2 = tileRow(q + 2, q, queryCount, together, groups, group, row, rowBytes);
      row3 = tileRow(q + 3, q, queryCount, together, groups, group, row, rowBytes);
      seen0 = seenBy(q, q, queryCount, together, causal);
      seen1 = seenBy(q + 1, q, queryCount, together, causal);
      seen2 = seenBy(q + 2, q, queryCount, together, causal);
      seen3 = seenBy(q + 3, q, queryCount, together, causal);
      attendTile(out + first, query + first, keys, values, keyBytes, headDim, headCount, queryCount * together - q);
    }
    group += together;
  }
}

/** Row of the q-th query of a run of groups: all its groups at position 0, at position 1, …. */
@inline
function rowOf(q: i32, together: i32, groups: i32, group: i32): i32 {
  return (q / together) * groups + group + (q % together);
}

/** Bytes from the row of the tile's first query to that of query q; 0 when there is none. */
@inline
function tileRow(q: i32, first: i32, queryCount: i32, together: i32, groups: i32, group: i32, row: i32, rowBytes: usize): usize {
  return q < queryCount * together ? <usize>(rowOf(q, together, groups, group) - row) * rowBytes : 0;
}

/** Keys that query q may see; those of the tile's first query when there is none. */
@inline
function seenBy(q: i32, first: i32, queryCount: i32, together: i32, causal: i32): i32 {
  const position = (q < queryCount * together ? q : first) / together;
  return causal ? max(0, count - queryCount + position + 1) : count;
}

/** The probabilities of one head of one group: out (H * queryCount, outFeatures), row head * queryCount + i. */
export function fullProbabilities(
  out: usize,
  outFeatures: i32,
  query: usize,
  key: usize,
  hiddenSize: i32,
  headDim: i32,
  head: i32,
  groups: i32,
  group: i32,
  queryCount: i32,
  keyCount: i32,
  causal: i32,
  groupDocuments: usize,
  documents: usize,
  roles: usize,
): void {
  locate(group, groups, keyCount, groupDocuments, documents, roles);
  makeRoom(headDim, 1);
  const rowBytes = (<usize>hiddenSize) << 2;
  const offset = (<usize>head * headDim) << 2;
  const keys = key + <usize>firstKey * rowBytes + offset;
  const padded = roundUp8(count);
  row1 = row2 = row3 = 0;
  for (let i = 0; i < queryCount; i++) {
    seen0 = seen1 = seen2 = seen3 = causal ? max(0, count - queryCount + i + 1) : count;
    scoreTile(query + <usize>(i * groups + group) * rowBytes + offset, keys, <usize>keyStride * rowBytes, headDim, work, padded, 0, count);
    const sum = exponentials(work, padded, seen0);
    const to = out + ((<usize>((head * queryCount + i) * outFeatures)) << 2);
    for (let j = 0; j < count; j++) {
      const at = (<usize>j) << 2;
      store<f32>(to + at, sum > 0 ? load<f32>(work + at) / sum : 0);
    }
  }
}

/** The queries of the tile over their keys, all heads; the first `height` results are written, at most 4. */
function attendTile(
  out: usize,
  query: usize,
  keys: usize,
  values: usize,
  keyBytes: usize,
  headDim: i32,
  headCount: i32,
  height: i32,
): void {
  for (let head = 0; head < headCount; head += headsTogether) {
    const at = (<usize>(head * headDim)) << 2;
    attendHeads(out + at, query + at, keys + at, values + at, keyBytes, headDim, min(headsTogether, headCount - head), height);
  }
}

/**
 * Some heads side by side. A head alone would read a piece of every row and come back for the next piece when all rows have left the
 * caches; so keys are taken in blocks, and within a block head after head. The sums of a head are the same in any order of heads.
 */
function attendHeads(
  out: usize,
  query: usize,
  keys: usize,
  values: usize,
  keyBytes: usize,
  headDim: i32,
  heads: i32,
  height: i32,
): void {
  const padded = roundUp8(count);
  const rowBytes = (<usize>padded) << 2;
  const resultBytes = (<usize>roundUp8(headDim)) << 2;
  const tileBytes: usize = 4 * rowBytes;
  const results = work + <usize>heads * tileBytes;
  const headBytes = (<usize>headDim) << 2;
  for (let j = 0; j < count; j += KEY_BLOCK) {
    const end = min(j + KEY_BLOCK, count);
    for (let h = 0; h < heads; h++) {
      const at = <usize>h * headBytes;
      const tile = work + <usize>h * tileBytes;
      if (height === 1) scoreRow(query + at, keys + at, keyBytes, headDim, tile, j, end, mask);
      else scoreTile(query + at, keys + at, keyBytes, headDim, tile, padded, j, end);
    }
  }
  for (let h = 0; h < heads; h++) {
    const tile = work + <usize>h * tileBytes;
    const sum = sums + ((<usize>h) << 4);
    store<f32>(sum, exponentials(tile, padded, seen0));
    if (height === 1) continue;
    store<f32>(sum, exponentials(tile + rowBytes, padded, seen1), 4);
    store<f32>(sum, exponentials(tile + 2 * rowBytes, padded, seen2), 8);
    store<f32>(sum, exponentials(tile + 3 * rowBytes, padded, seen3), 12);
  }
  memory.fill(results, 0, <usize>(4 * heads) * resultBytes);
  for (let j = 0; j < count; j += KEY_BLOCK) {
    const keysHere = min(KEY_BLOCK, count - j);
    const from = values + <usize>j * keyBytes;
    for (let h = 0; h < heads; h++) {
      const tile = work + <usize>h * tileBytes + ((<usize>j) << 2);
      const to = results + <usize>(4 * h) * resultBytes;
      if (height === 1) sumValuesOfRow(to, tile, from + <usize>h * headBytes, keyBytes, keysHere, headDim);
      else sumValues(to, resultBytes, tile, rowBytes, from + <usize>h * headBytes, keyBytes, keysHere, headDim);
    }
  }
  for (let h = 0; h < heads; h++) {
    const to = out + <usize>h * headBytes;
    const from = results + <usize>(4 * h) * resultBytes;
    const sum = sums + ((<usize>h) << 4);
    writeResult(to, from, headDim, load<f32>(sum));
    if (height > 1) writeResult(to + row1, from + resultBytes, headDim, load<f32>(sum, 4));
    if (height > 2) writeResult(to + row2, from + 2 * resultBytes, headDim, load<f32>(sum, 8));
    if (height > 3) writeResult(to + row3, from + 3 * resultBytes, headDim, load<f32>(sum, 12));
  }
}

/** Scores of 4 queries and keys first..end, into tile (4, padded), two keys at a time; what lies behind the keys is left as it is. first: even. */
function scoreTile(
  query: usize,
  keys: usize,
  keyBytes: usize,
  headDim: i32,
  tile: usize,
  padded: i32,
  first: i32,
  end: i32,
): void {
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>headDim);
  const rowBytes = (<usize>padded) << 2;
  const a = query;
  const b = query + row1;
  const c = query + row2;
  const d = query + row3;
  const whole = (<usize>(headDim & ~3)) << 2;
  const length = (<usize>headDim) << 2;
  for (let j = first; j < end; j += 2) {
    const x = keys + <usize>j * keyBytes;
    const y = j + 1 < count ? x + keyBytes : x;
    let ax = f32x4.splat(0);
    let ay = ax;
    let bx = ax;
    let by = ax;
    let cx = ax;
    let cy = ax;
    let dx = ax;
    let dy = ax;
    let f: usize = 0;
    for (; f < whole; f += 16) {
      const vx = v128.load(x + f);
      const vy = v128.load(y + f);
      let q = v128.load(a + f);
      ax = madd(q, vx, ax);
      ay = madd(q, vy, ay);
      q = v128.load(b + f);
      bx = madd(q, vx, bx);
      by = madd(q, vy, by);
      q = v128.load(c + f);
      cx = madd(q, vx, cx);
      cy = madd(q, vy, cy);
      q = v128.load(d + f);
      dx = madd(q, vx, dx);
      dy = madd(q, vy, dy);
    }
    let sx = sumsOfLanes(ax, bx, cx, dx);
    let sy = sumsOfLanes(ay, by, cy, dy);
    for (; f < length; f += 4) {
      const q = f32x4(load<f32>(a + f), load<f32>(b + f), load<f32>(c + f), load<f32>(d + f));
      sx = f32x4.add(sx, f32x4.mul(q, v128.load32_splat(x + f)));
      sy = f32x4.add(sy, f32x4.mul(q, v128.load32_splat(y + f)));
    }
    const scales = f32x4.splat(scale);
    sx = f32x4.mul(sx, scales);
    sy = f32x4.mul(sy, scales);
    if (mask) {
      const nothing = f32x4.splat(-Infinity);
      if (load<u8>(mask + <usize>j) === 0) sx = nothing;
      if (j + 1 < count && load<u8>(mask + <usize>j, 1) === 0) sy = nothing;
    }
    // Two neighbours of each row; behind an odd last key its copy is written, and hidden by `exponentials`.
    const to = tile + ((<usize>j) << 2);
    const low = v128.shuffle<f32>(sx, sy, 0, 4, 1, 5); // a, b
    const high = v128.shuffle<f32>(sx, sy, 2, 6, 3, 7); // c, d
    v128.store64_lane(to, low, 0);
    v128.store64_lane(to + rowBytes, low, 1);
    v128.store64_lane(to + 2 * rowBytes, high, 0);
    v128.store64_lane(to + 3 * rowBytes, high, 1);
  }
}

/** A row of scores becomes e^(score - largest), 0 from `seen` on; returns their sum, 0 when no key is visible. */
function exponentials(row: usize, padded: i32, seen: i32): f32 {
  for (let j = seen; j < padded; j++) store<f32>(row + ((<usize>j) << 2), -Infinity);
  const largest = maxOfLanes(largestOf(row, 0, padded, f32x4.splat(-Infinity)));
  if (largest !== -Infinity) return sumOfLanes(exponentiate(row, 0, padded, f32x4.splat(largest)));
  memory.fill(row, 0, (<usize>padded) << 2);
  return 0;
}

/** results (4, headDim) += exponentials (4, keyCount) times values (keyCount, headDim), 8 columns at a time. */
function sumValues(
  results: usize,
  resultBytes: usize,
  exponentials: usize,
  rowBytes: usize,
  values: usize,
  keyBytes: usize,
  keyCount: i32,
  headDim: i32,
): void {
  const whole = (<usize>(headDim & ~7)) << 2;
  const length = (<usize>headDim) << 2;
  const end = exponentials + ((<usize>keyCount) << 2);
  let f: usize = 0;
  for (; f < whole; f += 32) {
    const a = results + f;
    const b = a + resultBytes;
    const c = b + resultBytes;
    const d = c + resultBytes;
    let a0 = v128.load(a);
    let a1 = v128.load(a, 16);
    let b0 = v128.load(b);
    let b1 = v128.load(b, 16);
    let c0 = v128.load(c);
    let c1 = v128.load(c, 16);
    let d0 = v128.load(d);
    let d1 = v128.load(d, 16);
    let value = values + f;
    for (let at = exponentials; at < end; at += 4, value += keyBytes) {
      const v0 = v128.load(value);
      const v1 = v128.load(value, 16);
      let e = v128.load32_splat(at);
      a0 = madd(e, v0, a0);
      a1 = madd(e, v1, a1);
      e = v128.load32_splat(at + rowBytes);
      b0 = madd(e, v0, b0);
      b1 = madd(e, v1, b1);
      e = v128.load32_splat(at + 2 * rowBytes);
      c0 = madd(e, v0, c0);
      c1 = madd(e, v1, c1);
      e = v128.load32_splat(at + 3 * rowBytes);
      d0 = madd(e, v0, d0);
      d1 = madd(e, v1, d1);
    }
    v128.store(a, a0);
    v128.store(a, a1, 16);
    v128.store(b, b0);
    v128.store(b, b1, 16);
    v128.store(c, c0);
    v128.store(c, c1, 16);
    v128.store(d, d0);
    v128.store(d, d1, 16);
  }
  for (; f < length; f += 4) {
    for (let row = 0; row < 4; row++) {
      const to = results + <usize>row * resultBytes + f;
      let sum = load<f32>(to);
      let value = values + f;
      const from = <usize>row * rowBytes;
      for (let at = exponentials; at < end; at += 4, value += keyBytes) sum += load<f32>(at + from) * load<f32>(value);
      store<f32>(to, sum);
    }
  }
}

/** out[d] = result[d] / sum; 0 when no key was visible. */
function writeResult(out: usize, result: usize, headDim: i32, sum: f32): void {
  const factor: f32 = sum > 0 ? <f32>1 / sum : 0;
  const factors = f32x4.splat(factor);
  let d = 0;
  for (; d + 4 <= headDim; d += 4, out += 16, result += 16) v128.store(out, f32x4.mul(v128.load(result), factors));
  for (; d < headDim; d++, out += 4, result += 4) store<f32>(out, load<f32>(result) * factor);
}
