/**
 * The compute calls cut into chunks that any thread may do, in any order.
 *
 * A job is a number of a kernel below, its arguments as 32-bit integers, and a number of chunks. What a chunk computes has the same bits
 * whoever computes it and however many there are: rows, columns, heads and documents never share a sum.
 */
import type { KernelExports } from './instantiate.ts';

/** Does one chunk. `values` and `floats` are two views of the same arguments. */
type Job = (exports: KernelExports, values: Int32Array, floats: Float32Array, chunk: number) => void;

/** Dilations of the heads stand behind this many other arguments. */
export const firstDilation = 20;

const jobs: Record<
  | 'linear'
  | 'addLayerNorm'
  | 'localAttention'
  | 'localProbabilities'
  | 'globalAttention'
  | 'fullAttention'
  | 'fullProbabilities',
  Job
> = {
  /** rows per chunk, columns per chunk (a multiple of 8), chunks in a row; then as exported. */
  linear(exports, values, _floats, chunk) {
    const [chunkRows, chunkColumns, across] = values as unknown as [number, number, number];
    const [out, outStride, input, inputStride, rows, weights, inFeatures, outFeatures, activation] = slice<9>(
      values,
      3,
    );
    const row = Math.floor(chunk / across) * chunkRows;
    const column = (chunk % across) * chunkColumns;
    exports.linear(
      out + 4 * (row * outStride + column),
      outStride,
      input + 4 * row * inputStride,
      inputStride,
      Math.min(chunkRows, rows - row),
      weights + 4 * column * (inFeatures + 1),
      inFeatures,
      Math.min(chunkColumns, outFeatures - column),
      activation,
    );
  },

  /** rows per chunk; then as exported, eps as a float. */
  addLayerNorm(exports, values, floats, chunk) {
    const [chunkRows, out, input, residual, norm, rows, features] = slice<7>(values, 0);
    const row = chunk * chunkRows;
    const at = 4 * row * features;
    exports.addLayerNorm(
      out + at,
      input + at,
      residual === 0 ? 0 : residual + at,
      norm,
      Math.min(chunkRows, rows - row),
      features,
      floats[7]!,
    );
  },

  /** documents per chunk, chunks of a head; then as exported, without head, dilation and range of documents. */
  localAttention(exports, values, _floats, chunk) {
    const [chunkDocuments, across, documentCount, out, query, key, value, hiddenSize, headDim] = slice<9>(values, 0);
    const [oneSidedWindow, causal, roles, documents, globalRows, globalStarts, rows, rowCount] = slice<8>(values, 9);
    const head = Math.floor(chunk / across);
    const document = (chunk % across) * chunkDocuments;
    exports.slidingWindowAttention(
      out,
      query,
      key,
      value,
      hiddenSize,
      head,
      headDim,
      oneSidedWindow,
      values[firstDilation + head]!,
      causal,
      roles,
      documents,
      document,
      Math.min(chunkDocuments, documentCount - document),
      globalRows,
      globalStarts,
      rows,
      rowCount,
    );
  },

  /** Bytes of out for one head; then as exported, without head and dilation. A chunk is a head. */
  localProbabilities(exports, values, _floats, head) {
    const [perHead, out, outFeatures, query, key, hiddenSize, headDim, oneSidedWindow] = slice<8>(values, 0);
    const [causal, roles, documents, document, globalRows, globalStarts] = slice<6>(values, 8);
    exports.slidingWindowProbabilities(
      out + head * perHead,
      outFeatures,
      query,
      key,
      hiddenSize,
      head,
      headDim,
      oneSidedWindow,
      values[firstDilation + head]!,
      causal,
      roles,
      documents,
      document,
      globalRows,
      globalStarts,
    );
  },

  /** Parts of a document; then as exported, with the first document and without their count. */
  globalAttention(exports, values, _floats, chunk) {
    const [parts, out, outFeatures, outRows, query, hiddenStates, hiddenSize, keys] = slice<8>(values, 0);
    const [valueProjection, heads, causal, roles, documents, firstDocument, globalRows, globalStarts] = slice<8>(
      values,
      8,
    );
    exports.globalAttention(
      out,
      outFeatures,
      outRows,
      query,
      hiddenStates,
      hiddenSize,
      keys,
      valueProjection,
      heads,
      causal,
      roles,
      documents,
      firstDocument + Math.floor(chunk / parts),
      1,
      globalRows,
      globalStarts,
      chunk % parts,
      parts,
    );
  },

  /** heads, heads per chunk, groups per chunk; then as exported, without ranges of heads and groups. A chunk is some heads of some groups. */
  fullAttention(exports, values, _floats, chunk) {
    const [heads, chunkHeads, chunkGroups, out, query, key, value, hiddenSize, headDim] = slice<9>(values, 0);
    const [groups, queryCount, keyCount, causal, groupDocuments, documents, roles] = slice<7>(values, 9);
    const across = Math.ceil(heads / chunkHeads);
    const head = (chunk % across) * chunkHeads;
    const group = Math.floor(chunk / across) * chunkGroups;
    exports.fullAttention(
      out,
      query,
      key,
      value,
      hiddenSize,
      headDim,
      head,
      Math.min(chunkHeads, heads - head),
      groups,
      group,
      Math.min(chunkGroups, groups - group),
      queryCount,
      keyCount,
      causal,
      groupDocuments,
      documents,
      roles,
    );
  },

  /** As exported, without head. A chunk is a head. */
  fullProbabilities(exports, values, _floats, head) {
    const [out, outFeatures, query, key, hiddenSize, headDim, groups, group] = slice<8>(values, 0);
    const [queryCount, keyCount, causal, groupDocuments, documents, roles] = slice<6>(values, 8);
    exports.fullProbabilities(
      out,
      outFeatures,
      query,
      key,
      hiddenSize,
      headDim,
      head,
      groups,
      group,
      queryCount,
      keyCount,
      causal,
      groupDocuments,
      documents,
      roles,
    );
  },
};

type Numbers<Length extends number, Sofar extends number[] = []> = Sofar['length'] extends Length
  ? Sofar
  : Numbers<Length, [...Sofar, number]>;

/** `Length` arguments from `first` on. */
function slice<Length extends number>(values: Int32Array, first: number): Numbers<Length> {
  // Both callers' patterns and Numbers say how many are read; reading further would do no harm.
  return values.subarray(first) as unknown as Numbers<Length>;
}

export type JobName = keyof typeof jobs;

const names = Object.keys(jobs) as JobName[];

export const jobNumber = (name: JobName): number => names.indexOf(name);

export const jobOf = (number: number): Job => jobs[names[number]!];
