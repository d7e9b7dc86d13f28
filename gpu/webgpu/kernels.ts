/**
 * The compute half of the seam: handles in, recorded calls out. Nothing here runs or waits.
 *
 * Read before: contract/kernels.ts, memory.ts.
 */
import type {
  BandPattern,
  DeviceIndices,
  DeviceLinear,
  DeviceNorm,
  DeviceRows,
  DeviceSequence,
  FullPattern,
  Kernels,
  LinearOptions,
} from '../../contract/kernels.ts';
import type { Block } from './buffers.ts';
import { expectInside, Indices, Linear, Norm, Rows, Sequence } from './handles.ts';
import { addLayerNorm } from './kernels/add-layer-norm.ts';
import { fullAttention, fullProbabilities } from './kernels/full-attention.ts';
import { gatherRows } from './kernels/gather-rows.ts';
import { globalAttention, globalProbabilities } from './kernels/global-attention.ts';
import { linear } from './kernels/linear.ts';
import { slidingWindowAttention } from './kernels/sliding-window-attention.ts';
import { slidingWindowProbabilities } from './kernels/sliding-window-probabilities.ts';
import { DeviceMemory } from './memory.ts';
import type { Dispatch } from './program.ts';

export class WebGpuKernels extends DeviceMemory implements Kernels {
  linear(out: DeviceRows, input: DeviceRows, weights: DeviceLinear, options: LinearOptions = {}): void {
    const to = this.use(out, Rows);
    const from = this.use(input, Rows);
    const { activation = 'linear', inputRow = 0, outRow = 0, rowCount = from.rows - inputRow } = options;
    expectInside(from, inputRow, rowCount);
    expectInside(to, outRow, rowCount);
    this.record(
      this.#linear(to.block, from.block, this.use(weights, Linear), { activation, inputRow, outRow, rowCount }),
    );
  }

  addLayerNorm(out: DeviceRows, input: DeviceRows, residual: DeviceRows | null, norm: DeviceNorm, eps: number): void {
    const to = this.use(out, Rows);
    const from = this.use(input, Rows);
    expectInside(to, 0, from.rows);
    const { rows, features } = from;
    const other = residual && this.use(residual, Rows).block;
    const call = {
      out: to.block,
      input: from.block,
      residual: other,
      norm: this.use(norm, Norm).block,
      eps,
      rows,
      features,
    };
    this.record([addLayerNorm(call, this.settings.schedule)]);
  }

  slidingWindowAttention(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    value: DeviceRows,
    sequence: DeviceSequence,
    band: BandPattern,
    rows?: DeviceIndices,
  ): void {
    const to = this.use(out, Rows);
    const known = this.use(sequence, Sequence);
    const wanted = rows === undefined ? null : this.use(rows, Indices);
    expectInside(to, 0, wanted?.length ?? known.length);
    const call = {
      out: to.block,
      query: this.use(query, Rows).block,
      key: this.use(key, Rows).block,
      value: this.use(value, Rows).block,
      sequence: known.block,
      tokens: known.length,
      documents: known.documents,
      band,
      shape: { hiddenSize: to.features, headDim: to.features / band.heads },
      rows: wanted,
    };
    const { schedule, limits } = this.settings;
    this.record(slidingWindowAttention(call, schedule, limits.maxComputeWorkgroupStorageSize));
  }

  slidingWindowProbabilities(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    sequence: DeviceSequence,
    band: BandPattern,
    document: number,
  ): void {
    const to = this.use(out, Rows);
    const from = this.use(query, Rows);
    const known = this.use(sequence, Sequence);
    expectInside(to, 0, band.heads * (known.bounds[document + 1]! - known.bounds[document]!));
    this.record(slidingWindowProbabilities(to, from, this.use(key, Rows), known, band, document));
  }

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
  ): void {
    const call = {
      out: this.use(out, Rows),
      outRows: this.use(outRows, Indices),
      query: this.use(query, Rows),
      sequence: this.use(sequence, Sequence),
      project: this.#projector(hiddenStates),
      hiddenStates: this.use(hiddenStates, Rows).block,
      keyProjection: this.use(keyProjection, Linear),
      valueProjection: this.use(valueProjection, Linear),
      half: this.settings.half,
      heads,
      causal,
    };
    this.record(globalAttention(call, this.scratch, this.settings.schedule));
  }

  globalProbabilities(
    out: DeviceRows,
    query: DeviceRows,
    hiddenStates: DeviceRows,
    keyProjection: DeviceLinear,
    sequence: DeviceSequence,
    heads: number,
    causal: boolean,
    document: number,
  ): void {
    const call = {
      out: this.use(out, Rows),
      query: this.use(query, Rows),
      sequence: this.use(sequence, Sequence),
      project: this.#projector(hiddenStates),
      keyProjection: this.use(keyProjection, Linear),
      heads,
      causal,
    };
    this.record(globalProbabilities(call, this.scratch, document));
  }

  fullAttention(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    value: DeviceRows,
    sequence: DeviceSequence | null,
    pattern: FullPattern,
  ): void {
    const call = {
      ...this.#fullCall(query, key, sequence, pattern),
      out: this.use(out, Rows),
      value: this.use(value, Rows),
    };
    expectInside(call.out, 0, call.query.rows);
    this.record(fullAttention(call, this.scratch.get('partials'), this.settings.schedule));
  }

  fullProbabilities(
    out: DeviceRows,
    query: DeviceRows,
    key: DeviceRows,
    sequence: DeviceSequence | null,
    pattern: FullPattern,
    group: number,
  ): void {
    const to = this.use(out, Rows);
    this.record(fullProbabilities(this.#fullCall(query, key, sequence, pattern), to, group));
  }

  gatherRows(out: DeviceRows, input: DeviceRows, indices: DeviceIndices): void {
    const to = this.use(out, Rows);
    const from = this.use(input, Rows);
    const { block, length } = this.use(indices, Indices);
    expectInside(to, 0, length);
    this.record([gatherRows(to.block, from.block, block, length, from.features)]);
  }

  /** One dispatch for each buffer the weights lie in. */
  #linear(out: Block, input: Block, weights: Linear, rows: Required<LinearOptions>): Dispatch[] {
    const { inFeatures, outFeatures } = weights;
    const { half, schedule } = this.settings;
    return weights.parts.map(({ block, firstColumn, columns }) =>
      linear({ out, input, weights: block, half, inFeatures, outFeatures, firstColumn, columns, ...rows }, schedule),
    );
  }

  /** Rows firstRow .. + rowCount of the hidden states through a linear layer, to the first rows of `out`. */
  #projector(hiddenStates: DeviceRows) {
    const { block } = this.use(hiddenStates, Rows);
    return (out: Block, weights: Linear, inputRow: number, rowCount: number): Dispatch[] =>
      this.#linear(out, block, weights, { activation: 'linear', inputRow, outRow: 0, rowCount });
  }

  #fullCall(query: DeviceRows, key: DeviceRows, sequence: DeviceSequence | null, pattern: FullPattern) {
    return {
      query: this.use(query, Rows),
      key: this.use(key, Rows),
      sequence: sequence && this.use(sequence, Sequence),
      groupDocuments: pattern.groupDocuments && this.use(pattern.groupDocuments, Indices),
      pattern,
    };
  }
}
