/**
 * out = layerNorm(input + residual), in place too. Mean first, then the variance around it: one pass over x and x² would lose
 * digits where the mean is large.
 *
 * 128 invocations share a row, or one has it alone (`registers`, without barriers). A buffer that is output and input is bound
 * once: a device refuses to see it twice.
 */
import type { Block } from '../buffers.ts';
import { type Binding, type Dispatch, inRows, mostAcross, type Program, program } from '../program.ts';
import type { Schedule } from './linear.ts';

export interface NormCall {
  readonly out: Block;
  readonly input: Block;
  readonly residual: Block | null;
  /** (2, features): gamma, beta. */
  readonly norm: Block;
  readonly eps: number;
  readonly rows: number;
  readonly features: number;
}

const shared = 128;

export function addLayerNorm(call: NormCall, schedule: Schedule): Dispatch {
  const { out, input, residual, norm, eps, rows, features } = call;
  const threads = schedule === 'registers' ? 1 : shared;
  const place = out === input ? 'input' : out === residual ? 'residual' : 'elsewhere';
  // What is read besides the output buffer.
  const others = [...new Set([input, ...(residual ? [residual] : [])])].filter(block => block !== out);
  const workgroups = threads === 1 ? Math.ceil(rows / 64) : rows;
  return {
    program: programOf(place, residual !== null, input === residual, threads),
    blocks: [out, norm, ...others],
    numbers: { rows, features, eps },
    workgroups: inRows(workgroups),
    cost: { flops: 8 * rows * features, bytes: 4 * rows * features * (residual ? 3 : 2) },
  };
}

function programOf(
  place: 'input' | 'residual' | 'elsewhere',
  hasResidual: boolean,
  same: boolean,
  threads: number,
): Program {
  const input = place === 'input' ? 'out' : 'input';
  const residual = same ? input : place === 'residual' ? 'out' : 'residual';
  const array = 'array<f32>';
  const bindings: Record<string, Binding> = {
    out: { access: 'write', type: array },
    norm: { access: 'read', type: array },
    ...(input === 'input' ? { input: { access: 'read', type: array } } : {}),
    ...(hasResidual && residual === 'residual' ? { residual: { access: 'read', type: array } } : {}),
  };
  const value = hasResidual ? `${input}[first + f] + ${residual}[first + f]` : `${input}[first + f]`;
  const total =
    threads === 1
      ? 'fn total(sum: f32, local: u32) -> f32 { return sum; }'
      : `
var<workgroup> sums: array<f32, ${threads}>;
/** The sum over all invocations, by halves: the same in each of them. */
fn total(sum: f32, local: u32) -> f32 {
  sums[local] = sum;
  workgroupBarrier();
  for (var half = ${threads / 2}u; half > 0; half /= 2) {
    if (local < half) { sums[local] += sums[local + half]; }
    workgroupBarrier();
  }
  let result = sums[0];
  workgroupBarrier();
  return result;
}`;
  return program(`addLayerNorm ${place}${hasResidual ? '' : ' alone'}${same ? ' twice' : ''} ${threads}`, () => ({
    numbers: { rows: 'u32', features: 'u32', eps: 'f32' },
    bindings,
    body: `${total}
fn normalize(row: u32, local: u32) {
  let features = numbers.features;
  let first = row * features;
  var sum = 0.0;
  for (var f = local; f < features; f += ${threads}) { sum += ${value}; }
  let mean = total(sum, local) / f32(features);
  var squares = 0.0;
  for (var f = local; f < features; f += ${threads}) {
    let distance = ${value} - mean;
    squares += distance * distance;
  }
  let deviation = sqrt(total(squares, local) / f32(features) + numbers.eps);
  for (var f = local; f < features; f += ${threads}) {
    out[first + f] = (${value} - mean) / deviation * norm[f] + norm[features + f];
  }
}

@compute @workgroup_size(${threads === 1 ? 64 : threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let at = group.x + group.y * ${mostAcross};
  ${threads === 1 ? 'let row = 64 * at + local;' : 'let row = at;'}
  if (row >= numbers.rows) { return; }
  normalize(row, ${threads === 1 ? '0' : 'local'});
}`,
  }));
}
