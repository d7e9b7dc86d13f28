/**
 * The one container for numbers that crosses folders: a shape and its row-major data. No views, no strides, no methods.
 */
export interface Tensor<Data extends Float32Array | Float64Array = Float32Array | Float64Array> {
  /** Extents, outermost first. A scalar has shape []. */
  readonly shape: readonly number[];
  /** Row-major values; length = product of the shape. */
  readonly data: Data;
}

/** A tensor in double precision: what the reference reads and writes. */
export type Tensor64 = Tensor<Float64Array>;
