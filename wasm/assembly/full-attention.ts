/**
 * Ordinary attention of a decoder: every key, or every earlier one; in its own cache, or in a packed source document.
 *
 * A step has few queries and reads each key once, so memory is what bounds it: rows are taken one by one, and only the scores of one
 * query exist. They lie in the region of packed rows, which holds MC * PACKED of them.
 */
import { sumOfLanes, maxOfLanes } from './math';
import { packedRows, roundUp8 } from './layout';
import { exponentiate, largestOf } from './softmax';

/** Where the keys of a group are: set by `locate`, read by the loops below. */
let firstKey: i32 = 0;
let keyStride: i32 = 0;
let count: i32 = 0;
let mask: usize = 0;

/** One group's keys: every `groups`-th row of its own cache, or the rows of the document that groupDocuments names. */
@inline
function locate(group: i32, groups: i32, keyCount: i32, groupDocuments: usize, documents: usize, roles: usize): void {
  firstKey = group;
  keyStride = groups;
  count = keyCount;
  mask = 0;
  if (!groupDocuments) return;
  const document = documents + ((<usize>load<i32>(groupDocuments + ((<usize>group) << 2))) << 2);
  firstKey = load<i32>(document);
  keyStride = 1;
  count = load<i32>(document, 4) - firstKey;
  mask = roles + <usize>firstKey;
}

/**
 * One head of one group. query, out: (queryCount * groups, C), row = position * groups + group; the same for key and value of its
 * own cache (groupDocuments = 0). Otherwise key and value are (T, C) of packed documents, and groupDocuments, documents and roles say
 * which rows they are and which of them are padding. Causal: query position i sees key positions up to count - queryCount + i.
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
  locate(group, groups, keyCount, groupDocuments, documents, roles);
  const rowBytes = (<usize>hiddenSize) << 2;
  const offset = (<usize>head * headDim) << 2;
  const keyBytes = <usize>keyStride * rowBytes;
  const keys = key + <usize>firstKey * rowBytes + offset;
  const values = value + <usize>firstKey * rowBytes + offset;
  for (let i = 0; i < queryCount; i++) {
    const row = <usize>(i * groups + group) * rowBytes + offset;
    const seen = causal ? count - queryCount + i + 1 : count;
    memory.fill(out + row, 0, (<usize>headDim) << 2);
    const sum = exponentials(query + row, keys, keyBytes, headDim, seen);
    let at = values;
    for (let j = 0; sum > 0 && j < seen; j++, at += keyBytes) {
      const probability = load<f32>(packedRows + ((<usize>j) << 2)) / sum;
      if (probability !== 0) addScaled(out + row, at, headDim, probability);
    }
  }
}

/** The probabilities of the same head of the same group: out (H * queryCount, outFeatures), row head * queryCount + i. */
export function fullProbabilities(
  out: usize,
  outFeatures: i32,
  query: usize,
  key: usize,
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
  locate(group, groups, keyCount, groupDocuments, documents, roles);
  const rowBytes = (<usize>hiddenSize) << 2;
  const offset = (<usize>head * headDim) << 2;
  const keys = key + <usize>firstKey * rowBytes + offset;
  for (let i = 0; i < queryCount; i++) {
    const row = <usize>(i * groups + group) * rowBytes + offset;
    const seen = causal ? count - queryCount + i + 1 : count;
    const sum = exponentials(query + row, keys, <usize>keyStride * rowBytes, headDim, seen);
    const to = out + ((<usize>((head * queryCount + i) * outFeatures)) << 2);
    for (let j = 0; j < count; j++) {
      const at = (<usize>j) << 2;
      store<f32>(to + at, sum > 0 && j < seen ? load<f32>(packedRows + at) / sum : 0);
    }
  }
}

/** e^(score - largest) of one query and its first `seen` keys, in the region of packed rows; returns their sum, 0 when no key is visible. */
function exponentials(query: usize, keys: usize, keyBytes: usize, headDim: i32, seen: i32): f32 {
  const scores = packedRows;
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>headDim);
  const padded = roundUp8(seen);
  let key = keys;
  for (let j = 0; j < seen; j++, key += keyBytes) {
    const hidden = mask !== 0 && load<u8>(mask + <usize>j) === 0;
    store<f32>(scores + ((<usize>j) << 2), hidden ? -Infinity : dot(query, key, headDim) * scale);
  }
  for (let j = seen; j < padded; j++) store<f32>(scores + ((<usize>j) << 2), -Infinity);
  const largest = maxOfLanes(largestOf(scores, 0, padded, f32x4.splat(-Infinity)));
  if (largest === -Infinity) return 0;
  return sumOfLanes(exponentiate(scores, 0, padded, f32x4.splat(largest)));
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
