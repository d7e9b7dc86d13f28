/**
 * One tile of queries: scores, softmax, and the product with the values.
 *
 * Read before: band-panels.ts.
 */
import {
  causal,
  dilation,
  globalColumns,
  globalCount,
  globals,
  headDim,
  headOffset,
  keyCount,
  oneSidedWindow,
  out,
  outBytes,
  probabilities,
  query,
  residue,
  rowBytes,
  token,
} from './band-call';
import { packBand, packedFrom, packedTo, packGlobals, someHidden } from './band-panels';
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
import { packRows } from './pack';
import { scaleRow, softmaxRow } from './softmax';

/** Of the index-th query in the list: 0, its number among the keys of the residue; 1, its row in `query` and `out`. */
@inline
export function entry(index: i32, field: usize): i32 {
  return load<i32>(queryList + ((<usize>index) << 3) + (field << 2));
}

/** The query of a tile's row; rows that are not there repeat the first and come to nothing. */
@inline
function queryRow(tileFirst: i32, count: i32, r: i32, first: i32): usize {
  const place = entry(r < count ? tileFirst + r : tileFirst, 1);
  return query + <usize>place * rowBytes + headOffset + ((<usize>first) << 2);
}

/** Queries first .. first + count of the list, count ≤ MR. */
export function attendTile(first: i32, count: i32): void {
  const lowest = max(0, entry(first, 0) - oneSidedWindow) & ~7;
  const highest = min(keyCount - 1, entry(first + count - 1, 0) + (causal ? 0 : oneSidedWindow));
  const width = (highest | 7) + 1 - lowest;
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
  const hidden = someHidden ? hiddenKeys + ((<usize>(lowest - packedFrom)) << 2) : 0;
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
