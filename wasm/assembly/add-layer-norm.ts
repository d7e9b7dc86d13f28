/**
 * out[t] = layerNorm(input[t] + residual[t]): mean first, then the variance around it; population variance.
 */
import { sumOfLanes } from './math';

/**
 * out, input, residual: (rows, features); residual 0 = none; norm: gamma, then beta, `features` each. `out` may be an input.
 */
export function addLayerNorm(
  out: usize,
  input: usize,
  residual: usize,
  norm: usize,
  rows: i32,
  features: i32,
  eps: f32,
): void {
  const bytes = (<usize>features) << 2;
  for (let t = 0; t < rows; t++) {
    normalizeRow(out, input, residual, norm, norm + bytes, features, eps);
    out += bytes;
    input += bytes;
    if (residual) residual += bytes;
  }
}

function normalizeRow(
  out: usize,
  input: usize,
  residual: usize,
  gamma: usize,
  beta: usize,
  features: i32,
  eps: f32,
): void {
  const bytes = (<usize>features) << 2;
  const whole = bytes & ~15;
  let totals = f32x4.splat(0);
  for (let f: usize = 0; f < whole; f += 16) {
    let x = v128.load(input + f);
    if (residual) x = f32x4.add(x, v128.load(residual + f));
    v128.store(out + f, x);
    totals = f32x4.add(totals, x);
  }
  let total = sumOfLanes(totals);
  for (let f = whole; f < bytes; f += 4) {
    let x = load<f32>(input + f);
    if (residual) x += load<f32>(residual + f);
    store<f32>(out + f, x);
    total += x;
  }
  const mean = total / <f32>features;
  const means = f32x4.splat(mean);

  let squares = f32x4.splat(0);
  for (let f: usize = 0; f < whole; f += 16) {
    const d = f32x4.sub(v128.load(out + f), means);
    squares = f32x4.add(squares, f32x4.mul(d, d));
  }
  let square = sumOfLanes(squares);
  for (let f = whole; f < bytes; f += 4) {
    const d = load<f32>(out + f) - mean;
    square += d * d;
  }
  const scale: f32 = <f32>1.0 / sqrt<f32>(square / <f32>features + eps);
  const scales = f32x4.splat(scale);

  for (let f: usize = 0; f < whole; f += 16) {
    const normal = f32x4.mul(f32x4.sub(v128.load(out + f), means), scales);
    v128.store(out + f, f32x4.add(f32x4.mul(normal, v128.load(gamma + f)), v128.load(beta + f)));
  }
  for (let f = whole; f < bytes; f += 4) {
    store<f32>(out + f, (load<f32>(out + f) - mean) * scale * load<f32>(gamma + f) + load<f32>(beta + f));
  }
}
