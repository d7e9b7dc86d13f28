/**
 * What the two ways of global attention need to know about the call and the document. One instance serves one thread, so plain globals do.
 *
 * Read next: global-attention.ts.
 */
import { hiddenKeys, scores, sums } from './layout';
import { scaleRow, softmaxRow } from './softmax';

export let out: usize = 0;
export let outBytes: usize = 0;
/** Row of `out` for each global token, or 0 when probabilities are wanted. */
export let outRows: usize = 0;
export let query: usize = 0;
export let hiddenStates: usize = 0;
export let hiddenSize: i32 = 0;
export let rowBytes: usize = 0;
export let keyProjection: usize = 0;
export let valueProjection: usize = 0;
export let heads: i32 = 0;
export let headDim: i32 = 0;
export let causal: bool = false;
export let roles: usize = 0;
/** The document: first row, rows, first global token, global tokens. */
export let start: i32 = 0;
export let length: i32 = 0;
export let firstSlot: i32 = 0;
export let slots: i32 = 0;
export let globals: usize = 0;
export let someHidden: bool = false;

/** Called first. outRows_: row of `out` for each global token, or 0 when the probabilities are wanted. */
export function setCall(
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
  globalRows: usize,
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
}

/** Called for each document. */
export function setDocument(document: i32, documents: usize, globalStarts: usize): void {
  const at = (<usize>document) << 2;
  start = load<i32>(documents + at);
  length = load<i32>(documents + at, 4) - start;
  firstSlot = load<i32>(globalStarts + at);
  slots = load<i32>(globalStarts + at, 4) - firstSlot;
  if (slots > 0) listHidden();
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
export function isHidden(j: i32): bool {
  return j >= length || load<i32>(hiddenKeys + ((<usize>j) << 2)) !== 0;
}

/** Softmax of row r of the scores, which belongs to `slot`; columns = T' rounded up to 8. */
export function softmaxOf(r: i32, slot: i32, columns: i32): void {
  const highest = causal ? load<i32>(globals + ((<usize>(firstSlot + slot)) << 2)) - start : length - 1;
  const row = scores + ((<usize>r * <usize>columns) << 2);
  const sum = softmaxRow(row, 0, 0, 0, highest, columns, someHidden ? hiddenKeys : 0);
  store<f32>(sums + ((<usize>r) << 2), sum);
}

/** Row r of the scores, divided by its sum, to its row of the probabilities. */
export function storeProbabilities(r: i32, slot: i32, head: i32, columns: i32): void {
  scaleRow(
    out + <usize>(head * slots + slot) * outBytes,
    scores + ((<usize>r * <usize>columns) << 2),
    length,
    <f32>1.0 / load<f32>(sums + ((<usize>r) << 2)),
  );
}
