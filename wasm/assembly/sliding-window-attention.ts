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
  causal,
  dilation,
  headDim,
  headOffset,
  keyCount,
  length,
  oneSidedWindow,
  out,
  outBytes,
  probabilities,
  residue,
  role,
  setCall,
  setDocument,
  setResidue,
  start,
  token,
} from './band-call';
import { packBand, packedFrom, packedTo, packGlobals, setPacked } from './band-panels';
import { attendTile, entry } from './band-tile';
import { HEAD, MR, max, min, queryList } from './layout';

/** Queries of a tile are at most this far apart, or the union of their bands would cost more than a tile for each. */
const SPAN: i32 = 32;

/**
 * One head. out, query: (rows, H * D) or, with `rows` (ascending int32), (rowCount, H * D); key, value: (T, H * D).
 *
 * documents: first rows and the end, documentCount + 1 of them; roles: (T) bytes; globalRows: (G) int32; globalStarts: first global token of
 * each document and the end. Only documents first .. first + count are done.
 */
export function slidingWindowAttention(
  out: usize,
  query: usize,
  key: usize,
  value: usize,
  hiddenSize: i32,
  head: i32,
  headDim: i32,
  oneSidedWindow: i32,
  dilation: i32,
  causal: i32,
  roles: usize,
  documents: usize,
  firstDocument: i32,
  documentCount: i32,
  globalRows: usize,
  globalStarts: usize,
  rows: usize,
  rowCount: i32,
): void {
  setCall(out, hiddenSize, query, key, value, hiddenSize, head, headDim, oneSidedWindow, dilation, causal, roles);
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

/** One head of one document. out: row of the head's first query; (T', outFeatures), columns as HF has them. */
export function slidingWindowProbabilities(
  out: usize,
  outFeatures: i32,
  query: usize,
  key: usize,
  hiddenSize: i32,
  head: i32,
  headDim: i32,
  oneSidedWindow: i32,
  dilation: i32,
  causal: i32,
  roles: usize,
  documents: usize,
  document: i32,
  globalRows: usize,
  globalStarts: usize,
): void {
  setCall(out, outFeatures, query, key, 0, hiddenSize, head, headDim, oneSidedWindow, dilation, causal, roles);
  setDocument(document, documents, globalRows, globalStarts);
  memory.fill(out, 0, <usize>length * outBytes);
  attendDocument(0, 0, 0);
}

/** rows: all of the document when 0, or rows[firstRow .. endRow]. */
function attendDocument(rows: usize, firstRow: i32, endRow: i32): void {
  if (headDim <= HEAD) packGlobals(0, headDim);
  const residues = min(dilation, length);
  for (let r = 0; r < residues; r++) {
    setResidue(r);
    const queries = listQueries(rows, firstRow, endRow);
    if (queries === 0) continue;
    setPacked(
      max(0, entry(0, 0) - oneSidedWindow) & ~7,
      min(keyCount, entry(queries - 1, 0) + (causal ? 0 : oneSidedWindow) + 1),
    );
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
