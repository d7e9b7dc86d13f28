/**
 * Probabilities on request, of any kind of attention (keys.ts): scores into the caller's rows, then a softmax over each row.
 * The fast path never stores them. Row head * queries + i of `out` belongs to query i.
 */
import type { Block } from '../buffers.ts';
import { type Dispatch, mostAcross, program } from '../program.ts';
import { lowest } from './attend.ts';
import { type HeadShape, loader, quadsOf, rowBinding, shapeName } from './head-rows.ts';
import type { KeySource } from './keys.ts';
import { exponential } from './math.ts';

export interface ScoresCall {
  readonly out: Block;
  /** Features of a row of `out`. */
  readonly width: number;
  readonly query: Block;
  readonly key: Block;
  readonly shape: HeadShape;
  /** First and number of heads. */
  readonly headRange: readonly [first: number, count: number];
  /** Query i is slot firstSlot + i * slotStride. */
  readonly queries: number;
  readonly firstSlot: number;
  readonly slotStride: number;
  readonly firstColumn: number;
  readonly columns: number;
  readonly source: KeySource;
  readonly numbers: Readonly<Record<string, number>>;
  readonly blocks: readonly Block[];
}

const threads = 64;

/** Scores of the columns, or something below every score where nobody is seen. One invocation for each. */
export function scores(call: ScoresCall): Dispatch {
  const { shape, source, headRange, queries, columns } = call;
  const elements = headRange[1] * queries * columns;
  const made = program(`scores ${source.name} ${shapeName(shape)}`, () => ({
    numbers: {
      hidden_size: 'u32',
      scale: 'f32',
      width: 'u32',
      first_head: 'u32',
      queries: 'u32',
      first_slot: 'u32',
      slot_stride: 'u32',
      first_column: 'u32',
      columns: 'u32',
      elements: 'u32',
      ...source.numbers,
    },
    bindings: {
      out: { access: 'write', type: 'array<f32>' },
      query: rowBinding(shape, 'read'),
      key: rowBinding(shape, 'read'),
      ...source.bindings,
    },
    body: `${source.code}
${loader('query', shape)}
${loader('key', shape)}
@compute @workgroup_size(${threads})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < numbers.elements; i += ${threads} * groups.x) {
    let column = numbers.first_column + i % numbers.columns;
    let head = numbers.first_head + i / numbers.columns / numbers.queries;
    let index = i / numbers.columns % numbers.queries;
    let query = begin_query(numbers.first_slot + index * numbers.slot_stride);
    let candidate = column_candidate(query, column);
    var row = -1;
    if (candidate >= 0) { row = key_row(query, u32(candidate)); }
    var score = ${lowest};
    if (row >= 0) {
      score = 0.0;
      for (var quad = 0u; quad < ${quadsOf(shape)}; quad++) {
        score += dot(load_query(query.row, head, quad) * numbers.scale, load_key(u32(row), head, quad));
      }
    }
    out[(head * numbers.queries + index) * numbers.width + column] = score;
  }
}`,
  }));
  return {
    program: made,
    blocks: [call.out, call.query, call.key, ...call.blocks],
    numbers: {
      ...call.numbers,
      hidden_size: shape.hiddenSize,
      scale: 1 / Math.sqrt(shape.headDim),
      width: call.width,
      first_head: headRange[0],
      queries,
      first_slot: call.firstSlot,
      slot_stride: call.slotStride,
      first_column: call.firstColumn,
      columns,
      elements,
    },
    workgroups: [Math.min(mostAcross, Math.ceil(elements / threads)), 1, 1],
    cost: { flops: 2 * elements * shape.headDim, bytes: 4 * elements * (shape.headDim + 1) },
  };
}

/** Softmax over the first `columns` of each row, in place; what is below every score becomes exactly 0. One invocation a row. */
export function softmaxRows(out: Block, rows: number, width: number, columns: number): Dispatch {
  const made = program('softmaxRows', () => ({
    numbers: { rows: 'u32', width: 'u32', columns: 'u32' },
    bindings: { out: { access: 'write', type: 'array<f32>' } },
    body: `${exponential('f32')}
@compute @workgroup_size(${threads})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var row = id.x; row < numbers.rows; row += ${threads} * groups.x) {
    let first = row * numbers.width;
    var best = ${lowest};
    for (var c = 0u; c < numbers.columns; c++) { best = max(best, out[first + c]); }
    var sum = 0.0;
    for (var c = 0u; c < numbers.columns; c++) {
      let score = out[first + c];
      let weight = select(exponential(score - best), 0.0, score <= ${lowest});
      out[first + c] = weight;
      sum += weight;
    }
    for (var c = 0u; c < numbers.columns; c++) {
      let weight = out[first + c];
      out[first + c] = select(0.0, weight / sum, sum > 0.0);
    }
  }
}`,
  }));
  return {
    program: made,
    blocks: [out],
    numbers: { rows, width, columns },
    workgroups: [Math.min(mostAcross, Math.ceil(rows / threads)), 1, 1],
    cost: { flops: 4 * rows * columns, bytes: 16 * rows * columns },
  };
}
