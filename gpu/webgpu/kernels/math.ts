/**
 * exp, erf, tanh and the activations, for one number (`f32`) or four (`vec4f`).
 *
 * WGSL allows its own `exp` and `tanh` errors that grow with the argument; softmax and GELU need better. Bounds are those of
 * float32 arithmetic without fused multiply-add. Polynomials: Cephes (expf, erff, erfcf, tanhf).
 */
import type { Activation } from '../../../contract/config.ts';

type Width = 'f32' | 'vec4f';

const horner = (x: string, coefficients: readonly string[]): string =>
  coefficients.slice(1).reduce((sum, c) => `(${sum} * ${x} + ${c})`, coefficients[0]!);

/** exponential(x): relative error below 1.2e-7 on [-87, 88]; 0 below, and constant above. */
export function exponential(type: Width): string {
  const integer = type === 'f32' ? 'i32' : 'vec4i';
  const polynomial = horner('r', [
    '1.9875691500e-4',
    '1.3981999507e-3',
    '8.3334519073e-3',
    '4.1665795894e-2',
    '1.6666665459e-1',
    '5.0000001201e-1',
  ]);
  return `
fn exponential(x: ${type}) -> ${type} {
  let within = clamp(x, ${type}(-87.0), ${type}(88.0));
  let n = round(within * 1.44269504);
  let r = (within - n * 0.693359375) + n * 2.12194440e-4;
  let y = ${polynomial} * r * r + r + 1.0;
  let power = bitcast<${type}>((${integer}(n) + 127) << ${type === 'f32' ? '23u' : 'vec4u(23u)'});
  return select(y * power, ${type}(0.0), x < ${type}(-87.0));
}`;
}

/** normal(x): 1 + erf(x / √2), absolute error below 1.3e-7. */
const normal = (type: Width): string => `
fn normal(x: ${type}) -> ${type} {
  let t = x * 0.70710678118;
  let a = abs(t);
  let square = t * t;
  let inside = 1.0 + t * ${horner('square', ['7.853861353153693e-5', '-8.010193625184903e-4', '5.188327685732524e-3', '-2.685381193529856e-2', '1.128358514861418e-1', '-3.761262582423300e-1', '1.128379165726710'])};
  let q = 1.0 / max(a, ${type}(1.0));
  let y = q * q;
  let near = ${horner('y', ['2.326819970068386e-2', '-1.387039388740657e-1', '3.687424674597105e-1', '-5.824733027278666e-1', '6.210004621745983e-1', '-4.944515323274145e-1', '3.404879937665872e-1', '-2.741127028184656e-1', '5.638259427386472e-1'])};
  let far = ${horner('y', ['-1.047766399936249e1', '1.297719955372516e1', '-7.495518717768503', '2.921019019210786', '-1.015265279202700', '4.218463358204948e-1', '-2.820767439740514e-1', '5.641895067754075e-1'])};
  let tail = exponential(-square) * q * select(far, near, a < ${type}(2.0));
  return select(select(2.0 - tail, tail, t < ${type}(0.0)), inside, a < ${type}(1.0));
}`;

/** hyperbolic(x): tanh, absolute error below 1e-7. */
const hyperbolic = (type: Width): string => `
fn hyperbolic(x: ${type}) -> ${type} {
  let a = abs(x);
  let square = x * x;
  let near = x + x * square * ${horner('square', ['-5.70498872745e-3', '2.06390887954e-2', '-5.37397155531e-2', '1.33314422036e-1', '-3.33332819422e-1'])};
  let far = 1.0 - 2.0 / (exponential(2.0 * min(a, ${type}(20.0))) + 1.0);
  return select(sign(x) * far, near, a < ${type}(0.625));
}`;

const bodies: Record<Activation, (type: Width) => string> = {
  linear: () => 'return x;',
  gelu: () => 'return 0.5 * x * normal(x);',
  geluTanh: () => 'return 0.5 * x * (1.0 + hyperbolic(0.7978845608 * (x + 0.044715 * x * x * x)));',
  quickGelu: () => 'return x / (1.0 + exponential(-1.702 * x));',
  relu: type => `return max(x, ${type}(0.0));`,
  relu2: type => `let positive = max(x, ${type}(0.0)); return positive * positive;`,
  relu6: type => `return clamp(x, ${type}(0.0), ${type}(6.0));`,
  silu: () => 'return x / (1.0 + exponential(-x));',
  // tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2); beyond 20 it is 1.
  mish: type => `let e = exponential(min(x, ${type}(20.0))); let n = e * (e + 2.0); return x * n / (n + 2.0);`,
  tanh: () => 'return hyperbolic(x);',
  sigmoid: () => 'return 1.0 / (1.0 + exponential(-x));',
};

/** activate(x) and what it needs. */
export function activation(name: Activation, type: Width): string {
  const body = bodies[name](type);
  return [
    exponential(type),
    body.includes('normal(') ? normal(type) : '',
    body.includes('hyperbolic(') ? hyperbolic(type) : '',
    `fn activate(x: ${type}) -> ${type} { ${body} }`,
  ].join('\n');
}
