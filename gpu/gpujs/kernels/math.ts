/**
 * exp, erf, tanh and the activations in text for gpu.js.
 *
 * GLSL allows its own `exp` and `tanh` errors that grow with the argument, and has no `erf`; softmax and GELU need better. Bounds are
 * those of float32 arithmetic without fused multiply-add. Polynomials: Cephes (expf, erff, erfcf, tanhf).
 */
import type { Activation } from '../../../contract/config.ts';
import type { Helper } from '../program.ts';

const horner = (x: string, coefficients: readonly string[]): string =>
  coefficients.slice(1).reduce((sum, c) => `(${sum} * ${x} + ${c})`, coefficients[0]!);

/** 2⁻⁶⁴, 2⁻³², … as decimals that are exact. */
const powers = [64, 32, 16, 8, 4, 2, 1].map(exponent => ({ exponent, value: String(2 ** -exponent) }));

/**
 * decay(x) = eˣ for x ≤ 0: relative error below 1.2e-7 down to -87, and 0 beyond.
 *
 * Powers of two are multiplied together, because `exp2` is not exact on every GPU; and only negative ones are needed.
 */
export const decay: Helper = {
  name: 'decay',
  argumentNames: ['x'],
  body: `
  let result = 0;
  if (x >= -87.5) {
    const n = Math.floor(0.5 - x * 1.44269504);
    const r = (x + n * 0.693359375) - n * 2.12194440e-4;
    const y = ${horner('r', ['1.9875691500e-4', '1.3981999507e-3', '8.3334519073e-3', '4.1665795894e-2', '1.6666665459e-1', '5.0000001201e-1'])} * r * r + r + 1;
    let power = 1;
    let left = n;
    ${powers.map(({ exponent, value }) => `if (left >= ${exponent}) { power *= ${value}; left -= ${exponent}; }`).join('\n    ')}
    result = y * power;
  }
  return result;`,
};

/** normal(x) = 1 + erf(x / √2), absolute error below 1.3e-7. */
const normal: Helper = {
  name: 'normal',
  argumentNames: ['x'],
  body: `
  const t = x * 0.70710678118;
  const a = Math.abs(t);
  const square = t * t;
  let result = 1 + t * ${horner('square', ['7.853861353153693e-5', '-8.010193625184903e-4', '5.188327685732524e-3', '-2.685381193529856e-2', '1.128358514861418e-1', '-3.761262582423300e-1', '1.128379165726710'])};
  if (a >= 1) {
    const q = 1 / a;
    const y = q * q;
    let series = ${horner('y', ['2.326819970068386e-2', '-1.387039388740657e-1', '3.687424674597105e-1', '-5.824733027278666e-1', '6.210004621745983e-1', '-4.944515323274145e-1', '3.404879937665872e-1', '-2.741127028184656e-1', '5.638259427386472e-1'])};
    if (a >= 2) {
      series = ${horner('y', ['-1.047766399936249e1', '1.297719955372516e1', '-7.495518717768503', '2.921019019210786', '-1.015265279202700', '4.218463358204948e-1', '-2.820767439740514e-1', '5.641895067754075e-1'])};
    }
    const tail = decay(-square) * q * series;
    result = tail;
    if (t > 0) { result = 2 - tail; }
  }
  return result;`,
};

/** hyperbolic(x) = tanh(x), absolute error below 1e-7. */
const hyperbolic: Helper = {
  name: 'hyperbolic',
  argumentNames: ['x'],
  body: `
  const a = Math.abs(x);
  const square = x * x;
  let result = x + x * square * ${horner('square', ['-5.70498872745e-3', '2.06390887954e-2', '-5.37397155531e-2', '1.33314422036e-1', '-3.33332819422e-1'])};
  if (a >= 0.625) {
    const u = decay(-2 * a);
    result = (1 - u) / (1 + u);
    if (x < 0) { result = (u - 1) / (1 + u); }
  }
  return result;`,
};

/** logistic(x) = 1 / (1 + e⁻ˣ). */
const logistic: Helper = {
  name: 'logistic',
  argumentNames: ['x'],
  body: `
  const u = decay(-Math.abs(x));
  let result = 1 / (1 + u);
  if (x < 0) { result = u / (1 + u); }
  return result;`,
};

const bodies: Record<Activation, string> = {
  linear: 'return x;',
  gelu: 'return 0.5 * x * normal(x);',
  geluTanh: 'return 0.5 * x * (1 + hyperbolic(0.7978845608 * (x + 0.044715 * x * x * x)));',
  quickGelu: 'return x * logistic(1.702 * x);',
  relu: 'return Math.max(x, 0);',
  relu2: 'const positive = Math.max(x, 0); return positive * positive;',
  relu6: 'return Math.min(Math.max(x, 0), 6);',
  silu: 'return x * logistic(x);',
  // tanh(log(1 + eˣ)) with u = e^-|x|, so that nothing overflows.
  mish: `
  const u = decay(-Math.abs(x));
  let n = 1 + 2 * u;
  let rest = 2 * u * u;
  if (x < 0) { n = u * (u + 2); rest = 2; }
  return x * n / (n + rest);`,
  tanh: 'return hyperbolic(x);',
  sigmoid: 'return logistic(x);',
};

/** activate(x) and what it calls, callees first. */
export function activate(name: Activation): Helper[] {
  const body = bodies[name];
  const called = [normal, hyperbolic, logistic].filter(helper => body.includes(`${helper.name}(`));
  const exponential = called.length > 0 || body.includes('decay(') ? [decay] : [];
  return [...exponential, ...called, { name: 'activate', argumentNames: ['x'], body }];
}

export const activations = Object.keys(bodies) as Activation[];
