/**
 * Local attention: one softmax over the band of each query and the global keys of its document.
 *
 * A dilated band is an undilated one over every d-th token, so a document is done residue by residue (i mod d): "keys" below
 * are those of one residue, numbered m = 0, 1, … For each head:
 *
 *     pack the keys as panels of 8 and the values as panels of 8 features, once;
 *     for each tile of MR queries:   scores  = tile x keys of its band        (MR, G' + 2 w + MR)
 *                                    softmax, row by row
 *                                    result  = scores x values of its band    (MR, D)
 *
 * So no more scores exist than those of one tile, and all of them stay in the first-level cache. The waste is the MR - 1 keys by which
 * the bands of a tile differ, and the rounding of the band to panels.
 */
import {
  attendedTile,
  HEAD,
  hiddenKeys,
  KEYS,
  keyPanels,
  MR,
  max,
  min,
  packedRows,
  packedScores,
  queryList,
  roundUp8,
  scores,
  sums,
  valuePanels,
  zeroRow,
} from './layout';
import { tile } from './linear-f32';
import { packColumns4, packRows, packValueRow } from './pack';
import { scaleRow, softmaxRow } from './softmax';

/** Queries of a tile are at most this far apart, or the union of their bands would cost more than a tile for each. */
const SPAN: i32 = 32;

// What the parts below need to know about the call. One instance serves one thread, so plain globals do.
let out: usize = 0;
let outBytes: usize = 0;
let query: usize = 0;
let key: usize = 0;
let value: usize = 0;
/** Bytes of a row of query, key and value, and where the head begins in it. */
let rowBytes: usize = 0;
let headOffset: usize = 0;
let headDim: i32 = 0;
let head: i32 = 0;
let oneSidedWindow: i32 = 0;
let dilation: i32 = 1;
let causal: bool = false;
/** The probabilities are wanted, not the result. */
let probabilities: bool = false;
let roles: usize = 0;
/** The document: first row, rows. */
let start: i32 = 0;
let length: i32 = 0;
/** Global keys of the document: their rows, how many, rounded up to 8. */
let globals: usize = 0;
let globalCount: i32 = 0;
let globalColumns: i32 = 0;
/** The residue being done, how many keys it has, which of them are packed, whether some are hidden. */
let residue: i32 = 0;
let keyCount: i32 = 0;
let packedFrom: i32 = 0;
let packedTo: i32 = 0;
let someHidden: bool = false;

@inline
function token(m: i32): i32 {
  return start + residue + m * dilation;
}

/** Role of a row: 0 padding, 1 local, 2 global. */
@inline
function role(row: i32): i32 {
  return <i32>load<u8>(roles + <usize>row);
}

@inline
function entry(index: i32, field: usize): i32 {
  return load<i32>(queryList + ((<usize>index) << 3) + (field << 2));
}

/**
 * One head. out, query: (rows, H * D) or, with `rows` (ascending int32), (rowCount, H * D); key, value: (T, H * D).
 *
 * documents: first rows and the end, documentCount + 1 of them; roles: (T) bytes; globalRows: (G) int32; globalStarts: first global token of
 * each document and the end. Only documents first .. first + count are done.
 */
export function slidingWindowAttention(
  out_: usize,
  query_: usize,
  key_: usize,
  value_: usize,
  hiddenSize: i32,
  head_: i32,
  headDim_: i32,
  oneSidedWindow_: i32,
  dilation_: i32,
  causal_: i32,
  roles_: usize,
  documents: usize,
  firstDocument: i32,
  documentCount: i32,
  globalRows: usize,
  globalStarts: usize,
  rows: usize,
  rowCount: i32,
): void {
  out = out_;
  outBytes = (<usize>hiddenSize) << 2;
  value = value_;
  probabilities = false;
  setCall(query_, key_, hiddenSize, head_, headDim_, oneSidedWindow_, dilation_, causal_, roles_);

  let nextRow = 0;
  for (let document = firstDocument; document < firstDocument + documentCount; document++) {
    setDocument(document, documents, globalRows, globalStarts);
    let firstRow = 0;
    if (rows) {
      while (nextRow < rowCount && load<i32>(rows + ((<usize>nextRow) << 2)) < start) nextRow++;
      firstRow = nextRow;
      while (nextRow < rowCount && load<i32>(rows + ((<usize>nextRow) << 2)) < start + length) nextRow++;
      if (firstRow === nextRow) continue;
    }
    attendDocument(rows, firstRow, nextRow);
  }
}

/** One head of one document. out_: row of the head's first query; (T', outFeatures), columns as HF has them. */
export function slidingWindowProbabilities(
  out_: usize,
  outFeatures: i32,
  query_: usize,
  key_: usize,
  hiddenSize: i32,
  head_: i32,
  headDim_: i32,
  oneSidedWindow_: i32,
  dilation_: i32,
  causal_: i32,
  roles_: usize,
  documents: usize,
  document: i32,
  globalRows: usize,
  globalStarts: usize,
): void {
  out = out_;
  outBytes = (<usize>outFeatures) << 2;
  value = 0;
  probabilities = true;
  setCall(query_, key_, hiddenSize, head_, headDim_, oneSidedWindow_, dilation_, causal_, roles_);
  setDocument(document, documents, globalRows, globalStarts);
  memory.fill(out, 0, <usize>length * outBytes);
  attendDocument(0, 0, 0);
}

function setCall(
  query_: usize,
  key_: usize,
  hiddenSize: i32,
  head_: i32,
  headDim_: i32,
  oneSidedWindow_: i32,
  dilation_: i32,
  causal_: i32,
  roles_: usize,
): void {
  query = query_;
  key = key_;
  rowBytes = (<usize>hiddenSize) << 2;
  head = head_;
  headDim = headDim_;
  headOffset = (<usize>(head_ * headDim_)) << 2;
  oneSidedWindow = oneSidedWindow_;
  dilation = dilation_;
  causal = causal_ !== 0;
  roles = roles_;
}

function setDocument(document: i32, documents: usize, globalRows: usize, globalStarts: usize): void {
  const at = (<usize>document) << 2;
  start = load<i32>(documents + at);
  length = load<i32>(documents + at, 4) - start;
  const firstGlobal = load<i32>(globalStarts + at);
  globals = globalRows + ((<usize>firstGlobal) << 2);
  globalCount = load<i32>(globalStarts + at, 4) - firstGlobal;
  globalColumns = roundUp8(globalCount);
}

/** rows: all of the document when 0, or rows[firstRow .. endRow]. */
function attendDocument(rows: usize, firstRow: i32, endRow: i32): void {
  if (headDim <= HEAD) packGlobals(0, headDim);
  const residues = min(dilation, length);
  for (residue = 0; residue < residues; residue++) {
    keyCount = (length - residue + dilation - 1) / dilation;
    const queries = listQueries(rows, firstRow, endRow);
    if (queries === 0) continue;
    packedFrom = max(0, entry(0, 0) - oneSidedWindow) & ~7;
    packedTo = min(keyCount, entry(queries - 1, 0) + (causal ? 0 : oneSidedWindow) + 1);
    listHidden();
    if (headDim <= HEAD) packBand(packedFrom, packedTo, 0, headDim);
    let first = 0;
    while (first < queries) {
      const reach = entry(first, 0) + SPAN;
      let count = 1;
      while (count < MR && first + count < queries && entry(first + count, 0) < reach) count++;
      attendTile(first, count);
      first += count;
    }
  }
}

/** Lists the local queries of the residue: (m, row of query and out). The other rows that were asked for become 0. */
function listQueries(rows: usize, firstRow: i32, endRow: i32): i32 {
  let queries = 0;
  const candidates = rows ? endRow - firstRow : keyCount;
  for (let i = 0; i < candidates; i++) {
    let m = i;
    let row = token(i);
    let place = row;
    if (rows) {
      place = firstRow + i;
      row = load<i32>(rows + ((<usize>place) << 2));
      const offset = row - start;
      if (offset % dilation !== residue) continue;
      m = offset / dilation;
    }
    if (role(row) !== 1) {
      if (!probabilities) memory.fill(out + <usize>place * outBytes + headOffset, 0, (<usize>headDim) << 2);
      continue;
    }
    const at = queryList + ((<usize>queries) << 3);
    store<i32>(at, m);
    store<i32>(at, place, 4);
    queries++;
  }
  return queries;
}

/** Marks the keys of the band that nobody sees there: padding, and global ones, which have columns of their own. */
function listHidden(): void {
  someHidden = false;
  for (let m = packedFrom; m < packedTo; m++) {
    const isHidden = role(token(m)) !== 1;
    if (isHidden) someHidden = true;
    store<i32>(hiddenKeys + ((<usize>(m - packedFrom)) << 2), isHidden ? -1 : 0);
  }
}

/** The row of key m, from feature `first` of the head on; zeros where there is nobody to be seen. */
@inline
function bandRow(base: usize, m: i32, to: i32, first: i32): usize {
  if (m >= to) return zeroRow;
  const row = token(m);
  return role(row) === 1 ? base + <usize>row * rowBytes + headOffset + ((<usize>first) << 2) : zeroRow;
}

@inline
function globalRow(base: usize, slot: i32, first: i32): usize {
  if (slot >= globalCount) return zeroRow;
  const row = load<i32>(globals + ((<usize>slot) << 2));
  return base + <usize>row * rowBytes + headOffset + ((<usize>first) << 2);
}

/** Keys from..to of the residue, `features` features of the head from `first` on; `from` a multiple of 8. */
function packBand(from: i32, to: i32, first: i32, features: i32): void {
  const perPanel = (<usize>features) << 5;
  let panel = keyPanels + <usize>(globalColumns >> 3) * perPanel;
  for (let m = from; m < to; m += 8) {
    packColumns4(
      panel,
      bandRow(key, m, to, first),
      bandRow(key, m + 1, to, first),
      bandRow(key, m + 2, to, first),
      bandRow(key, m + 3, to, first),
      features,
    );
    packColumns4(
      panel + 16,
      bandRow(key, m + 4, to, first),
      bandRow(key, m + 5, to, first),
      bandRow(key, m + 6, to, first),
      bandRow(key, m + 7, to, first),
      features,
    );
    panel += perPanel;
  }
  if (probabilities) return;
  const end = from + roundUp8(to - from);
  const stride = (<usize>(end - from)) << 5;
  let at = valuePanels + (<usize>(globalColumns * roundUp8(features)) << 2);
  for (let m = from; m < end; m++, at += 32) packValueRow(at, bandRow(value, m, to, first), features, stride);
}

/** The same for the global keys of the document; their panels stand before those of the band. */
function packGlobals(first: i32, features: i32): void {
  const perPanel = (<usize>features) << 5;
  let panel = keyPanels;
  for (let slot = 0; slot < globalColumns; slot += 4) {
    packColumns4(
      panel + ((slot & 4) << 2),
      globalRow(key, slot, first),
      globalRow(key, slot + 1, first),
      globalRow(key, slot + 2, first),
      globalRow(key, slot + 3, first),
      features,
    );
    if (slot & 4) panel += perPanel;
  }
  if (probabilities) return;
  const stride = (<usize>globalColumns) << 5;
  let at = valuePanels;
  for (let slot = 0; slot < globalColumns; slot++, at += 32) {
    packValueRow(at, globalRow(value, slot, first), features, stride);
  }
}

/** The query of a tile's row; rows that are not there repeat the first and come to nothing. */
@inline
function queryRow(tileFirst: i32, count: i32, r: i32, first: i32): usize {
  const place = entry(r < count ? tileFirst + r : tileFirst, 1);
  return query + <usize>place * rowBytes + headOffset + ((<usize>first) << 2);
}

/** Queries first .. first + count of the list, count ≤ MR. */
function attendTile(first: i32, count: i32): void {
  const lowest = max(0, entry(first, 0) - oneSidedWindow) & ~7;
  const highest = min(keyCount - 1, entry(first + count - 1, 0) + (causal ? 0 : oneSidedWindow));
  const width = (highest | 7) + 1 - lowest;
  const hiddenFrom = packedFrom;
  const inPieces = headDim > HEAD;

  for (let feature = 0; feature < headDim; feature += HEAD) {
    const features = min(HEAD, headDim - feature);
    if (inPieces) {
      packGlobals(feature, features);
      packBand(lowest, highest + 1, feature, features);
    }
    scoreTile(first, count, feature, features, lowest, width, inPieces ? lowest : packedFrom);
  }

  const columns = globalColumns + width;
  const stride = (<usize>columns) << 2;
  const hidden = someHidden ? hiddenKeys + ((<usize>(lowest - hiddenFrom)) << 2) : 0;
  for (let r = 0; r < count; r++) {
    const m = entry(first + r, 0);
    const sum = softmaxRow(
      scores + <usize>r * stride,
      globalsSeen(m),
      globalColumns,
      max(0, m - oneSidedWindow) - lowest,
      min(keyCount - 1, causal ? m : m + oneSidedWindow) - lowest,
      width,
      hidden,
    );
    store<f32>(sums + ((<usize>r) << 2), sum);
  }
  if (probabilities) {
    for (let r = 0; r < count; r++) storeProbabilities(entry(first + r, 0), r, lowest, stride);
    return;
  }

  packRows(
    packedScores,
    scores,
    scores + (count > 1 ? stride : 0),
    scores + (count > 2 ? stride * 2 : 0),
    scores + (count > 3 ? stride * 3 : 0),
    scores + (count > 4 ? stride * 4 : 0),
    scores + (count > 5 ? stride * 5 : 0),
    columns,
    1,
  );
  for (let feature = 0; feature < headDim; feature += HEAD) {
    const features = min(HEAD, headDim - feature);
    if (inPieces) {
      packGlobals(feature, features);
      packBand(lowest, highest + 1, feature, features);
      sumValues(features, lowest, width, lowest, highest + 1);
    } else {
      sumValues(features, lowest, width, packedFrom, packedTo);
    }
    for (let r = 0; r < count; r++) {
      const place = entry(first + r, 1);
      scaleRow(
        out + <usize>place * outBytes + headOffset + ((<usize>feature) << 2),
        attendedTile + <usize>r * (<usize>roundUp8(features) << 2),
        features,
        <f32>1.0 / load<f32>(sums + ((<usize>r) << 2)),
      );
    }
  }
}

/** How many of the document's global keys the query at m sees; they are ascending. */
function globalsSeen(m: i32): i32 {
  if (!causal) return globalCount;
  const row = token(m);
  let seen = 0;
  while (seen < globalCount && load<i32>(globals + ((<usize>seen) << 2)) <= row) seen++;
  return seen;
}

/** Scores of a tile: (MR, globalColumns + width). From the second piece of a head on they are added to. */
function scoreTile(
  first: i32,
  count: i32,
  feature: i32,
  features: i32,
  lowest: i32,
  width: i32,
  panelsFrom: i32,
): void {
  packRows(
    packedRows,
    queryRow(first, count, 0, feature),
    queryRow(first, count, 1, feature),
    queryRow(first, count, 2, feature),
    queryRow(first, count, 3, feature),
    queryRow(first, count, 4, feature),
    queryRow(first, count, 5, feature),
    features,
    <f32>(1.0 / sqrt<f64>(<f64>headDim)),
  );
  const stride = (<usize>(globalColumns + width)) << 2;
  const perPanel = (<usize>features) << 5;
  let c = scores;
  let b = keyPanels;
  for (let column = 0; column < globalColumns; column += 8, c += 32, b += perPanel) {
    if (feature === 0) tile(features, packedRows, b, c, stride, zeroRow, 0);
    else tile(features, packedRows, b, c, stride, c, stride);
  }
  b += <usize>((lowest - panelsFrom) >> 3) * perPanel;
  for (let column = 0; column < width; column += 8, c += 32, b += perPanel) {
    if (feature === 0) tile(features, packedRows, b, c, stride, zeroRow, 0);
    else tile(features, packedRows, b, c, stride, c, stride);
  }
}

/** attendedTile (MR, features rounded up to 8) = packed scores times the values of the global keys and of the band. */
function sumValues(features: i32, lowest: i32, width: i32, panelsFrom: i32, panelsTo: i32): void {
  const stride = <usize>roundUp8(features) << 2;
  const keys = roundUp8(panelsTo - panelsFrom);
  let globalPanel = valuePanels;
  let panel = valuePanels + <usize>globalColumns * stride;
  const a = packedScores + ((<usize>(globalColumns * MR)) << 2);
  for (let c = attendedTile, end = attendedTile + stride; c !== end; c += 32) {
    let init = zeroRow;
    let initStride: usize = 0;
    if (globalColumns > 0) {
      tile(globalColumns, packedScores, globalPanel, c, stride, zeroRow, 0);
      init = c;
      initStride = stride;
    }
    // Blocks end at multiples of KEYS, so the order of a sum does not depend on where the tile begins.
    for (let m = lowest; m < lowest + width; ) {
      const next = min((m / KEYS + 1) * KEYS, lowest + width);
      tile(
        next - m,
        a + ((<usize>((m - lowest) * MR)) << 2),
        panel + ((<usize>(m - panelsFrom)) << 5),
        c,
        stride,
        init,
        initStride,
      );
      init = c;
      initStride = stride;
      m = next;
    }
    globalPanel += (<usize>globalColumns) << 5;
    panel += (<usize>keys) << 5;
  }
}

/** Row r of the tile, divided by its sum, to the columns [globals | 2 w + 1 keys around the query]. */
function storeProbabilities(m: i32, r: i32, lowest: i32, stride: usize): void {
  const scale = <f32>1.0 / load<f32>(sums + ((<usize>r) << 2));
  const from = scores + <usize>r * stride;
  const to = out + <usize>(residue + m * dilation) * outBytes;
  scaleRow(to, from, globalsSeen(m), scale);
  const lowestKey = max(0, m - oneSidedWindow);
  const highestKey = min(keyCount - 1, causal ? m : m + oneSidedWindow);
  scaleRow(
    to + ((<usize>(globalCount + oneSidedWindow + lowestKey - m)) << 2),
    from + ((<usize>(globalColumns + lowestKey - lowest)) << 2),
    highestKey + 1 - lowestKey,
    scale,
  );
}
