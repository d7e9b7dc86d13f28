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

// Constants of the two functions that matter for speed lie in memory, 16 bytes each: engines build a vector constant anew with three instructions
// at each use, and there are more of them than registers. (Softmax took 32 ms instead of 22, GELU 9 instead of 5.)
const LOWEST: usize = 0;
const MAGIC: usize = 16;
const LOG2_E: usize = 32;
const MINUS_LN2_LOW: usize = 48;
const MINUS_LN2_HIGH: usize = 64;
const ONE: usize = 80;
const HALF: usize = 96;
const EXP: usize = 112;
const TAIL_END: usize = 176;
const TAIL: usize = 192;
const EXP2: usize = 352;
/** Bytes of all of them. */
export const CONSTANT_BYTES: usize = 432;

/** Where the constants are. */
export let constants: usize = 0;

/** Writes the constants at `at`, where they stay. */
export function fillConstants(at: usize): void {
  constants = at;
  put(LOWEST, -87.0);
  put(MAGIC, 12582912.0); // 1.5 * 2²³: adding it leaves the nearest integer in the low bits
  put(LOG2_E, 1.44269504);
  // ln 2 in two parts: the first has few bits, so an integer times it is exact.
  put(MINUS_LN2_HIGH, -0.693359375);
  put(MINUS_LN2_LOW, 2.1219444e-4);
  put(ONE, 1);
  put(HALF, 0.5);
  // (eʳ - 1 - r) / r² for |r| ≤ ln 2 / 2, highest power first; the last coefficient is HALF
  put(EXP, 0.0013926250394433737);
  put(EXP + 16, 0.00836323294788599);
  put(EXP + 32, 0.04166655242443085);
  put(EXP + 48, 0.16666576266288757);
  put(TAIL_END, 6.5);
  // log2 erfc(t / √2) / t for 0 ≤ t ≤ 6.5, highest power first
  put(TAIL, -1.3448768e-8);
  put(TAIL + 16, 4.533718e-7);
  put(TAIL + 32, -6.484757e-6);
  put(TAIL + 48, 4.944002e-5);
  put(TAIL + 64, -1.8305417e-4);
  put(TAIL + 80, -2.0910439e-4);
  put(TAIL + 96, 0.0072149634);
  put(TAIL + 112, -0.052631788);
  put(TAIL + 128, -0.4591557);
  put(TAIL + 144, -1.1511117);
  // (2ʳ - 1) / r for |r| ≤ 1/2
  put(EXP2, 0.0013407257);
  put(EXP2 + 16, 0.009671873);
  put(EXP2 + 32, 0.055503085);
  put(EXP2 + 48, 0.24022235);
  put(EXP2 + 64, 0.69314724);
}

function put(offset: usize, value: f32): void {
  v128.store(constants + offset, splat(value));
}

/** eˣ for x ≤ 88, k = constants. Relative error ≤ 1.2e-7 from -87 on, exactly 0 below. NaN stays NaN. */
@inline
export function expBelow88(x: v128, k: usize): v128 {
  const inside = f32x4.pmax(x, v128.load(k, LOWEST));
  const shifted = madd(inside, v128.load(k, LOG2_E), v128.load(k, MAGIC));
  const n = f32x4.sub(shifted, v128.load(k, MAGIC));
  // |r| ≤ ln 2 / 2
  const r = madd(n, v128.load(k, MINUS_LN2_LOW), madd(n, v128.load(k, MINUS_LN2_HIGH), inside));
  let p = madd(r, v128.load(k, EXP), v128.load(k, EXP + 16));
  p = madd(p, r, v128.load(k, EXP + 32));
  p = madd(p, r, v128.load(k, EXP + 48));
  p = madd(p, r, v128.load(k, HALF));
  p = madd(p, f32x4.mul(r, r), r);
  p = f32x4.add(p, v128.load(k, ONE));
  const scaled = i32x4.add(p, i32x4.shl(shifted, 23)); // times 2ⁿ
  return v128.andnot(scaled, f32x4.lt(x, v128.load(k, LOWEST)));
}

/** eˣ, and e⁸⁸ above 88. */
@inline
function exp(x: v128): v128 {
  return expBelow88(f32x4.pmin(x, splat(88.0)), constants);
}

/**
 * x Φ(x) = max(x, 0) - |x| Φ(-|x|), absolute error ≤ 1e-7 * max(1, |x|): nothing cancels on either side, and there is one way for all x.
 *
 * Φ(-t) = 2ʸ / 2 with y = t p(t). Beyond t = 6.5 the second term stays what it is there, 3e-10.
 */
@inline
function gelu(x: v128, k: usize): v128 {
  const t = f32x4.pmin(f32x4.abs(x), v128.load(k, TAIL_END));
  // In pairs, pairs of pairs, and so on: Horner's chain of nine would wait for each step.
  const t2 = f32x4.mul(t, t);
  const t4 = f32x4.mul(t2, t2);
  const p89 = madd(t, v128.load(k, TAIL), v128.load(k, TAIL + 16));
  const p67 = madd(t, v128.load(k, TAIL + 32), v128.load(k, TAIL + 48));
  const p45 = madd(t, v128.load(k, TAIL + 64), v128.load(k, TAIL + 80));
  const p23 = madd(t, v128.load(k, TAIL + 96), v128.load(k, TAIL + 112));
  const p01 = madd(t, v128.load(k, TAIL + 128), v128.load(k, TAIL + 144));
  const p4567 = madd(p67, t2, p45);
  const p0123 = madd(p23, t2, p01);
  const p = madd(madd(p89, t4, p4567), t4, p0123);
  const y = f32x4.mul(p, t);
  const shifted = f32x4.add(y, v128.load(k, MAGIC));
  const r = f32x4.sub(y, f32x4.sub(shifted, v128.load(k, MAGIC)));
  const r2 = f32x4.mul(r, r);
  const q45 = madd(r, v128.load(k, EXP2), v128.load(k, EXP2 + 16));
  const q23 = madd(r, v128.load(k, EXP2 + 32), v128.load(k, EXP2 + 48));
  const q01 = madd(r, v128.load(k, EXP2 + 64), v128.load(k, ONE));
  const q = madd(madd(q45, r2, q23), r2, q01);
  const scaled = i32x4.add(q, i32x4.shl(shifted, 23)); // times 2ⁿ
  return f32x4.sub(f32x4.pmax(x, splat(0)), f32x4.mul(f32x4.mul(t, v128.load(k, HALF)), scaled));
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
      return gelu(x, constants);
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
    const k = constants;
    for (let r = 0; r < rows; r++) {
      v128.store(at, gelu(v128.load(at), k));
      v128.store(at, gelu(v128.load(at, 16), k), 16);
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
