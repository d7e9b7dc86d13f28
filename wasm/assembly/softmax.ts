/**
 * Softmax of one row of scores in scratch, left undivided: the row becomes e^(score - largest) and its sum is returned.
 *
 * The lane in which a key is summed depends on its place in the document alone, never on the tile its query happens to be in.
 */
import { constants, expBelow88, maxOfLanes, sumOfLanes } from './math';

/** -∞ in columns from..to of a row. */
function hide(row: usize, from: i32, to: i32): void {
  for (let column = from; column < to; column++) store<f32>(row + ((<usize>column) << 2), -Infinity);
}

/** 0 in columns from..to of a row; both multiples of 8. */
function clear(row: usize, from: i32, to: i32): void {
  const zero = f32x4.splat(0);
  for (let at = row + ((<usize>from) << 2), end = row + ((<usize>to) << 2); at < end; at += 16) v128.store(at, zero);
}

/** The larger of `largest` and columns from..to, lane by lane; multiples of 8. */
@inline
export function largestOf(row: usize, from: i32, to: i32, largest: v128): v128 {
  let even = largest;
  let odd = largest;
  for (let at = row + ((<usize>from) << 2), end = row + ((<usize>to) << 2); at < end; at += 32) {
    even = f32x4.pmax(even, v128.load(at));
    odd = f32x4.pmax(odd, v128.load(at, 16));
  }
  return f32x4.pmax(even, odd);
}

/** Columns from..to become e^(score - largest); returns their sums lane by lane; multiples of 8. */
@inline
export function exponentiate(row: usize, from: i32, to: i32, largest: v128): v128 {
  const k = constants;
  let even = f32x4.splat(0);
  let odd = f32x4.splat(0);
  for (let at = row + ((<usize>from) << 2), end = row + ((<usize>to) << 2); at < end; at += 32) {
    const a = expBelow88(f32x4.sub(v128.load(at), largest), k);
    const b = expBelow88(f32x4.sub(v128.load(at, 16), largest), k);
    v128.store(at, a);
    v128.store(at, b, 16);
    even = f32x4.add(even, a);
    odd = f32x4.add(odd, b);
  }
  return f32x4.add(even, odd);
}

/**
 * row: [globals columns, a multiple of 8 | width columns, a multiple of 8]. Seen are the first `seen` of the globals and lowest..highest
 * of the others; hidden: -1 for keys that are hidden besides, one int32 for each of the others, or 0 when there are none.
 * Column 0 of the others stands at a multiple of 8 of its document. Everything that is not seen becomes 0.
 */
export function softmaxRow(
  row: usize,
  seen: i32,
  globals: i32,
  lowest: i32,
  highest: i32,
  width: i32,
  hidden: usize,
): f32 {
  const band = row + ((<usize>globals) << 2);
  const from = lowest & ~7;
  const to = (highest | 7) + 1;
  hide(row, seen, globals);
  hide(band, from, lowest);
  hide(band, highest + 1, to);
  clear(band, 0, from);
  clear(band, to, width);
  if (hidden) {
    const nothing = f32x4.splat(-Infinity);
    for (let at = (<usize>from) << 2, end = (<usize>to) << 2; at < end; at += 16) {
      v128.store(band + at, v128.bitselect(nothing, v128.load(band + at), v128.load(hidden + at)));
    }
  }

  let largest = f32x4.splat(-Infinity);
  largest = largestOf(row, 0, globals, largest);
  largest = largestOf(band, from, to, largest);
  const shift = f32x4.splat(maxOfLanes(largest));
  const sum = exponentiate(row, 0, globals, shift);
  return sumOfLanes(f32x4.add(sum, exponentiate(band, from, to, shift)));
}

/** to[f] = from[f] * scale, `features` values. */
export function scaleRow(to: usize, from: usize, features: i32, scale: f32): void {
  const scales = f32x4.splat(scale);
  let f = 0;
  for (; f + 4 <= features; f += 4, to += 16, from += 16) v128.store(to, f32x4.mul(v128.load(from), scales));
  for (; f < features; f++, to += 4, from += 4) store<f32>(to, load<f32>(from) * scale);
}
