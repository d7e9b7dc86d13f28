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
const SQRT_HALF: usize = 176;
const TAIL_END: usize = 192;
const TAIL: usize = 208;
const NEAR: usize = 368;
/** Bytes of all of them. */
export const CONSTANT_BYTES: usize = 480;

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
  put(SQRT_HALF, 0.70710678);
  put(TAIL_END, 4.5);
  // log erfc(t) / t for 1 ≤ t ≤ 4.5
  put(TAIL, -6.849773370731782e-8);
  put(TAIL + 16, 0.0000017654878092798754);
  put(TAIL + 32, -0.0000184794953383971);
  put(TAIL + 48, 0.00008714782597962767);
  put(TAIL + 64, 0.000030223785870475695);
  put(TAIL + 80, -0.0031452311668545008);
  put(TAIL + 96, 0.023306598886847496);
  put(TAIL + 112, -0.10607007145881653);
  put(TAIL + 128, -0.6351181864738464);
  put(TAIL + 144, -1.1286791563034058);
  // erf(a) / a - 1 from a², |a| ≤ 1
  put(NEAR, 0.00007875874871388078);
  put(NEAR + 16, -0.000801686430349946);
  put(NEAR + 32, 0.005189087241888046);
  put(NEAR + 48, -0.02685421146452427);
  put(NEAR + 64, 0.11283594369888306);
  put(NEAR + 80, -0.3761262595653534);
  put(NEAR + 96, 0.12837916612625122);
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

/** erfc(t) for t ≥ 1, relative error ≤ 1.5e-6 up to t = 4.5, where it ends in 0 (truth: 2e-10). */
@inline
function erfcTail(t: v128, k: usize): v128 {
  const inside = f32x4.pmin(t, v128.load(k, TAIL_END));
  let p = madd(inside, v128.load(k, TAIL), v128.load(k, TAIL + 16));
  p = madd(p, inside, v128.load(k, TAIL + 32));
  p = madd(p, inside, v128.load(k, TAIL + 48));
  p = madd(p, inside, v128.load(k, TAIL + 64));
  p = madd(p, inside, v128.load(k, TAIL + 80));
  p = madd(p, inside, v128.load(k, TAIL + 96));
  p = madd(p, inside, v128.load(k, TAIL + 112));
  p = madd(p, inside, v128.load(k, TAIL + 128));
  p = madd(p, inside, v128.load(k, TAIL + 144));
  return v128.andnot(expBelow88(f32x4.mul(p, inside), k), f32x4.gt(t, v128.load(k, TAIL_END)));
}

/** x Φ(x), absolute error ≤ 2e-7 * max(1, |x|). No cancellation on the left: Φ is taken from erfc there. -∞ gives NaN. */
@inline
function gelu(x: v128, k: usize): v128 {
  const a = f32x4.mul(x, v128.load(k, SQRT_HALF));
  const t = f32x4.abs(a);
  const tail = f32x4.mul(erfcTail(t, k), v128.load(k, HALF));
  const far = v128.bitselect(tail, f32x4.sub(v128.load(k, ONE), tail), f32x4.lt(a, splat(0)));
  const s = f32x4.mul(a, a);
  let p = madd(s, v128.load(k, NEAR), v128.load(k, NEAR + 16));
  p = madd(p, s, v128.load(k, NEAR + 32));
  p = madd(p, s, v128.load(k, NEAR + 48));
  p = madd(p, s, v128.load(k, NEAR + 64));
  p = madd(p, s, v128.load(k, NEAR + 80));
  p = madd(p, s, v128.load(k, NEAR + 96));
  const near = madd(madd(p, a, a), v128.load(k, HALF), v128.load(k, HALF));
  return f32x4.mul(x, v128.bitselect(near, far, f32x4.lt(t, v128.load(k, ONE))));
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
