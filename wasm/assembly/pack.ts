/**
 * Reordering of rows into what a tile reads: A as (k, MR), B as (k, 8).
 */
import { MR } from './layout';

/** Rows 0..3 of a 4 x 4 block become its columns. */
@inline
function low(a: v128, b: v128): v128 {
  return i32x4.shuffle(a, b, 0, 4, 1, 5);
}

@inline
function high(a: v128, b: v128): v128 {
  return i32x4.shuffle(a, b, 2, 6, 3, 7);
}

@inline
function lowHalves(a: v128, b: v128): v128 {
  return i64x2.shuffle(a, b, 0, 2);
}

@inline
function highHalves(a: v128, b: v128): v128 {
  return i64x2.shuffle(a, b, 1, 3);
}

/**
 * to[k][r] = row r [k] * scale, for MR rows that may lie anywhere, k = 0..count. The sixth row is ignored in the baseline build.
 */
export function packRows(
  to: usize,
  r0: usize,
  r1: usize,
  r2: usize,
  r3: usize,
  r4: usize,
  r5: usize,
  count: i32,
  scale: f32,
): void {
  const scales = f32x4.splat(scale);
  const whole = count & ~3;
  const end = r0 + ((<usize>whole) << 2);
  while (r0 !== end) {
    const a0 = v128.load(r0);
    const a1 = v128.load(r1);
    const a2 = v128.load(r2);
    const a3 = v128.load(r3);
    const l01 = low(a0, a1);
    const l23 = low(a2, a3);
    const h01 = high(a0, a1);
    const h23 = high(a2, a3);
    const a4 = f32x4.mul(v128.load(r4), scales);
    v128.store(to, f32x4.mul(lowHalves(l01, l23), scales));
    v128.store(to, f32x4.mul(highHalves(l01, l23), scales), MR * 4);
    v128.store(to, f32x4.mul(lowHalves(h01, h23), scales), MR * 8);
    v128.store(to, f32x4.mul(highHalves(h01, h23), scales), MR * 12);
    if (MR === 6) {
      const a5 = f32x4.mul(v128.load(r5), scales);
      const l45 = low(a4, a5);
      const h45 = high(a4, a5);
      v128.store_lane<i64>(to, l45, 0, 16);
      v128.store_lane<i64>(to, l45, 1, 40);
      v128.store_lane<i64>(to, h45, 0, 64);
      v128.store_lane<i64>(to, h45, 1, 88);
      r5 += 16;
    } else {
      v128.store_lane<i32>(to, a4, 0, 16);
      v128.store_lane<i32>(to, a4, 1, 36);
      v128.store_lane<i32>(to, a4, 2, 56);
      v128.store_lane<i32>(to, a4, 3, 76);
    }
    r0 += 16;
    r1 += 16;
    r2 += 16;
    r3 += 16;
    r4 += 16;
    to += MR * 16;
  }
  for (let k = whole; k < count; k++) {
    store<f32>(to, load<f32>(r0) * scale);
    store<f32>(to, load<f32>(r1) * scale, 4);
    store<f32>(to, load<f32>(r2) * scale, 8);
    store<f32>(to, load<f32>(r3) * scale, 12);
    store<f32>(to, load<f32>(r4) * scale, 16);
    if (MR === 6) {
      store<f32>(to, load<f32>(r5) * scale, 20);
      r5 += 4;
    }
    r0 += 4;
    r1 += 4;
    r2 += 4;
    r3 += 4;
    r4 += 4;
    to += MR * 4;
  }
}

/** MR neighbouring rows, of which the first `valid` exist; the others are copies of the first and come to nothing. */
export function packTile(to: usize, first: usize, stride: usize, valid: i32, count: i32, scale: f32): void {
  packRows(
    to,
    first,
    valid > 1 ? first + stride : first,
    valid > 2 ? first + stride * 2 : first,
    valid > 3 ? first + stride * 3 : first,
    valid > 4 ? first + stride * 4 : first,
    valid > 5 ? first + stride * 5 : first,
    count,
    scale,
  );
}

/** to[k][lane] = row lane [k]: half a panel of 8 columns (the four at `to` or at `to + 16`), k = 0..count. */
export function packColumns4(to: usize, r0: usize, r1: usize, r2: usize, r3: usize, count: i32): void {
  const whole = count & ~3;
  const end = r0 + ((<usize>whole) << 2);
  while (r0 !== end) {
    const a0 = v128.load(r0);
    const a1 = v128.load(r1);
    const a2 = v128.load(r2);
    const a3 = v128.load(r3);
    const l01 = low(a0, a1);
    const l23 = low(a2, a3);
    const h01 = high(a0, a1);
    const h23 = high(a2, a3);
    v128.store(to, lowHalves(l01, l23));
    v128.store(to, highHalves(l01, l23), 32);
    v128.store(to, lowHalves(h01, h23), 64);
    v128.store(to, highHalves(h01, h23), 96);
    r0 += 16;
    r1 += 16;
    r2 += 16;
    r3 += 16;
    to += 128;
  }
  for (let k = whole; k < count; k++) {
    store<f32>(to, load<f32>(r0));
    store<f32>(to, load<f32>(r1), 4);
    store<f32>(to, load<f32>(r2), 8);
    store<f32>(to, load<f32>(r3), 12);
    r0 += 4;
    r1 += 4;
    r2 += 4;
    r3 += 4;
    to += 32;
  }
}

/** 8 rows of `count` floats, one after another, into (count, 8): a panel of weights without its biases. */
export function packPanel(to: usize, from: usize, count: i32): void {
  const stride = <usize>count << 2;
  packColumns4(to, from, from + stride, from + 2 * stride, from + 3 * stride, count);
  from += 4 * stride;
  packColumns4(to + 16, from, from + stride, from + 2 * stride, from + 3 * stride, count);
}

/**
 * One row of values into its place in every panel of 8 features: to[p][at][0..8] = row[8 p ..], zeros behind the last feature.
 *
 * to: the row's place in the first panel; panelStride in bytes.
 */
export function packValueRow(to: usize, row: usize, features: i32, panelStride: usize): void {
  let f = 0;
  for (; f + 8 <= features; f += 8) {
    v128.store(to, v128.load(row));
    v128.store(to, v128.load(row, 16), 16);
    row += 32;
    to += panelStride;
  }
  if (f < features) {
    v128.store(to, f32x4.splat(0));
    v128.store(to, f32x4.splat(0), 16);
    for (let lane = 0; f < features; f++, lane++, row += 4) {
      store<f32>(to + ((<usize>lane) << 2), load<f32>(row));
    }
  }
}
