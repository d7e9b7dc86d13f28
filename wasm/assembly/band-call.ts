/**
 * What the parts of local attention need to know about the call, the document and the residue. One instance serves one thread, so plain globals do.
 *
 * Read next: sliding-window-attention.ts.
 */
import { roundUp8 } from './layout';

export let out: usize = 0;
export let outBytes: usize = 0;
export let query: usize = 0;
export let key: usize = 0;
export let value: usize = 0;
/** Bytes of a row of query, key and value, and where the head begins in it. */
export let rowBytes: usize = 0;
export let headOffset: usize = 0;
export let headDim: i32 = 0;
export let oneSidedWindow: i32 = 0;
export let dilation: i32 = 1;
export let causal: bool = false;
/** The probabilities are wanted, not the result. */
export let probabilities: bool = false;
export let roles: usize = 0;
/** The document: first row, rows. */
export let start: i32 = 0;
export let length: i32 = 0;
/** Global keys of the document: their rows, how many, rounded up to 8. */
export let globals: usize = 0;
export let globalCount: i32 = 0;
export let globalColumns: i32 = 0;
/** The residue being done, and how many keys it has. */
export let residue: i32 = 0;
export let keyCount: i32 = 0;

@inline
export function token(m: i32): i32 {
  return start + residue + m * dilation;
}

/** Role of a row: 0 padding, 1 local, 2 global. */
@inline
export function role(row: i32): i32 {
  return <i32>load<u8>(roles + <usize>row);
}

/** Called first. out_: (rows, outFeatures); value_: 0 when the probabilities are wanted, not the result. */
export function setCall(
  out_: usize,
  outFeatures: i32,
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
): void {
  out = out_;
  outBytes = (<usize>outFeatures) << 2;
  query = query_;
  key = key_;
  value = value_;
  probabilities = value_ === 0;
  rowBytes = (<usize>hiddenSize) << 2;
  headDim = headDim_;
  headOffset = (<usize>(head_ * headDim_)) << 2;
  oneSidedWindow = oneSidedWindow_;
  dilation = dilation_;
  causal = causal_ !== 0;
  roles = roles_;
}

/** Called for each document. */
export function setDocument(document: i32, documents: usize, globalRows: usize, globalStarts: usize): void {
  const at = (<usize>document) << 2;
  start = load<i32>(documents + at);
  length = load<i32>(documents + at, 4) - start;
  const firstGlobal = load<i32>(globalStarts + at);
  globals = globalRows + ((<usize>firstGlobal) << 2);
  globalCount = load<i32>(globalStarts + at, 4) - firstGlobal;
  globalColumns = roundUp8(globalCount);
}

/** Called for each residue of the document. */
export function setResidue(residue_: i32): void {
  residue = residue_;
  keyCount = (length - residue_ + dilation - 1) / dilation;
}
