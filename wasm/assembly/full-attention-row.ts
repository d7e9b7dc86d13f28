/**
 * A query that shares its keys with no other, as a beam in its own cache: the loops of full-attention.ts for one row instead of four.
 *
 * Every score and every column is summed in the same order, so that a query has the same bits alone and among others.
 */
import { madd } from './math';

/** The four sums of the lanes of a, b, c, d. */
@inline
export function sumsOfLanes(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
}

/** Scores of keys first..end, four at a time, into row. first: a multiple of 4; mask: a byte for each key, 0 where it is hidden, or none. */
export function scoreRow(
  query: usize,
  keys: usize,
  keyBytes: usize,
  headDim: i32,
  row: usize,
  first: i32,
  end: i32,
  mask: usize,
): void {
  const scales = f32x4.splat(<f32>1 / sqrt<f32>(<f32>headDim));
  const whole = (<usize>(headDim & ~3)) << 2;
  const length = (<usize>headDim) << 2;
  for (let j = first; j < end; j += 4) {
    const x = keys + <usize>j * keyBytes;
    const y = j + 1 < end ? x + keyBytes : x;
    const z = j + 2 < end ? y + keyBytes : y;
    const w = j + 3 < end ? z + keyBytes : z;
    let sx = f32x4.splat(0);
    let sy = sx;
    let sz = sx;
    let sw = sx;
    let f: usize = 0;
    for (; f < whole; f += 16) {
      const q = v128.load(query + f);
      sx = madd(q, v128.load(x + f), sx);
      sy = madd(q, v128.load(y + f), sy);
      sz = madd(q, v128.load(z + f), sz);
      sw = madd(q, v128.load(w + f), sw);
    }
    let sums = sumsOfLanes(sx, sy, sz, sw);
    for (; f < length; f += 4) {
      const four = f32x4(load<f32>(x + f), load<f32>(y + f), load<f32>(z + f), load<f32>(w + f));
      sums = f32x4.add(sums, f32x4.mul(v128.load32_splat(query + f), four));
    }
    sums = f32x4.mul(sums, scales);
    // Rows have room for a multiple of 8: behind the last key its copies are written, and hidden by whoever takes exponentials.
    v128.store(row + ((<usize>j) << 2), sums);
    if (!mask) continue;
    for (let k = j; k < end && k < j + 4; k++) {
      if (load<u8>(mask + <usize>k) === 0) store<f32>(row + ((<usize>k) << 2), -Infinity);
    }
  }
}

/** result (headDim) += exponentials (keyCount) times values (keyCount, headDim), 32 columns at a time. */
export function sumValuesOfRow(result: usize, exponentials: usize, values: usize, keyBytes: usize, keyCount: i32, headDim: i32): void {
  const whole = (<usize>(headDim & ~31)) << 2;
  const length = (<usize>headDim) << 2;
  const end = exponentials + ((<usize>keyCount) << 2);
  let f: usize = 0;
  for (; f < whole; f += 128) {
    const to = result + f;
    let s0 = v128.load(to);
    let s1 = v128.load(to, 16);
    let s2 = v128.load(to, 32);
    let s3 = v128.load(to, 48);
    let s4 = v128.load(to, 64);
    let s5 = v128.load(to, 80);
    let s6 = v128.load(to, 96);
    let s7 = v128.load(to, 112);
    let value = values + f;
    for (let at = exponentials; at < end; at += 4, value += keyBytes) {
      const e = v128.load32_splat(at);
      s0 = madd(e, v128.load(value), s0);
      s1 = madd(e, v128.load(value, 16), s1);
      s2 = madd(e, v128.load(value, 32), s2);
      s3 = madd(e, v128.load(value, 48), s3);
      s4 = madd(e, v128.load(value, 64), s4);
      s5 = madd(e, v128.load(value, 80), s5);
      s6 = madd(e, v128.load(value, 96), s6);
      s7 = madd(e, v128.load(value, 112), s7);
    }
    v128.store(to, s0);
    v128.store(to, s1, 16);
    v128.store(to, s2, 32);
    v128.store(to, s3, 48);
    v128.store(to, s4, 64);
    v128.store(to, s5, 80);
    v128.store(to, s6, 96);
    v128.store(to, s7, 112);
  }
  // What the tile does eight columns at a time is fused there, and so it must be here.
  for (; f < ((<usize>(headDim & ~7)) << 2); f += 16) {
    let sum = v128.load(result + f);
    let value = values + f;
    for (let at = exponentials; at < end; at += 4, value += keyBytes) sum = madd(v128.load32_splat(at), v128.load(value), sum);
    v128.store(result + f, sum);
  }
  for (; f < length; f += 4) {
    let sum = load<f32>(result + f);
    let value = values + f;
    for (let at = exponentials; at < end; at += 4, value += keyBytes) sum += load<f32>(at) * load<f32>(value);
    store<f32>(result + f, sum);
  }
}
