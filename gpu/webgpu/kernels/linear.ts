/**
 * out = activation(input Wᵀ + bias), three ways:
 *
 * - `tiled`: blocks of input and weights go through workgroup memory, each invocation keeps 8 x 8 (or 8 x 4) sums in registers;
 * - `narrow`: few rows; 16 invocations share a column, because one alone would wait for memory;
 * - `registers`: no workgroup memory and no barrier, 4 x 4 sums; what a processor that plays GPU does best.
 *
 * Weights are stored (inFeatures + 1, columns): transposed, columns padded to a multiple of 4, the bias as the last row.
 */
import type { Activation } from '../../../contract/config.ts';
import type { Block } from '../buffers.ts';
import { type Dispatch, flatIndex, inRows, type Program, program, unroll } from '../program.ts';
import { activation } from './math.ts';

/** How the kernels share work, this one and the others: with workgroup memory and barriers, or without either. */
export type Schedule = 'tiled' | 'registers';

export interface LinearCall {
  readonly out: Block;
  readonly input: Block;
  readonly weights: Block;
  readonly half: boolean;
  readonly activation: Activation;
  readonly inFeatures: number;
  /** Features of a row of `out`, of which this call writes `columns` from `firstColumn` on. */
  readonly outFeatures: number;
  readonly firstColumn: number;
  readonly columns: number;
  readonly inputRow: number;
  readonly outRow: number;
  readonly rowCount: number;
}

/** Rows of `tiled` x columns x input features of a tile, and the sums of one invocation. */
interface Tile {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly ownRows: 4 | 8;
  readonly ownColumns: 4 | 8;
}

/** 16 KiB of workgroup memory, what every device has. The small one makes four times as many workgroups of the same matrix. */
const large: Tile = { rows: 128, columns: 128, depth: 16, ownRows: 8, ownColumns: 8 };
const small: Tile = { rows: 64, columns: 64, depth: 16, ownRows: 8, ownColumns: 4 };

/** Fewer workgroups than this leave a data-centre GPU (some 130 cores, two workgroups each) idle. */
const enoughWorkgroups = 256;
/** Up to this many rows a call is bound by reading the weights. */
const narrowRows = 16;

export function linear(call: LinearCall, schedule: Schedule): Dispatch {
  const { rowCount, columns, inFeatures, half, outFeatures, firstColumn, inputRow, outRow } = call;
  const across = Math.ceil(columns / 4);
  const [made, workgroups] = choose(call, schedule);
  return {
    program: made,
    blocks: [call.out, call.input, call.weights],
    numbers: {
      rows: rowCount,
      in_features: inFeatures,
      out_features: outFeatures,
      columns,
      across,
      first_column: firstColumn,
      input_row: inputRow,
      out_row: outRow,
    },
    workgroups,
    cost: {
      flops: 2 * rowCount * inFeatures * columns,
      bytes: 4 * rowCount * (inFeatures + columns) + (half ? 2 : 4) * inFeatures * columns,
    },
  };
}

function choose(call: LinearCall, schedule: Schedule): [Program, [number, number, number]] {
  const { rowCount, columns } = call;
  const across = Math.ceil(columns / 4);
  if (schedule === 'registers')
    return [registers(call), inRows(Math.ceil((across * Math.ceil(rowCount / ownRows)) / 64))];
  if (rowCount <= narrowRows) return [narrow(call), [Math.ceil(across / 16), Math.ceil(rowCount / 4), 1]];
  const counts = (tile: Tile): [number, number, number] => [
    Math.ceil(columns / tile.columns),
    Math.ceil(rowCount / tile.rows),
    1,
  ];
  const [x, y] = counts(large);
  const tile = x * y >= enoughWorkgroups ? large : small;
  return [tiled(call, tile), counts(tile)];
}

const numbers = {
  rows: 'u32',
  in_features: 'u32',
  out_features: 'u32',
  columns: 'u32',
  across: 'u32',
  first_column: 'u32',
  input_row: 'u32',
  out_row: 'u32',
} as const;

/** How the three buffers are read and written: by fours where the features allow it. */
function access(call: LinearCall) {
  const wideInput = call.inFeatures % 4 === 0;
  const wideOut = call.outFeatures % 4 === 0 && call.firstColumn % 4 === 0;
  const name = `${call.activation}${wideInput ? '' : ' odd-in'}${wideOut ? '' : ' odd-out'}${call.half ? ' f16' : ''}`;
  const bindings = {
    out: { access: 'write', type: wideOut ? 'array<vec4f>' : 'array<f32>' },
    input: { access: 'read', type: wideInput ? 'array<vec4f>' : 'array<f32>' },
    weights: { access: 'read', type: call.half ? 'array<vec4<f16>>' : 'array<vec4f>' },
  } as const;
  const body = `
${activation(call.activation, 'vec4f')}
/** Input features k .. k + 3 of a row; 0 behind the last one. */
fn load_input(row: u32, k: u32) -> vec4f {
  let first = (numbers.input_row + min(row, numbers.rows - 1)) * numbers.in_features;
  ${
    wideInput
      ? 'return select(vec4f(0.0), input[(first + k) / 4], k < numbers.in_features);'
      : `var result = vec4f(0.0);
  ${unroll(4, i => `if (k + ${i} < numbers.in_features) { result[${i}] = input[first + k + ${i}]; }`, '\n  ')}
  return result;`
  }
}
/** Columns 4 c .. 4 c + 3 of input feature k. Behind the end it is any finite number: load_input is 0 there. */
fn load_weights(k: u32, c: u32) -> vec4f {
  return vec4f(weights[min(k, numbers.in_features) * numbers.across + min(c, numbers.across - 1)]);
}
fn store(row: u32, c: u32, sum: vec4f) {
  if (row >= numbers.rows || c >= numbers.across) { return; }
  let result = activate(sum + vec4f(weights[numbers.in_features * numbers.across + c]));
  let first = (numbers.out_row + row) * numbers.out_features + numbers.first_column + 4 * c;
  ${
    wideOut
      ? 'out[first / 4] = result;'
      : unroll(4, i => `if (4 * c + ${i} < numbers.columns) { out[first + ${i}] = result[${i}]; }`, '\n  ')
  }
}`;
  return { name, bindings, body };
}

function tiled(call: LinearCall, tile: Tile): Program {
  const { name, bindings, body } = access(call);
  const { rows, columns, depth, ownRows, ownColumns } = tile;
  const groupsAcross = columns / ownColumns;
  const threads = groupsAcross * (rows / ownRows);
  const [rowQuads, columnQuads] = [ownRows / 4, ownColumns / 4];
  const sums = (text: (row: number, quad: number) => string, separator = '\n'): string =>
    unroll(ownRows, row => unroll(columnQuads, quad => text(row, quad), separator), separator);
  return program(`linear tiled ${rows}x${columns} ${name}`, () => ({
    numbers,
    bindings,
    body: `${body}
// Both by input feature: four rows, or four columns, in each element.
var<workgroup> input_tile: array<vec4f, ${(depth * rows) / 4}>;
var<workgroup> weight_tile: array<vec4f, ${(depth * columns) / 4}>;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let x = local % ${groupsAcross};
  let y = local / ${groupsAcross};
  let first_row = group.y * ${rows};
  let first_quad = group.x * ${columns / 4};
  ${sums((row, quad) => `var sum_${row}_${quad} = vec4f(0.0);`, '\n  ')}
  for (var k = 0u; k < numbers.in_features; k += ${depth}) {
    for (var i = local; i < ${(rows / 4) * (depth / 4)}; i += ${threads}) {
      let row = first_row + 4 * (i % ${rows / 4});
      let quad = i / ${rows / 4};
      ${unroll(4, i => `let row_${i} = load_input(row + ${i}, k + 4 * quad);`, '\n      ')}
      let at = 4 * quad * ${rows / 4} + i % ${rows / 4};
      ${unroll(4, i => `input_tile[at + ${i * (rows / 4)}] = vec4f(row_0[${i}], row_1[${i}], row_2[${i}], row_3[${i}]);`, '\n      ')}
    }
    for (var i = local; i < ${(depth * columns) / 4}; i += ${threads}) {
      weight_tile[i] = load_weights(k + i / ${columns / 4}, first_quad + i % ${columns / 4});
    }
    workgroupBarrier();
    for (var j = 0u; j < ${depth}; j++) {
      ${unroll(rowQuads, i => `let a_${i} = input_tile[j * ${rows / 4} + y + ${(i * rows) / ownRows}];`, '\n      ')}
      ${unroll(columnQuads, i => `let b_${i} = weight_tile[j * ${columns / 4} + x + ${i * groupsAcross}];`, '\n      ')}
      ${sums((row, quad) => `sum_${row}_${quad} = fma(vec4f(a_${row >> 2}[${row & 3}]), b_${quad}, sum_${row}_${quad});`, '\n      ')}
    }
    workgroupBarrier();
  }
  ${sums(
    (row, quad) =>
      `store(first_row + 4 * (y + ${((row >> 2) * rows) / ownRows}) + ${row & 3}, first_quad + x + ${quad * groupsAcross}, sum_${row}_${quad});`,
    '\n  ',
  )}
}`,
  }));
}

function narrow(call: LinearCall): Program {
  const { name, bindings, body } = access(call);
  return program(`linear narrow ${name}`, () => ({
    numbers,
    bindings,
    body: `${body}
var<workgroup> parts: array<vec4f, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let slice = local / 16;
  let column = group.x * 16 + local % 16;
  let row = group.y * 4;
  ${unroll(4, i => `var sum_${i} = vec4f(0.0);`, '\n  ')}
  for (var k = 4 * slice; k < numbers.in_features; k += 64) {
    ${unroll(4, i => `let w_${i} = load_weights(k + ${i}, column);`, '\n    ')}
    ${unroll(
      4,
      i => `let x_${i} = load_input(row + ${i}, k);
    ${unroll(4, j => `sum_${i} = fma(vec4f(x_${i}[${j}]), w_${j}, sum_${i});`, '\n    ')}`,
      '\n    ',
    )}
  }
  ${unroll(
    4,
    i => `parts[local] = sum_${i};
  workgroupBarrier();
  if (slice == 0) {
    var sum = vec4f(0.0);
    for (var s = 0u; s < 16; s++) { sum += parts[local + 16 * s]; }
    store(row + ${i}, column, sum);
  }
  workgroupBarrier();`,
    '\n  ',
  )}
}`,
  }));
}

/** Rows that one invocation of `registers` sums. */
const ownRows = 8;

function registers(call: LinearCall): Program {
  const { name, bindings, body } = access(call);
  const multiply = (row: number): string =>
    unroll(4, k => `sum_${row} = fma(vec4f(x_${row}[${k}]), w_${k}, sum_${row});`, '\n    ');
  // Whole vectors need no bounds in the innermost loop, where a processor would pay for each.
  const wide = call.inFeatures % 4 === 0;
  const loads = wide
    ? `${unroll(4, i => `let w_${i} = vec4f(weights[at + ${i} * numbers.across]);`, '\n    ')}
    ${unroll(ownRows, i => `let x_${i} = input[first_${i} + k / 4];`, '\n    ')}
    at += 4 * numbers.across;`
    : `${unroll(4, i => `let w_${i} = load_weights(k + ${i}, column);`, '\n    ')}
    ${unroll(ownRows, i => `let x_${i} = load_input(row + ${i}, k);`, '\n    ')}`;
  return program(`linear registers ${name}`, () => ({
    numbers,
    bindings,
    body: `${body}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let index = ${flatIndex(64)};
  let column = index % numbers.across;
  let row = ${ownRows} * (index / numbers.across);
  if (row >= numbers.rows) { return; }
  ${unroll(ownRows, i => `var sum_${i} = vec4f(0.0);`, '\n  ')}
  var at = column;
  ${unroll(
    wide ? ownRows : 0,
    i => `let first_${i} = (numbers.input_row + min(row + ${i}, numbers.rows - 1)) * (numbers.in_features / 4);`,
    '\n  ',
  )}
  for (var k = 0u; k < numbers.in_features; k += 4) {
    ${loads}
    ${unroll(ownRows, multiply, '\n    ')}
  }
  ${unroll(ownRows, i => `store(row + ${i}, column, sum_${i});`, '\n  ')}
}`,
  }));
}
