/**
 * LED's decoder: one layer as kernel calls, for n positions of all groups at once; with a cache behind them, or without.
 *
 * Rows are time-major: row = position * groups + group. Read before: led-encoder.ts. Read next: led-decoding.ts, led-forward.ts.
 */
import type { LedConfig } from '../../contract/config.ts';
import type { DeviceHandle, DeviceIndices, DeviceRows, DeviceSequence, Kernels } from '../../contract/kernels.ts';
import type { CrossRows, ReadSources } from './led-encoder.ts';
import type { AttentionWeights, DecoderLayerWeights } from './led-weights.ts';

/** Buffers of the rows that are computed together: n positions of all groups. */
export interface DecoderRows {
  /** (n * groups, C) */
  readonly hiddenStates: DeviceRows;
  /** (n * groups, C) Queries; later whatever a projection gives. */
  readonly query: DeviceRows;
  /** (n * groups, C) */
  readonly attended: DeviceRows;
  /** (n * groups, decoderIntermediateSize) */
  readonly intermediate: DeviceRows;
}

/** Who reads what. */
export interface DecoderReading {
  readonly sources: ReadSources;
  readonly groups: number;
  /** (groups) The source document of each. */
  readonly groupDocuments: DeviceIndices;
  /** Positions before these. */
  readonly past: number;
  /** A target with padding, as the one document of a sequence of its own; null when all of it is seen. Only for one group, without a past. */
  readonly target: { readonly sequence: DeviceSequence; readonly document: DeviceIndices } | null;
  /** Buffers for the probabilities of group 0: (H * n, past + n) and (H * n, T); null when nobody wants them. */
  readonly probabilities: { readonly self: DeviceRows; readonly cross: DeviceRows } | null;
}

/** Floats of the buffers of `rows` rows. */
export const decoderFloats = ({ hiddenSize, decoderIntermediateSize }: LedConfig, rows: number): number =>
  rows * (3 * hiddenSize + decoderIntermediateSize);

/** keep: sees every handle. */
export function allocateDecoderRows(
  kernels: Kernels,
  { hiddenSize, decoderIntermediateSize }: LedConfig,
  rows: number,
  keep: <Handle extends DeviceHandle>(handle: Handle) => Handle,
): DecoderRows {
  return {
    hiddenStates: keep(kernels.allocate(rows, hiddenSize)),
    query: keep(kernels.allocate(rows, hiddenSize)),
    attended: keep(kernels.allocate(rows, hiddenSize)),
    intermediate: keep(kernels.allocate(rows, decoderIntermediateSize)),
  };
}

/**
 * `rows.hiddenStates` through one post-norm layer, in place; keys and values of these positions are appended to `cache`, (positions * groups, C).
 *
 * HF LEDDecoderLayer.forward.
 */
export function decoderLayer(
  kernels: Kernels,
  config: LedConfig,
  weights: DecoderLayerWeights,
  rows: DecoderRows,
  cache: { readonly key: DeviceRows; readonly value: DeviceRows },
  layer: number,
  { sources, groups, groupDocuments, past, target, probabilities }: DecoderReading,
): void {
  const { hiddenStates, query, attended, intermediate } = rows;
  const { decoderHeads: heads, layerNormEps: eps, hiddenActivation: activation } = config;
  const finish = ({ output, norm }: AttentionWeights): void => {
    kernels.linear(query, attended, output);
    kernels.addLayerNorm(hiddenStates, query, hiddenStates, norm, eps);
  };

  const appended = { outRow: past * groups };
  const own = {
    heads,
    groups,
    keyCount: past + hiddenStates.rows / groups,
    groupDocuments: target?.document ?? null,
    causal: true,
  };
  const seen = target?.sequence ?? null;
  kernels.linear(query, hiddenStates, weights.self.query);
  kernels.linear(cache.key, hiddenStates, weights.self.key, appended);
  kernels.linear(cache.value, hiddenStates, weights.self.value, appended);
  kernels.fullAttention(attended, query, cache.key, cache.value, seen, own);
  if (probabilities) kernels.fullProbabilities(probabilities.self, query, cache.key, seen, own, 0);
  finish(weights.self);

  const cross = { heads, groups, keyCount: 0, groupDocuments, causal: false };
  const { key, value }: CrossRows = sources.cross[layer]!;
  kernels.linear(query, hiddenStates, weights.cross.query);
  kernels.fullAttention(attended, query, key, value, sources.sequence, cross);
  if (probabilities) kernels.fullProbabilities(probabilities.cross, query, key, sources.sequence, cross, 0);
  finish(weights.cross);

  kernels.linear(intermediate, hiddenStates, weights.intermediate, { activation });
  kernels.linear(query, intermediate, weights.output);
  kernels.addLayerNorm(hiddenStates, query, hiddenStates, weights.outputNorm, eps);
}
