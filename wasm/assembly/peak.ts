/** The most this engine gets out of one core: multiply-adds that wait for nothing. For benchmarks. */
import { madd } from './math';

/** 12 independent chains, `iterations` steps each: iterations * 12 * 8 operations. The result keeps them from being optimised away. */
export function peak(iterations: i32, factor: f32): f32 {
  const x = f32x4.splat(factor);
  const y = f32x4.splat(factor + 1);
  let a = x;
  let b = y;
  let c = x;
  let d = y;
  let e = x;
  let f = y;
  let g = x;
  let h = y;
  let i = x;
  let j = y;
  let k = x;
  let l = y;
  for (let n = 0; n < iterations; n++) {
    a = madd(x, y, a);
    b = madd(x, y, b);
    c = madd(x, y, c);
    d = madd(x, y, d);
    e = madd(x, y, e);
    f = madd(x, y, f);
    g = madd(x, y, g);
    h = madd(x, y, h);
    i = madd(x, y, i);
    j = madd(x, y, j);
    k = madd(x, y, k);
    l = madd(x, y, l);
  }
  const abc = f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
  const efg = f32x4.add(f32x4.add(e, f), f32x4.add(g, h));
  const ijk = f32x4.add(f32x4.add(i, j), f32x4.add(k, l));
  return f32x4.extract_lane(f32x4.add(f32x4.add(abc, efg), ijk), 0);
}
