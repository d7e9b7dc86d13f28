/**
 * Local attention: softmax over the band and all global keys of the document together, without a score in device memory.
 *
 * A workgroup has a block of queries of one head. Keys and values stream through workgroup memory, 16 rows at a time: the
 * global keys first, then the union of the bands. Each invocation keeps 4 queries: their scores with 4 keys, and a
 * quarter of their 4 results. Four invocations share a row of scores.
 *
 * A dilated band is an undilated one over every d-th token. So a block holds queries of one residue class modulo d, and rows are
 * counted in steps of d. Documents need no care here: the band of a query ends where its document does.
 *
 * Few chosen rows, heads too wide for workgroup memory and processors that play GPU go through attend.ts.
 */
import type { BandPattern } from '../../../contract/kernels.ts';
import type { Block } from '../buffers.ts';
import { type Dispatch, type Program, program, unroll } from '../program.ts';
import { attend, lowest } from './attend.ts';
import { type HeadShape, loader, quadsOf, rowBinding, shapeName, storer } from './head-rows.ts';
import { bandKeys, sequenceCode, sequenceNumbers } from './keys.ts';
import type { Schedule } from './linear.ts';
import { exponential } from './math.ts';

export interface BandCall {
  readonly out: Block;
  readonly query: Block;
  readonly key: Block;
  readonly value: Block;
  readonly sequence: Block;
  readonly tokens: number;
  readonly documents: number;
  readonly band: BandPattern;
  readonly shape: HeadShape;
  /** Only these tokens. */
  readonly rows: { readonly block: Block; readonly length: number } | null;
}

/** Wider windows and gaps see the same; these keep arithmetic inside 32 bits. */
const widest = 2 ** 29;

export interface HeadRun {
  readonly first: number;
  readonly count: number;
  readonly dilation: number;
}

/** Neighbouring heads with the same dilation go together. */
export function headRuns(dilation: readonly number[]): HeadRun[] {
  const runs: HeadRun[] = [];
  for (const [head, gap] of dilation.entries()) {
    const last = runs.at(-1);
    if (last?.dilation === gap) runs[runs.length - 1] = { ...last, count: last.count + 1 };
    else runs.push({ first: head, count: 1, dilation: gap });
  }
  return runs;
}

export const bandNumbers = (call: Pick<BandCall, 'tokens' | 'documents' | 'band'>, dilation: number) => ({
  tokens: call.tokens,
  documents: call.documents,
  window: Math.min(call.band.oneSidedWindow, widest),
  dilation: Math.min(dilation, widest),
  causal: Number(call.band.causal),
});

export function slidingWindowAttention(call: BandCall, schedule: Schedule, workgroupBytes: number): Dispatch[] {
  const { band, rows } = call;
  const queries = rows === null && schedule === 'tiled' ? blockQueries(call.shape, workgroupBytes) : null;
  return headRuns(band.dilation).flatMap(run =>
    queries ? [tiledRun(call, run, queries)] : singly(call, run, schedule),
  );
}

function singly(call: BandCall, run: HeadRun, schedule: Schedule): Dispatch[] {
  const { band, rows, sequence, shape, tokens } = call;
  const attention = {
    query: call.query,
    key: call.key,
    value: call.value,
    shape,
    heads: band.heads,
    slots: rows?.length ?? tokens,
    source: bandKeys(rows !== null),
    numbers: bandNumbers(call, run.dilation),
    blocks: rows ? [sequence, rows.block] : [sequence],
    headRange: [run.first, run.count] as const,
    keys: Math.min(tokens, 2 * band.oneSidedWindow + 1),
  };
  return attend(attention, { kind: 'rows', out: call.out }, schedule);
}

const tileKeys = 16;

/** Vectors between rows in workgroup memory: odd, so that neighbouring rows lie in different banks. */
const strideOf = (shape: HeadShape): number => quadsOf(shape) + 1 - (quadsOf(shape) % 2);

/** The largest block of queries that workgroup memory holds beside a tile of keys; null: none. */
export function blockQueries(shape: HeadShape, workgroupBytes: number): number | null {
  const bytes = (queries: number): number =>
    16 * ((queries + tileKeys) * strideOf(shape) + 4 * queries) + 4 * (4 * queries + tileKeys);
  return [64, 32, 16].find(queries => bytes(queries) <= workgroupBytes) ?? null;
}

function tiledRun(call: BandCall, run: HeadRun, queries: number): Dispatch {
  const { tokens, band, shape } = call;
  const classes = Math.min(run.dilation, tokens);
  const blocks = Math.ceil(Math.ceil(tokens / run.dilation) / queries);
  const keys = Math.min(tokens, 2 * band.oneSidedWindow + 1);
  return {
    program: tiled(shape, queries),
    blocks: [call.out, call.query, call.key, call.value, call.sequence],
    numbers: {
      ...bandNumbers(call, run.dilation),
      hidden_size: shape.hiddenSize,
      scale: 1 / Math.sqrt(shape.headDim),
      first_head: run.first,
      blocks,
    },
    workgroups: [classes * blocks, run.count, 1],
    cost: { flops: 4 * tokens * run.count * keys * shape.headDim, bytes: 16 * tokens * run.count * shape.headDim },
  };
}

function tiled(shape: HeadShape, queries: number): Program {
  const quads = quadsOf(shape);
  const stride = strideOf(shape);
  const own = Math.ceil(quads / 4);
  const quarter = queries / 4;
  const rows = (text: (row: number) => string): string => unroll(4, text, '\n    ');
  const each = (text: (row: number, quad: number) => string): string =>
    unroll(4, row => unroll(own, quad => text(row, quad), '\n    '), '\n    ');
  return program(`slidingWindowAttention ${queries} ${shapeName(shape)}`, () => ({
    numbers: {
      ...sequenceNumbers,
      window: 'i32',
      dilation: 'i32',
      causal: 'u32',
      hidden_size: 'u32',
      scale: 'f32',
      first_head: 'u32',
      blocks: 'u32',
    },
    bindings: {
      out: rowBinding(shape, 'write'),
      query: rowBinding(shape, 'read'),
      key: rowBinding(shape, 'read'),
      value: rowBinding(shape, 'read'),
      sequence: { access: 'read', type: 'array<i32>' },
    },
    body: `${sequenceCode}
${exponential('vec4f')}
${['query', 'key', 'value'].map(name => loader(name, shape)).join('\n')}
${storer('out', shape)}
var<workgroup> query_tile: array<vec4f, ${queries * stride}>;
/** Keys, then values of the same tokens. */
var<workgroup> tile: array<vec4f, ${tileKeys * stride}>;
/** Element 4 r + x: weights of row r for keys x, x + 4, x + 8, x + 12. */
var<workgroup> weights: array<vec4f, ${4 * queries}>;
var<workgroup> maxima: array<f32, ${4 * queries}>;
var<workgroup> tokens_of_tile: array<i32, ${tileKeys}>;

/** Keys a query sees on its left and right, in steps. */
fn back(token: i32) -> i32 { return min(numbers.window, (token - document_start(token)) / numbers.dilation); }
fn ahead(token: i32) -> i32 {
  return select(min(numbers.window, (document_end(token) - 1 - token) / numbers.dilation), 0, numbers.causal != 0);
}

/** What the tiles of one block run over. */
struct Keys { first_global: i32, end_global: i32, global_tiles: i32, first_step: i32, end_step: i32, residue: i32 }
/** The token of slot s of a tile; -1: nobody, or one that a band does not see. */
fn token_of(keys: Keys, of_tile: i32, s: i32) -> i32 {
  if (of_tile < keys.global_tiles) {
    let slot = keys.first_global + of_tile * ${tileKeys} + s;
    if (slot >= keys.end_global) { return -1; }
    return global_row(u32(slot));
  }
  let step = keys.first_step + (of_tile - keys.global_tiles) * ${tileKeys} + s;
  if (step >= keys.end_step) { return -1; }
  let token = keys.residue + step * numbers.dilation;
  return select(-1, token, role(token) == 1);
}

@compute @workgroup_size(${queries})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let head = numbers.first_head + group.y;
  let residue = i32(group.x / numbers.blocks);
  let first_step = i32(group.x % numbers.blocks) * ${queries};
  let steps = (i32(numbers.tokens) - residue + numbers.dilation - 1) / numbers.dilation;
  if (first_step >= steps) { return; }
  let last_step = min(first_step + ${queries}, steps) - 1;
  let first_token = residue + first_step * numbers.dilation;
  let last_token = residue + last_step * numbers.dilation;
  let x = local % 4;
  let y = local / 4;

  var keys: Keys;
  keys.residue = residue;
  keys.first_step = first_step - back(first_token);
  keys.end_step = last_step + ahead(last_token) + 1;
  keys.first_global = i32(first_global(document_of(first_token)));
  keys.end_global = i32(first_global(document_of(last_token) + 1));
  keys.global_tiles = (keys.end_global - keys.first_global + ${tileKeys - 1}) / ${tileKeys};
  let tiles = keys.global_tiles + (keys.end_step - keys.first_step + ${tileKeys - 1}) / ${tileKeys};

  for (var i = local; i < ${queries * quads}; i += ${queries}) {
    let step = min(first_step + i32(i / ${quads}), last_step);
    query_tile[i / ${quads} * ${stride} + i % ${quads}] =
      load_query(u32(residue + step * numbers.dilation), head, i % ${quads}) * numbers.scale;
  }

  // Row r of this invocation is row y + r * ${quarter} of the block. It sees tokens lower .. upper of the band, and global ones start .. end.
  var lower = vec4i(1);
  var upper = vec4i(0);
  var start = vec4i(1);
  var end = vec4i(0);
  for (var r = 0; r < 4; r++) {
    let step = first_step + i32(y) + r * ${quarter};
    if (step > last_step) { continue; }
    let token = residue + step * numbers.dilation;
    if (role(token) != 1) { continue; }
    lower[r] = token - back(token) * numbers.dilation;
    upper[r] = token + ahead(token) * numbers.dilation;
    start[r] = document_start(token);
    end[r] = select(document_end(token) - 1, token, numbers.causal != 0);
  }

  var best = vec4f(${lowest});
  var sum = vec4f(0.0);
  ${each((row, quad) => `var acc_${row}_${quad} = vec4f(0.0);`)}
  for (var t = 0; t < tiles; t++) {
    for (var i = local; i < ${tileKeys * quads}; i += ${queries}) {
      let token = token_of(keys, t, i32(i / ${quads}));
      var values = vec4f(0.0);
      if (token >= 0) { values = load_key(u32(token), head, i % ${quads}); }
      tile[i / ${quads} * ${stride} + i % ${quads}] = values;
    }
    if (local < ${tileKeys}) { tokens_of_tile[local] = token_of(keys, t, i32(local)); }
    workgroupBarrier();

    ${rows(row => `var scores_${row} = vec4f(0.0);`)}
    for (var quad = 0u; quad < ${quads}; quad++) {
      ${rows(row => `let query_${row} = query_tile[(y + ${row * quarter}) * ${stride} + quad];`)}
      ${unroll(
        4,
        key => `let key_${key} = tile[(x + ${4 * key}) * ${stride} + quad];
      ${unroll(4, row => `scores_${row}[${key}] += dot(query_${row}, key_${key});`, '\n      ')}`,
        '\n      ',
      )}
    }
    let tokens = vec4i(tokens_of_tile[x], tokens_of_tile[x + 4], tokens_of_tile[x + 8], tokens_of_tile[x + 12]);
    let is_global = t < keys.global_tiles;
    let from_token = select(lower, start, is_global);
    let to_token = select(upper, end, is_global);
    ${rows(
      row => `let seen_${row} = (tokens >= vec4i(from_token[${row}])) & (tokens <= vec4i(to_token[${row}]));
    let limited_${row} = select(vec4f(${lowest}), scores_${row}, seen_${row});
    maxima[4 * (y + ${row * quarter}) + x] = max(max(limited_${row}.x, limited_${row}.y), max(limited_${row}.z, limited_${row}.w));`,
    )}
    workgroupBarrier();

    var next = best;
    for (var i = 0u; i < 4; i++) {
      next = max(next, vec4f(${unroll(4, row => `maxima[4 * (y + ${row * quarter}) + i]`, ', ')}));
    }
    let shrink = exponential(best - next);
    best = next;
    ${rows(
      row => `let weights_${row} = select(vec4f(0.0), exponential(scores_${row} - next[${row}]), seen_${row});
    weights[4 * (y + ${row * quarter}) + x] = weights_${row};`,
    )}
    sum = sum * shrink + vec4f(${unroll(4, row => `(weights_${row}.x + weights_${row}.y) + (weights_${row}.z + weights_${row}.w)`, ', ')});
    ${each((row, quad) => `acc_${row}_${quad} *= shrink[${row}];`)}
    for (var i = local; i < ${tileKeys * quads}; i += ${queries}) {
      let token = tokens_of_tile[i / ${quads}];
      var values = vec4f(0.0);
      if (token >= 0) { values = load_value(u32(token), head, i % ${quads}); }
      tile[i / ${quads} * ${stride} + i % ${quads}] = values;
    }
    workgroupBarrier();

    for (var i = 0u; i < 4; i++) {
      ${rows(row => `let p_${row} = weights[4 * (y + ${row * quarter}) + i];`)}
      ${unroll(
        4,
        key =>
          unroll(
            own,
            quad => `let value_${key}_${quad} = tile[(i + ${4 * key}) * ${stride} + min(x + ${4 * quad}, ${quads - 1})];
      ${unroll(4, row => `acc_${row}_${quad} = fma(vec4f(p_${row}[${key}]), value_${key}_${quad}, acc_${row}_${quad});`, '\n      ')}`,
            '\n      ',
          ),
        '\n      ',
      )}
    }
    workgroupBarrier();
  }

  ${rows(row => `maxima[4 * (y + ${row * quarter}) + x] = sum[${row}];`)}
  workgroupBarrier();
  ${rows(
    row => `if (first_step + i32(y) + ${row * quarter} <= last_step) {
      let at = 4 * (y + ${row * quarter});
      let total = (maxima[at] + maxima[at + 1]) + (maxima[at + 2] + maxima[at + 3]);
      let row = u32(residue + (first_step + i32(y) + ${row * quarter}) * numbers.dilation);
      ${unroll(own, quad => `if (x + ${4 * quad} < ${quads}) { store_out(row, head, x + ${4 * quad}, select(vec4f(0.0), acc_${row}_${quad} / total, total > 0.0)); }`, '\n      ')}
    }`,
  )}
}`,
  }));
}
