/**
 * Functions of four float32 at a time. Bounds were measured against float64 over the whole range (math.test.ts).
 */

/** a * b + c: fused where the relaxed build may, rounded twice in the baseline build. */
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

@inline
function splat(x: f32): v128 {
  return f32x4.splat(x);
}

/** eˣ, relative error ≤ 1.2e-7 for -87 ≤ x ≤ 88; exactly 0 below -87, e⁸⁸ above 88. */
@inline
export function exp(x: v128): v128 {
  const magic = splat(12582912.0); // 1.5 * 2²³: adding it leaves the nearest integer in the low bits
  // pmin and pmax give back a NaN of x.
  const inside = f32x4.pmin(f32x4.pmax(x, splat(-87.0)), splat(88.0));
  const shifted = madd(inside, splat(1.44269504), magic);
  const n = f32x4.sub(shifted, magic);
  // ln 2 in two parts: the first has few bits, so n * it is exact.
  const r = madd(n, splat(2.12194440e-4), madd(n, splat(-0.693359375), inside)); // |r| ≤ ln 2 / 2
  let p = madd(r, splat(0.0013926250394433737), splat(0.00836323294788599));
  p = madd(p, r, splat(0.04166655242443085));
  p = madd(p, r, splat(0.16666576266288757));
  p = madd(p, r, splat(0.5));
  p = madd(p, f32x4.mul(r, r), r);
  p = f32x4.add(p, splat(1.0));
  const scaled = i32x4.add(p, i32x4.shl(shifted, 23)); // times 2ⁿ
  return v128.andnot(scaled, f32x4.lt(x, splat(-87.0)));
}

/** erfc(t) for t ≥ 1, relative error ≤ 1.2e-6 up to t = 4.5, where it ends in 0 (truth: 2e-10). */
@inline
function erfcTail(t: v128): v128 {
  const inside = f32x4.pmin(t, splat(4.5));
  // log erfc(t) / t
  let p = madd(inside, splat(-6.849773370731782e-8), splat(0.0000017654878092798754));
  p = madd(p, inside, splat(-0.0000184794953383971));
  p = madd(p, inside, splat(0.00008714782597962767));
  p = madd(p, inside, splat(0.000030223785870475695));
  p = madd(p, inside, splat(-0.0031452311668545008));
  p = madd(p, inside, splat(0.023306598886847496));
  p = madd(p, inside, splat(-0.10607007145881653));
  p = madd(p, inside, splat(-0.6351181864738464));
  p = madd(p, inside, splat(-1.1286791563034058));
  return v128.andnot(exp(f32x4.mul(p, inside)), f32x4.gt(t, splat(4.5)));
}

/** erf(a) / a - 1 from a², for |a| ≤ 1. */
@inline
function erfNearZero(s: v128): v128 {
  let p = madd(s, splat(0.00007875874871388078), splat(-0.000801686430349946));
  p = madd(p, s, splat(0.005189087241888046));
  p = madd(p, s, splat(-0.02685421146452427));
  p = madd(p, s, splat(0.11283594369888306));
  p = madd(p, s, splat(-0.3761262595653534));
  return madd(p, s, splat(0.12837916612625122));
}

/** x Φ(x), absolute error ≤ 2e-7 * max(1, |x|). No cancellation on the left: Φ is taken from erfc there. */
@inline
function gelu(x: v128): v128 {
  const a = f32x4.mul(x, splat(0.70710678));
  const t = f32x4.abs(a);
  const tail = f32x4.mul(erfcTail(t), splat(0.5));
  const outer = v128.bitselect(tail, f32x4.sub(splat(1.0), tail), f32x4.lt(x, splat(0.0)));
  const inner = madd(f32x4.mul(a, splat(0.5)), f32x4.add(erfNearZero(f32x4.mul(a, a)), splat(1.0)), splat(0.5));
  const near = f32x4.lt(t, splat(1.0));
  const cdf = v128.bitselect(inner, outer, near);
  // -∞ * 0 would be NaN; the limit is 0, and x is finite in a healthy model, so NaN may stay.
  return f32x4.mul(x, cdf);
}

/** 1 / (1 + e⁻ˣ), relative error ≤ 3e-7 for x ≥ -88. */
@inline
function sigmoid(x: v128): v128 {
  return f32x4.div(splat(1.0), f32x4.add(splat(1.0), exp(f32x4.neg(x))));
}

/** tanh x, relative error ≤ 3e-7. */
@inline
function tanh(x: v128): v128 {
  const s = f32x4.mul(x, x);
  let p = madd(s, splat(-0.006045165006071329), splat(0.020961329340934753));
  p = madd(p, s, splat(-0.053843263536691666));
  p = madd(p, s, splat(0.1333271861076355));
  p = madd(p, s, splat(-0.333333283662796));
  const near = madd(f32x4.mul(p, s), x, x);
  const t = f32x4.abs(x);
  const e = exp(f32x4.add(t, t));
  const far = f32x4.sub(splat(1.0), f32x4.div(splat(2.0), f32x4.add(e, splat(1.0))));
  const signed = v128.bitselect(x, far, splat(-0.0)); // the sign bit of x
  return v128.bitselect(near, signed, f32x4.lt(t, splat(0.6)));
}

/** x tanh(log(1 + eˣ)) = x n / (n + 2) with n = eˣ (eˣ + 2): no logarithm. From 20 on the quotient is 1. */
@inline
function mish(x: v128): v128 {
  const e = exp(f32x4.pmin(x, splat(20.0)));
  const n = f32x4.mul(e, f32x4.add(e, splat(2.0)));
  return f32x4.mul(x, f32x4.div(n, f32x4.add(n, splat(2.0))));
}

/** One vector through the activation with this number; the order is that of `activationNumbers` in kernels.ts. */
function activate(x: v128, activation: i32): v128 {
  const zero = splat(0.0);
  switch (activation) {
    case 1:
      return gelu(x);
    case 2: {
      // x/2 (1 + tanh u) = x sigmoid(2u), u = √(2/π) (x + 0.044715 x³)
      const cube = f32x4.mul(f32x4.mul(x, x), x);
      return f32x4.mul(x, sigmoid(f32x4.mul(splat(1.5957691216), madd(cube, splat(0.044715), x))));
    }
    case 3:
      return f32x4.mul(x, sigmoid(f32x4.mul(x, splat(1.702))));
    case 4:
      return f32x4.max(x, zero);
    case 5: {
      const positive = f32x4.max(x, zero);
      return f32x4.mul(positive, positive);
    }
    case 6:
      return f32x4.min(f32x4.max(x, zero), splat(6.0));
    case 7:
      return f32x4.mul(x, sigmoid(x));
    case 8:
      return mish(x);
    case 9:
      return tanh(x);
    case 10:
      return sigmoid(x);
    default:
      return x;
  }
}

/** `rows` rows of 8 values, `stride` bytes apart, through the activation. */
export function activateTile(at: usize, rows: i32, stride: usize, activation: i32): void {
  if (activation === 1) {
    // The one every published checkpoint uses, without the call.
    for (let r = 0; r < rows; r++) {
      v128.store(at, gelu(v128.load(at)));
      v128.store(at, gelu(v128.load(at, 16)), 16);
      at += stride;
    }
    return;
  }
  for (let r = 0; r < rows; r++) {
    v128.store(at, activate(v128.load(at), activation));
    v128.store(at, activate(v128.load(at, 16), activation), 16);
    at += stride;
  }
}

/** In place: e to the `count` values at `at`, count a multiple of 4. For the tests of this file. */
export function exponentials(at: usize, count: i32): void {
  for (let i = 0; i < count; i += 4, at += 16) v128.store(at, exp(v128.load(at)));
}

/** In place, for the tests: `activation` of `count` values, count a multiple of 8. */
export function activations(at: usize, count: i32, activation: i32): void {
  activateTile(at, count >> 3, 32, activation);
}

/** Sum of the four lanes, always in the same order. */
@inline
export function sumOfLanes(x: v128): f32 {
  return (
    f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3))
  );
}

/** Largest of the four lanes. */
@inline
export function maxOfLanes(x: v128): f32 {
  const halves = f32x4.pmax(x, i32x4.shuffle(x, x, 2, 3, 2, 3));
  return f32x4.extract_lane(f32x4.pmax(halves, i32x4.shuffle(halves, halves, 1, 1, 1, 1)), 0);
}
