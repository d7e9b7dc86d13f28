/**
 * Sizes every kernel agrees on, and the scratch region.
 *
 * Nothing here allocates: the TypeScript around this module reserves one scratch region, as large as `scratchBytes` says, whenever
 * it loads something. All pointers are `usize`, all elements float32 (4 bytes), all regions 16-byte aligned.
 */

import { CONSTANT_BYTES, fillConstants } from './math';

/** Rows of a tile: 12 (10) accumulators + 2 vectors of B + 1 of A = the registers an engine can allocate. */
export const MR: i32 = ASC_FEATURE_RELAXED_SIMD ? 6 : 5;
/** Columns of a tile and of a panel: two vectors. */
export const NR: i32 = 8;
/** Steps of the inner dimension summed in registers before they are added to memory. Bounds the rounding error too. */
export const KC: i32 = 384;
/** Steps of the inner dimension packed at a time: between its blocks of KC the sums wait in the first-level cache. */
export const PACKED: i32 = 2 * KC;
/** Rows packed at a time: MC * PACKED * 4 bytes stay in the second-level cache. A multiple of 8. */
export const MC: i32 = MR * 32;
/** Features of a head that are packed at a time; a larger head is done in pieces. */
export const HEAD: i32 = 128;
/** Keys summed in registers before they are added to memory; blocks begin at multiples of it, counted in the document. */
export const KEYS: i32 = 512;
/** Rows (slot, head) of global attention done together: 8 tiles. */
export const GROUP: i32 = MR * 8;

/** Bytes of one panel of packed weights: 8 biases, then (K, 8). */
@inline
export function panelBytes(inFeatures: i32): usize {
  return ((<usize>inFeatures) + 1) << 5;
}

@inline
export function min(a: i32, b: i32): i32 {
  return a < b ? a : b;
}

@inline
export function max(a: i32, b: i32): i32 {
  return a > b ? a : b;
}

@inline
export function roundUp8(n: i32): i32 {
  return (n + 7) & ~7;
}

// The regions of the scratch, in order. T tokens and G global ones of all packed documents, C features.

/** KC zeros: the row that is not there, and the bias that is not there. */
export let zeroRow: usize = 0;
/** Constants of math.ts. */
let mathConstants: usize = 0;
/** (MR, 8): a tile that does not fit into its output. */
export let edgeTile: usize = 0;
/** (MC / MR) tiles of (PACKED, MR): packed A. */
export let packedRows: usize = 0;
/** (MC, HEAD + 16): keys or values of one head before they are packed. */
export let projected: usize = 0;
/** (GROUP, G + T + 32) scores, then probabilities. */
export let scores: usize = 0;
/** (G + T + 32, MR): one tile of probabilities, packed. */
export let packedScores: usize = 0;
/** (MR, HEAD + 8): result of one tile of queries. */
export let attendedTile: usize = 0;
/** (G + T + 32, HEAD): panels of 8 keys, each (headDim, 8). Global keys stand behind the others. */
export let keyPanels: usize = 0;
/** (HEAD / 8) panels of (G + T + 32, 8). */
export let valuePanels: usize = 0;
/** (T, 2) int32: position in the band and row of the query. */
export let queryList: usize = 0;
/** (T + 32) int32: -1 where the key must not be seen. */
export let hiddenKeys: usize = 0;
/** (GROUP, C + 8): Wkᵀ q, one row for each (slot, head); later Σ p x. */
export let foldedRows: usize = 0;
/** (GROUP, C + 8): the same, packed. */
export let packedFolded: usize = 0;
/** (MR) sums of exponentials; f32. GROUP of them. */
export let sums: usize = 0;
/** (C, 4): partial sums of one folded row. */
export let partials: usize = 0;

/** Lays the regions out from `base`, fills the zeros, returns the end. */
function layOut(base: usize, tokens: i32, globals: i32, features: i32): usize {
  const keys: usize = (<usize>tokens) + (<usize>globals) + 32;
  const c: usize = ((<usize>features) + 15) & ~7;
  let at = base;
  zeroRow = at;
  at += <usize>KC << 2;
  mathConstants = at;
  at += CONSTANT_BYTES;
  edgeTile = at;
  at += <usize>(MR * NR) << 2;
  packedRows = at;
  at += <usize>(MC * PACKED) << 2;
  projected = at;
  at += <usize>(MC * (HEAD + 16)) << 2;
  sums = at;
  at += <usize>GROUP << 2;
  attendedTile = at;
  at += <usize>(MR * (HEAD + 8)) << 2;
  scores = at;
  at += (<usize>GROUP * keys) << 2;
  packedScores = at;
  at += (<usize>MR * keys) << 2;
  keyPanels = at;
  at += (keys * HEAD) << 2;
  valuePanels = at;
  at += (keys * HEAD) << 2;
  queryList = at;
  at += keys << 3;
  hiddenKeys = at;
  at += keys << 2;
  foldedRows = at;
  at += (<usize>GROUP * c) << 2;
  packedFolded = at;
  at += (<usize>GROUP * c) << 2;
  partials = at;
  at += c << 4;
  return at + 16;
}

/** Floats from `scores` on that are free while no other kernel runs, when documents of `tokens` are loaded: up to the queries' list. */
@inline
export function scoreRoom(tokens: i32): i32 {
  return (GROUP + MR + 2 * HEAD) * (tokens + 32);
}

/** Scratch needed for T tokens with G global ones and C features; f64, because 4 GB do not fit into an i32. */
export function scratchBytes(tokens: i32, globals: i32, features: i32): f64 {
  const keys = <f64>tokens + <f64>globals + 32;
  // The sizes above once more, in a number format that cannot overflow.
  const perKey = 4.0 * <f64>(GROUP + MR + 2 * HEAD + 3);
  const perFeature = 4.0 * <f64>(2 * GROUP + 4);
  const fixed = 4.0 * <f64>(KC + MR * NR + MC * PACKED + MC * (HEAD + 16) + GROUP + MR * (HEAD + 8)) + <f64>CONSTANT_BYTES + 64;
  return fixed + keys * perKey + (<f64>features + 16) * perFeature;
}

/** Tells the kernels where their scratch is. Called whenever it moves or grows. */
export function setScratch(base: usize, tokens: i32, globals: i32, features: i32): void {
  layOut(base, tokens, globals, features);
  memory.fill(zeroRow, 0, <usize>KC << 2);
  fillConstants(mathConstants);
}
