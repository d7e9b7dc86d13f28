/**
 * Ordinary attention of a decoder: every key, or every earlier one; in its own cache, or in a packed source document.
 *
 * A step has few queries and reads each key once, so memory is what bounds it: rows are taken one by one, and only the scores of one
 * query exist. They lie in the region of packed rows, which holds MC * PACKED of them.
 */
import { sumOfLanes, maxOfLanes } from './math';
import { packedRows, roundUp8 } from './layout';
import { exponentiate, largestOf } from './softmax';

/**
 * One head of one group. query, out: (queryCount * groups, C), row = position * groups + group; the same for key and value of its
 * own cache (groupDocuments = 0). Otherwise key and value are (T, C) of packed documents, and groupDocuments, documents and roles say
 * which rows they are and which of them are padding. Causal: query position i sees key positions up to keyCount - queryCount + i.
 */
export function fullAttention(
  out: usize,
  query: usize,
  key: usize,
  value: usize,
  hiddenSize: i32,
  headDim: i32,
  head: i32,
  groups: i32,
  group: i32,
  queryCount: i32,
  keyCount: i32,
  causal: i32,
  groupDocuments: usize,
  documents: usize,
  roles: usize,
): void {
  const rowBytes = (<usize>hiddenSize) << 2;
  const offset = (<usize>head * headDim) << 2;
  let first = group;
  let stride = groups;
  let count = keyCount;
  let mask: usize = 0;
  if (groupDocuments) {
    const document = documents + ((<usize>load<i32>(groupDocuments + ((<usize>group) << 2))) << 2);
    first = load<i32>(document);
    stride = 1;
    count = load<i32>(document, 4) - first;
    mask = roles ? roles + <usize>first : 0;
  }
  const keyBytes = <usize>stride * rowBytes;
  const keys = key + <usize>first * rowBytes + offset;
  const values = value + <usize>first * rowBytes + offset;
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>headDim);
  for (let i = 0; i < queryCount; i++) {
    const row = <usize>(i * groups + group) * rowBytes + offset;
    attendRow(out + row, query + row, keys, values, keyBytes, headDim, causal ? count - queryCount + i + 1 : count, mask, scale);
  }
}

/** One query of one head over its first `count` keys. Without a visible key the result is 0. */
function attendRow(
  out: usize,
  query: usize,
  keys: usize,
  values: usize,
  keyBytes: usize,
  headDim: i32,
  count: i32,
  mask: usize,
  scale: f32,
): void {
  const scores = packedRows;
  const padded = roundUp8(count);
  let key = keys;
  for (let j = 0; j < count; j++, key += keyBytes) {
    const hidden = mask !== 0 && load<u8>(mask + <usize>j) === 0;
    store<f32>(scores + ((<usize>j) << 2), hidden ? -Infinity : dot(query, key, headDim) * scale);
  }
  for (let j = count; j < padded; j++) store<f32>(scores + ((<usize>j) << 2), -Infinity);

  memory.fill(out, 0, (<usize>headDim) << 2);
  const largest = maxOfLanes(largestOf(scores, 0, padded, f32x4.splat(-Infinity)));
  if (largest === -Infinity) return;
  const sum = sumOfLanes(exponentiate(scores, 0, padded, f32x4.splat(largest)));
  let value = values;
  for (let j = 0; j < count; j++, value += keyBytes) {
    const probability = load<f32>(scores + ((<usize>j) << 2)) / sum;
    if (probability !== 0) addScaled(out, value, headDim, probability);
  }
}

/** Σ a[d] b[d]. */
function dot(a: usize, b: usize, length: i32): f32 {
  let sum = f32x4.splat(0);
  let d = 0;
  for (; d + 4 <= length; d += 4, a += 16, b += 16) sum = f32x4.add(sum, f32x4.mul(v128.load(a), v128.load(b)));
  let rest: f32 = sumOfLanes(sum);
  for (; d < length; d++, a += 4, b += 4) rest += load<f32>(a) * load<f32>(b);
  return rest;
}

/** out[d] += row[d] * factor. */
function addScaled(out: usize, row: usize, length: i32, factor: f32): void {
  const factors = f32x4.splat(factor);
  let d = 0;
  for (; d + 4 <= length; d += 4, out += 16, row += 16) {
    v128.store(out, f32x4.add(v128.load(out), f32x4.mul(v128.load(row), factors)));
  }
  for (; d < length; d++, out += 4, row += 4) store<f32>(out, load<f32>(out) + load<f32>(row) * factor);
}
