/**
 * Attention of single queries over any keys (keys.ts), with an online softmax: no score is ever stored in device memory.
 *
 * - `shared`: 64 invocations have one query and one head; each scores one key, then each sums one feature of the values.
 * - `alone`: one invocation for each query and head, without barriers, for processors that play GPU.
 *
 * Many keys for few queries would leave most of the device idle. Then the keys are cut into parts, each with its own maximum,
 * sum and weighted values in `partials`, and `combine` joins them.
 */
import type { Block } from '../buffers.ts';
import { type Dispatch, flatIndex, inRows, mostAcross, type Program, program, unroll } from '../program.ts';
import { type HeadShape, loader, quadsOf, rowBinding, shapeName, storer } from './head-rows.ts';
import type { KeySource } from './keys.ts';
import type { Schedule } from './linear.ts';
import { exponential } from './math.ts';

export interface AttendCall {
  readonly query: Block;
  readonly key: Block;
  readonly value: Block;
  readonly shape: HeadShape;
  readonly heads: number;
  /** Queries, from slot 0. */
  readonly slots: number;
  readonly source: KeySource;
  /** Of the source. */
  readonly numbers: Readonly<Record<string, number>>;
  readonly blocks: readonly Block[];
  /** First and number of heads; all when absent. */
  readonly headRange?: readonly [first: number, count: number];
  /** Keys of a query, about; for the cost. */
  readonly keys: number;
}

/** Where the result goes: finished rows, or the parts first .. first + count of `of` in all. */
export type AttendTarget =
  | { readonly kind: 'rows'; readonly out: Block }
  | {
      readonly kind: 'parts';
      readonly partials: Block;
      readonly first: number;
      readonly count: number;
      readonly of: number;
    };

const threads = 64;
/** Below every score, and finite: masks are conditions, never arithmetic with infinity. */
export const lowest = '-3.0e38';

/** Floats of one part: maximum, sum, weighted values. */
export const partFloats = (headDim: number): number => headDim + 2;

export function attend(call: AttendCall, target: AttendTarget, schedule: Schedule): Dispatch[] {
  const { shape, heads, source, slots, headRange = [0, heads], keys } = call;
  const [firstHead, headCount] = headRange;
  const parts = target.kind === 'parts' ? target.count : 1;
  const made = schedule === 'registers' ? alone(shape, source, target.kind) : sharedByMany(shape, source, target.kind);
  const flops = 4 * slots * headCount * keys * shape.headDim;
  const common = {
    program: made,
    blocks: [target.kind === 'rows' ? target.out : target.partials, call.query, call.key, call.value, ...call.blocks],
    cost: { flops, bytes: 4 * slots * headCount * shape.headDim * (2 + 2 * keys) },
  };
  const numbers = {
    ...call.numbers,
    hidden_size: shape.hiddenSize,
    scale: 1 / Math.sqrt(shape.headDim),
    heads,
    first_head: firstHead,
    head_count: headCount,
    slots,
    splits: parts,
    first_part: target.kind === 'parts' ? target.first : 0,
    parts: target.kind === 'parts' ? target.of : 1,
  };
  if (schedule === 'registers') {
    const invocations = slots * headCount * parts;
    return [
      { ...common, numbers: { ...numbers, first_slot: 0 }, workgroups: inRows(Math.ceil(invocations / threads)) },
    ];
  }
  const dispatches: Dispatch[] = [];
  for (let slot = 0; slot < slots; slot += mostAcross) {
    dispatches.push({
      ...common,
      numbers: { ...numbers, first_slot: slot },
      workgroups: [Math.min(mostAcross, slots - slot), headCount, parts],
    });
  }
  return dispatches;
}

const numbers = {
  hidden_size: 'u32',
  scale: 'f32',
  heads: 'u32',
  first_head: 'u32',
  head_count: 'u32',
  slots: 'u32',
  first_slot: 'u32',
  splits: 'u32',
  first_part: 'u32',
  parts: 'u32',
} as const;

function parts(shape: HeadShape, source: KeySource, kind: AttendTarget['kind']) {
  return {
    numbers: { ...numbers, ...source.numbers },
    bindings: {
      out: kind === 'rows' ? rowBinding(shape, 'write') : ({ access: 'write', type: 'array<f32>' } as const),
      query: rowBinding(shape, 'read'),
      key: rowBinding(shape, 'read'),
      value: rowBinding(shape, 'read'),
      ...source.bindings,
    },
    text: [
      exponential('f32'),
      source.code,
      loader('query', shape),
      loader('key', shape),
      loader('value', shape),
      kind === 'rows' ? storer('out', shape) : '',
      `fn part_at(slot: u32, head: u32, split: u32) -> u32 {
  return ((slot * numbers.heads + head) * numbers.parts + numbers.first_part + split) * ${partFloats(shape.headDim)};
}`,
    ].join('\n'),
  };
}

function alone(shape: HeadShape, source: KeySource, kind: AttendTarget['kind']): Program {
  const quads = quadsOf(shape);
  return program(`attend alone ${source.name} ${kind} ${shapeName(shape)}`, () => {
    const { text, ...rest } = parts(shape, source, kind);
    const finish =
      kind === 'rows'
        ? `for (var i = 0u; i < ${quads}; i++) { store_out(query.out_row, head, i, select(vec4f(0.0), acc[i] / sum, sum > 0.0)); }`
        : `let at = part_at(slot, head, split);
  out[at] = best;
  out[at + 1] = sum;
  for (var d = 0u; d < ${shape.headDim}; d++) { out[at + 2 + d] = acc[d / 4][d % 4]; }`;
    const body = `${text}
@compute @workgroup_size(${threads})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let index = ${flatIndex(threads)};
  let head = numbers.first_head + index % numbers.head_count;
  let split = index / numbers.head_count % numbers.splits;
  let slot = index / numbers.head_count / numbers.splits;
  if (slot >= numbers.slots) { return; }
  let query = begin_query(slot);
  let share = (query.candidates + numbers.splits - 1) / numbers.splits;
  let end = min(query.candidates, (split + 1) * share);
  var q: array<vec4f, ${quads}>;
  var acc: array<vec4f, ${quads}>;
  for (var i = 0u; i < ${quads}; i++) { q[i] = load_query(query.row, head, i) * numbers.scale; }
  var best = ${lowest};
  var sum = 0.0;
  for (var candidate = split * share; candidate < end; candidate++) {
    let row = key_row(query, candidate);
    if (row < 0) { continue; }
    var score = 0.0;
    for (var i = 0u; i < ${quads}; i++) { score += dot(q[i], load_key(u32(row), head, i)); }
    if (score > best) {
      let shrink = exponential(best - score);
      best = score;
      sum *= shrink;
      for (var i = 0u; i < ${quads}; i++) { acc[i] *= shrink; }
    }
    let weight = exponential(score - best);
    sum += weight;
    for (var i = 0u; i < ${quads}; i++) { acc[i] += weight * load_value(u32(row), head, i); }
  }
  ${finish}
}`;
    return { ...rest, body };
  });
}

function sharedByMany(shape: HeadShape, source: KeySource, kind: AttendTarget['kind']): Program {
  const quads = quadsOf(shape);
  /** Vectors of the result that one invocation keeps; 16 invocations share a key, 4 keys are summed side by side. */
  const own = Math.ceil(quads / 16);
  return program(`attend shared ${source.name} ${kind} ${shapeName(shape)}`, () => {
    const { text, ...rest } = parts(shape, source, kind);
    const finish = (i: number): string => {
      const quad = `lane + ${16 * i}`;
      if (kind === 'rows')
        return `store_out(query.out_row, head, ${quad}, select(vec4f(0.0), total / sum, sum > 0.0));`;
      return unroll(
        4,
        d => `if (4 * (${quad}) + ${d} < ${shape.headDim}) { out[at + 2 + 4 * (${quad}) + ${d}] = total[${d}]; }`,
        '\n    ',
      );
    };
    const body = `${text}
var<workgroup> query_tile: array<vec4f, ${quads}>;
var<workgroup> rows_of_tile: array<i32, ${threads}>;
var<workgroup> scores: array<f32, ${threads}>;
var<workgroup> weights: array<f32, ${threads}>;
var<workgroup> sums: array<vec4f, ${threads}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let slot = numbers.first_slot + group.x;
  let head = numbers.first_head + group.y;
  let split = group.z;
  let query = begin_query(slot);
  let share = (query.candidates + numbers.splits - 1) / numbers.splits;
  let end = min(query.candidates, (split + 1) * share);
  let lane = local % 16;
  let quarter = local / 16;
  for (var i = local; i < ${quads}; i += ${threads}) { query_tile[i] = load_query(query.row, head, i) * numbers.scale; }
  var best = ${lowest};
  var sum = 0.0;
  ${unroll(own, i => `var acc_${i} = vec4f(0.0);`, '\n  ')}
  for (var first = split * share; first < end; first += ${threads}) {
    workgroupBarrier();
    var row = -1;
    var score = ${lowest};
    if (first + local < end) { row = key_row(query, first + local); }
    if (row >= 0) {
      score = 0.0;
      for (var i = 0u; i < ${quads}; i++) { score += dot(query_tile[i], load_key(u32(row), head, i)); }
    }
    rows_of_tile[local] = row;
    scores[local] = score;
    workgroupBarrier();
    var next = best;
    for (var i = 0u; i < ${threads}; i++) { next = max(next, scores[i]); }
    let shrink = exponential(best - next);
    best = next;
    weights[local] = select(exponential(score - next), 0.0, row < 0);
    workgroupBarrier();
    sum *= shrink;
    for (var i = 0u; i < ${threads}; i++) { sum += weights[i]; }
    ${unroll(own, i => `acc_${i} *= shrink;`, '\n    ')}
    for (var i = quarter; i < ${threads}; i += 4) {
      let of_key = rows_of_tile[i];
      if (of_key >= 0) {
        ${unroll(own, i => `if (lane + ${16 * i} < ${quads}) { acc_${i} += weights[i] * load_value(u32(of_key), head, lane + ${16 * i}); }`, '\n        ')}
      }
    }
  }
  ${kind === 'parts' ? `let at = part_at(slot, head, split);\n  if (local == 0) { out[at] = best; out[at + 1] = sum; }` : ''}
  ${unroll(
    own,
    i => `workgroupBarrier();
  sums[local] = acc_${i};
  workgroupBarrier();
  if (quarter == 0 && lane + ${16 * i} < ${quads}) {
    let total = (sums[lane] + sums[lane + 16]) + (sums[lane + 32] + sums[lane + 48]);
    ${finish(i)}
  }`,
    '\n  ',
  )}
}`;
    return { ...rest, body };
  });
}

/** out[out_rows[slot]] from `of` parts of each slot and head; without out_rows, to row `slot`. */
export function combine(
  out: Block,
  partials: Block,
  outRows: Block | null,
  shape: HeadShape,
  heads: number,
  slots: number,
  of: number,
): Dispatch {
  const { headDim, hiddenSize } = shape;
  const elements = slots * hiddenSize;
  const made = program(`combine ${headDim}${outRows ? ' to rows' : ''}`, () => ({
    numbers: { hidden_size: 'u32', heads: 'u32', parts: 'u32', elements: 'u32' },
    bindings: {
      out: { access: 'write', type: 'array<f32>' },
      partials: { access: 'read', type: 'array<f32>' },
      ...(outRows ? { out_rows: { access: 'read', type: 'array<i32>' } as const } : {}),
    },
    body: `${exponential('f32')}
@compute @workgroup_size(${threads})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < numbers.elements; i += ${threads} * groups.x) {
    let slot = i / numbers.hidden_size;
    let feature = i % numbers.hidden_size;
    let first = (slot * numbers.heads + feature / ${headDim}) * numbers.parts;
    var best = ${lowest};
    for (var part = 0u; part < numbers.parts; part++) { best = max(best, partials[(first + part) * ${partFloats(headDim)}]); }
    var sum = 0.0;
    var total = 0.0;
    for (var part = 0u; part < numbers.parts; part++) {
      let at = (first + part) * ${partFloats(headDim)};
      let shrink = exponential(partials[at] - best);
      sum += shrink * partials[at + 1];
      total += shrink * partials[at + 2 + feature % ${headDim}];
    }
    let row = ${outRows ? 'u32(out_rows[slot])' : 'slot'};
    out[row * numbers.hidden_size + feature] = select(0.0, total / sum, sum > 0.0);
  }
}`,
  }));
  return {
    program: made,
    blocks: outRows ? [out, partials, outRows] : [out, partials],
    numbers: { hidden_size: hiddenSize, heads, parts: of, elements },
    workgroups: [Math.min(mostAcross, Math.ceil(elements / threads)), 1, 1],
    cost: { flops: 4 * elements * of, bytes: 4 * elements * (of + 1) },
  };
}
