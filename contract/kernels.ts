/**
 * The inner seam: what a fast backend must provide, and nothing else.
 *
 * Rules every implementation keeps:
 * - there is no batch axis: documents are packed one after another, and attention never crosses a boundary;
 * - the output comes first, is allocated by the caller, and nothing is allocated during a forward pass;
 * - a compute call takes handles, plain numbers, and patterns made when the model was loaded: it never uploads;
 * - a compute call may be deferred, but all calls take effect in the order they were made;
 * - only `read` waits for the device; the engine may yield to the event loop between calls (abort, progress);
 * - an output is never an input as well, except where a call says so;
 * - attention kernels scale the queries by 1 / √headDim themselves;
 * - the result of a document does not depend, to the last bit, on what is packed beside it (CPU backends).
 *
 * Rows are float32, except in a backend made for checking. H heads, D headDim, C = H * D hiddenSize, T rows of all packed documents together.
 */
import type { Activation } from './config.ts';
import type { Tensor } from './tensor.ts';

declare const device: unique symbol;

/** Rows that live inside one backend, shape (rows, features). Opaque outside it. */
export interface DeviceRows {
  readonly [device]: 'rows';
  readonly rows: number;
  readonly features: number;
}

/** A linear layer in the backend's own layout and number format. */
export interface DeviceLinear {
  readonly [device]: 'linear';
  readonly inFeatures: number;
  readonly outFeatures: number;
}

/** The gamma and beta of one layer norm. */
export interface DeviceNorm {
  readonly [device]: 'norm';
  readonly features: number;
}

/** What is known about the tokens of the packed documents before any arithmetic starts. */
export interface SequenceRoles {
  /** (documents) Row at which each document begins, ascending from 0; the last one ends at T. */
  readonly documentStarts: Int32Array;
  /** (T) 1 = real token, 0 = padding the caller insisted on. */
  readonly attentionMask: Uint8Array;
  /** (G) Ascending rows with global attention; every one of them is a real token. */
  readonly globalIndices: Int32Array;
}

export interface DeviceSequence {
  readonly [device]: 'sequence';
  readonly length: number;
  readonly globalCount: number;
}

/** A list of row numbers. */
export interface DeviceIndices {
  readonly [device]: 'indices';
  readonly length: number;
}

/** Which keys a local query sees. Constant for a layer. Paper §3.1. */
export interface BandPattern {
  readonly heads: number;
  /** Keys seen on each side, the query itself not counted: HF `attention_window / 2`. */
  readonly oneSidedWindow: number;
  /** (H) Distance between neighbouring keys; 1 = no gaps. */
  readonly dilation: readonly number[];
  /** True: only keys at or before the query, global ones too. */
  readonly causal: boolean;
}

/**
 * Ordinary attention of a decoder. `groups` independent hypotheses (beams) share one call.
 *
 * Rows are time-major: row = position * groups + group. So a decoding step writes neighbouring rows of the key cache, and
 * reordering beams is one `gatherRows`.
 */
export interface FullPattern {
  readonly heads: number;
  readonly groups: number;
  /** Own cache: positions that may be read; later rows are ignored. With documents: not looked at. */
  readonly keyCount: number;
  /** (groups) The packed document each group reads, usually a source; row = position. Null: own cache. */
  readonly groupDocuments: DeviceIndices | null;
  /** True: the i-th of n query positions sees key positions up to count - n + i; count is keyCount, or the length of the group's document. */
  readonly causal: boolean;
}

export interface LinearOptions {
  readonly activation?: Activation;
  /** Defaults: all rows of `input`, written from row 0 of `out`. */
  readonly inputRow?: number;
  readonly outRow?: number;
  readonly rowCount?: number;
}

/** Anything `free` gives back. */
export type DeviceHandle = DeviceRows | DeviceLinear | DeviceNorm | DeviceSequence | DeviceIndices;

export interface Kernels {
  readonly name: string;

  // ---- memory ----
  /** weight: (outFeatures, inFeatures); bias: (outFeatures) or null. Like everything given to `load…`, they may change after the call. */
  loadLinear(weight: Tensor, bias: Tensor | null): DeviceLinear;
  loadNorm(gamma: Tensor, beta: Tensor): DeviceNorm;
  loadSequence(roles: SequenceRoles): DeviceSequence;
  loadIndices(rows: Int32Array): DeviceIndices;
  /** Overwrites as many row numbers as the handle has: the parents of beams change with every step, and nothing is allocated in one. */
  writeIndices(target: DeviceIndices, rows: Int32Array): void;
  /** @throws MemoryError when the backend cannot hold them. */
  allocate(rows: number, features: number): DeviceRows;
  /** Values are rounded to what the backend stores. */
  write(target: DeviceRows, values: Float32Array | Float64Array, firstRow?: number): void;
  read(source: DeviceRows, firstRow: number, rowCount: number): Promise<Float32Array | Float64Array>;
  free(...handles: DeviceHandle[]): void;
  /** Bytes that can still be allocated, as far as is known before trying. Infinity when nothing is known. */
  availableBytes(): number;
  /**
   * So many bytes are going to be loaded and allocated: what can be done once for all of them may be done now. Only a hint; what cannot be had is
   * refused when it is asked for.
   */
  reserve?(bytes: number): void;
  /** Gives everything back; no handle is good afterwards. */
  dispose(): void;

  // ---- compute ----
  /** out[outRow + t] = activation(input[inputRow + t] Wᵀ + bias) for t in 0..rowCount. */
  linear(out: DeviceRows, input: DeviceRows, weights: DeviceLinear, options?: LinearOptions): void;

  /** out[t] = layerNorm(input[t] + residual[t]) for every row of `input`; `out` may be `input` or `residual`. */
  addLayerNorm(out: DeviceRows, input: DeviceRows, residual: DeviceRows | null, norm: DeviceNorm, eps: number): void;

  /**
   * Local attention: softmax over (the band without global keys) and (all global keys of the document) together.
   *
   * key, value: (T, C). Without `rows`: query, out: (T, C). With `rows` (ascending): query, out: (rows.length, C), row i
   * belongs to token rows[i]. Rows of padding are 0; rows of global tokens are 0 or anything, globalAttention writes them.
   */
  slidingWindowAttention(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    value: DeviceRows,
    sequence: DeviceSequence,
    band: BandPattern,
    rows?: DeviceIndices,
  ): void;

  /**
   * The probabilities the call above never stores, of one document with T' tokens and G' global ones, in HF's columns.
   *
   * out: at least (H * T', G' + 2 * oneSidedWindow + 1), row head * T' + i; wider rows keep what they held behind these columns. Rows
   * of padding and of global tokens are 0. query is the one of slidingWindowAttention without `rows`.
   */
  slidingWindowProbabilities(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    sequence: DeviceSequence,
    band: BandPattern,
    document: number,
  ): void;

  /**
   * Attention of global tokens over all real tokens of their document; causal: over those at or before them.
   *
   * query: (G, C), row s belongs to the s-th global token of `sequence`, already projected. Result s goes to row outRows[s] of `out`. Keys
   * and values are `keyProjection` and `valueProjection` of `hiddenStates` (T, C); whether they are ever materialised is up to
   * the backend.
   */
  globalAttention(
    out: DeviceRows,
    query: DeviceRows,
    hiddenStates: DeviceRows,
    keyProjection: DeviceLinear,
    valueProjection: DeviceLinear,
    sequence: DeviceSequence,
    heads: number,
    causal: boolean,
    outRows: DeviceIndices,
  ): void;

  /** Probabilities of the call above for one document. out: at least (H * G', T'), row head * G' + slot; query: (G, C) as above. */
  globalProbabilities(
    out: DeviceRows,
    query: DeviceRows,
    hiddenStates: DeviceRows,
    keyProjection: DeviceLinear,
    sequence: DeviceSequence,
    heads: number,
    causal: boolean,
    document: number,
  ): void;

  /**
   * query, out: (n * groups, C). Own cache (`sequence` null): key, value time-major, (at least keyCount * groups, C).
   * Cross-attention: key, value (T, C) of the packed documents of `sequence`, whose padding is not seen. A query that sees no key gets 0.
   */
  fullAttention(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    value: DeviceRows,
    sequence: DeviceSequence | null,
    pattern: FullPattern,
  ): void;

  /**
   * The probabilities the call above never stores, of one group with n queries and `keys` keys (keyCount, or the tokens of its document).
   *
   * out: at least (H * n, keys), row head * n + i; wider rows keep what they held behind. A query that sees no key gets a row of 0.
   */
  fullProbabilities(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    sequence: DeviceSequence | null,
    pattern: FullPattern,
    group: number,
  ): void;

  /** out[i] = input[indices[i]]. */
  gatherRows(out: DeviceRows, input: DeviceRows, indices: DeviceIndices): void;
}
