/**
 * Global attention of few queries without projecting a single token: (q Wk)·x instead of q·(Wk x), and Wv Σ p x instead of Σ p (Wv x).
 *
 * G global tokens and H heads cost 2 G H T C multiply-adds that way, two projections of every token 2 T C². The bias of the keys adds the
 * same number to all scores of a row, so softmax does not see it; the bias of the values is added once, since probabilities sum to 1.
 *
 * fold → linear (scores of all tokens) → weights (softmax inside parts of the tokens) → weigh (sums of parts) → gather (their
 * join) → unfold. Row r = slot * H + head of the folded queries is a column of the scores. C features, R rows, filled up to 4.
 */
import type { Block } from '../buffers.ts';
import type { Indices, Linear, Rows, Sequence } from '../handles.ts';
import { type Dispatch, program, unroll } from '../program.ts';
import { foldedPart, type Scratch } from '../scratch.ts';
import { lowest } from './attend.ts';
import { sequenceCode, sequenceNumbers } from './keys.ts';
import { linear, type Schedule } from './linear.ts';
import { exponential } from './math.ts';

export interface FoldedCall {
  readonly out: Rows;
  readonly outRows: Indices;
  readonly query: Rows;
  readonly hiddenStates: Block;
  readonly sequence: Sequence;
  readonly keyProjection: Linear;
  readonly valueProjection: Linear;
  readonly half: boolean;
  readonly heads: number;
  readonly causal: boolean;
}

const threads = 64;

export function foldedAttention(call: FoldedCall, scratch: Scratch, schedule: Schedule): Dispatch[] {
  const { sequence, out, heads, half } = call;
  const { length: tokens, globalCount } = sequence;
  const features = out.features;
  const rows = globalCount * heads;
  const across = Math.ceil(rows / 4); // vectors of a row of scores
  const wide = 4 * across;
  const partTokens = foldedPart(tokens);
  const parts = Math.ceil(tokens / partTokens);
  const [queries, scores, maxima] = [
    scratch.get('foldedQueries'),
    scratch.get('foldedScores'),
    scratch.get('foldedMaxima'),
  ];
  const [sums, states] = [scratch.get('foldedSums'), scratch.get('foldedStates')];
  const numbers = {
    features,
    heads,
    head_dim: features / heads,
    rows,
    across,
    tokens,
    documents: sequence.documents,
    part_tokens: partTokens,
    parts,
    causal: Number(call.causal),
    columns: 4 * Math.ceil(features / 4),
    scale: 1 / Math.sqrt(features / heads),
  };
  const dispatch = (made: Dispatch['program'], blocks: Block[], invocations: number, flops: number): Dispatch => ({
    program: made,
    blocks,
    numbers,
    workgroups: [Math.ceil(invocations / threads), 1, 1],
    cost: { flops, bytes: 4 * invocations },
  });
  const product = 2 * tokens * features * wide;
  return [
    dispatch(
      fold(half),
      [queries, call.query.block, call.keyProjection.block],
      (features + 1) * wide,
      2 * rows * features * (features / heads),
    ),
    linear(
      {
        out: scores,
        input: call.hiddenStates,
        weights: queries,
        half: false,
        activation: 'linear',
        inFeatures: features,
        outFeatures: wide,
        firstColumn: 0,
        columns: wide,
        inputRow: 0,
        outRow: 0,
        rowCount: tokens,
      },
      schedule,
    ),
    dispatch(weights(), [scores, maxima, sequence.block], wide * parts, 4 * rows * tokens),
    dispatch(weigh(), [sums, scores, call.hiddenStates], across * features * parts, product),
    dispatch(gather(), [states, sums, maxima], rows * features, 2 * rows * features * parts),
    {
      ...dispatch(
        unfold(half, schedule),
        [out.block, states, call.valueProjection.block, call.outRows.block],
        0,
        2 * globalCount * features * features,
      ),
      workgroups: [Math.ceil(features / (schedule === 'tiled' ? 16 : threads)), globalCount, 1],
    },
  ];
}

const numbers = {
  features: 'u32',
  heads: 'u32',
  head_dim: 'u32',
  rows: 'u32',
  across: 'u32',
  ...sequenceNumbers,
  part_tokens: 'u32',
  parts: 'u32',
  causal: 'u32',
  columns: 'u32',
  scale: 'f32',
} as const;

const floats = { type: 'array<f32>' } as const;
const projection = (half: boolean) => ({ access: 'read', type: half ? 'array<f16>' : 'array<f32>' }) as const;

/** folded[k][r] = Σ_d q[slot][head, d] Wk[head, d][k], scaled; row C, the bias of a linear layer, is 0. */
const fold = (half: boolean) =>
  program(`fold${half ? ' f16' : ''}`, () => ({
    numbers,
    bindings: {
      folded: { access: 'write', ...floats },
      query: { access: 'read', ...floats },
      projection: projection(half),
    },
    body: `
@compute @workgroup_size(${threads})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x % (4 * numbers.across);
  let k = id.x / (4 * numbers.across);
  if (k > numbers.features) { return; }
  var sum = 0.0;
  if (row < numbers.rows && k < numbers.features) {
    let feature = row % numbers.heads * numbers.head_dim;
    let begin = row / numbers.heads * numbers.features + feature;
    for (var d = 0u; d < numbers.head_dim; d++) {
      sum = fma(query[begin + d], f32(projection[k * numbers.columns + feature + d]), sum);
    }
  }
  folded[id.x] = sum * numbers.scale;
}`,
  }));

/** Scores of a part of the tokens → exp(score - maximum of the part), 0 where nobody is seen; maximum and sum beside them. */
const weights = () =>
  program('folded weights', () => ({
    numbers,
    bindings: {
      scores: { access: 'write', ...floats },
      maxima: { access: 'write', ...floats },
      sequence: { access: 'read', type: 'array<i32>' },
    },
    body: `${sequenceCode}
${exponential('f32')}
@compute @workgroup_size(${threads})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x % (4 * numbers.across);
  let part = id.x / (4 * numbers.across);
  if (part >= numbers.parts) { return; }
  // Rows that only fill up see nobody: padding may hold NaN, and so may their scores.
  let token = global_row(min(row, numbers.rows - 1) / numbers.heads);
  let first = i32(part * numbers.part_tokens);
  let end = i32(min(numbers.tokens, (part + 1) * numbers.part_tokens));
  let seen_first = document_start(token);
  let last_seen = select(document_end(token), token + 1, numbers.causal != 0);
  let seen_end = select(0, last_seen, row < numbers.rows);
  var best = ${lowest};
  for (var t = max(first, seen_first); t < min(end, seen_end); t++) {
    if (role(t) != 0) { best = max(best, scores[u32(t) * 4 * numbers.across + row]); }
  }
  var sum = 0.0;
  for (var t = first; t < end; t++) {
    let at = u32(t) * 4 * numbers.across + row;
    var weight = 0.0;
    if (t >= seen_first && t < seen_end && role(t) != 0) { weight = exponential(scores[at] - best); }
    scores[at] = weight;
    sum += weight;
  }
  maxima[2 * id.x] = best;
  maxima[2 * id.x + 1] = sum;
}`,
  }));

/** sums[part][r][c] = Σ over the part's tokens of weight[t][r] x[t][c]. Four rows an invocation: they lie side by side. */
const weigh = () =>
  program('folded weigh', () => ({
    numbers,
    bindings: {
      sums: { access: 'write', ...floats },
      weights: { access: 'read', type: 'array<vec4f>' },
      states: { access: 'read', ...floats },
    },
    body: `
@compute @workgroup_size(${threads})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let feature = id.x % numbers.features;
  let quad = id.x / numbers.features % numbers.across;
  let part = id.x / numbers.features / numbers.across;
  if (part >= numbers.parts) { return; }
  let end = min(numbers.tokens, (part + 1) * numbers.part_tokens);
  var sum = vec4f(0.0);
  for (var t = part * numbers.part_tokens; t < end; t++) {
    let weight = weights[t * numbers.across + quad];
    // Rows of padding may hold anything.
    if (any(weight != vec4f(0.0))) { sum = fma(weight, vec4f(states[t * numbers.features + feature]), sum); }
  }
  let at = (part * numbers.across + quad) * 4 * numbers.features + feature;
  ${unroll(4, i => `sums[at + ${i} * numbers.features] = sum[${i}];`, '\n  ')}
}`,
  }));

/** states[r][c]: the hidden states, weighed by the probabilities of all parts. */
const gather = () =>
  program('folded gather', () => ({
    numbers,
    bindings: {
      states: { access: 'write', ...floats },
      sums: { access: 'read', ...floats },
      maxima: { access: 'read', ...floats },
    },
    body: `${exponential('f32')}
@compute @workgroup_size(${threads})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let feature = id.x % numbers.features;
  let row = id.x / numbers.features;
  if (row >= numbers.rows) { return; }
  var best = ${lowest};
  for (var part = 0u; part < numbers.parts; part++) { best = max(best, maxima[2 * (part * 4 * numbers.across + row)]); }
  var sum = 0.0;
  var total = 0.0;
  for (var part = 0u; part < numbers.parts; part++) {
    let at = 2 * (part * 4 * numbers.across + row);
    let shrink = exponential(maxima[at] - best);
    sum += shrink * maxima[at + 1];
    total += shrink * sums[(part * 4 * numbers.across + row) * numbers.features + feature];
  }
  states[id.x] = total / sum;
}`,
  }));

/** out[out_rows[slot]][n] = Σ_k states[slot, head of n][k] Wv[n][k] + bias. `tiled`: 16 invocations share a sum. */
const unfold = (half: boolean, schedule: Schedule) => {
  const slices = schedule === 'tiled' ? 16 : 1;
  const columns = schedule === 'tiled' ? 16 : threads;
  return program(`unfold ${slices}${half ? ' f16' : ''}`, () => ({
    numbers,
    bindings: {
      out: { access: 'write', ...floats },
      states: { access: 'read', ...floats },
      projection: projection(half),
      out_rows: { access: 'read', type: 'array<i32>' },
    },
    body: `
${slices > 1 ? `var<workgroup> parts: array<f32, ${slices * columns}>;` : ''}
@compute @workgroup_size(${slices * columns})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let n = group.x * ${columns} + local % ${columns};
  let slot = group.y;
  var sum = 0.0;
  if (n < numbers.features) {
    let begin = (slot * numbers.heads + n / numbers.head_dim) * numbers.features;
    for (var k = local / ${columns}; k < numbers.features; k += ${slices}) {
      sum = fma(states[begin + k], f32(projection[k * numbers.columns + n]), sum);
    }
  }
  ${
    slices > 1
      ? `parts[local] = sum;
  workgroupBarrier();
  if (local >= ${columns}) { return; }
  for (var slice = 1u; slice < ${slices}; slice++) { sum += parts[local + ${columns} * slice]; }`
      : ''
  }
  if (n >= numbers.features) { return; }
  out[u32(out_rows[slot]) * numbers.features + n] = sum + f32(projection[numbers.features * numbers.columns + n]);
}`,
  }));
};
