/**
 * One post-norm transformer layer as a sequence of kernel calls: 9 without global tokens, 12 with them.
 *
 * Every call is one way; nothing comes back and nothing is allocated.
 * Read before: workspace.ts. Read next: encoder-layers.ts.
 */
import type { Activation } from '../../contract/config.ts';
import type { BandPattern, DeviceRows, Kernels } from '../../contract/kernels.ts';
import type { LayerWeights } from './weights.ts';
import type { ProducedRows, Workspace } from './workspace.ts';

export interface LayerSettings {
  readonly band: BandPattern;
  readonly activation: Activation;
  readonly eps: number;
}

/**
 * hiddenStates of all rows (T, C) → hiddenStates of the produced rows (R, C), in `produced.hiddenStates`. HF LongformerLayer.
 *
 * When all rows are produced, that is the same buffer.
 */
export function encoderLayer(
  kernels: Kernels,
  weights: LayerWeights,
  space: Workspace,
  produced: ProducedRows,
  settings: LayerSettings,
): void {
  attend(kernels, weights, space, produced, settings.band);
  finishLayer(kernels, weights, space.intermediate, produced, settings);
}

/** Local and global attention of the produced rows, into `produced.attended`. HF LongformerSelfAttention. */
export function attend(
  kernels: Kernels,
  weights: LayerWeights,
  space: Workspace,
  produced: ProducedRows,
  band: BandPattern,
): void {
  const { hiddenStates } = space.all; // (T, C)
  const { query, attended, indices, globals } = produced;
  if (indices) kernels.gatherRows(produced.hiddenStates, hiddenStates, indices);

  if (!produced.allGlobal) {
    kernels.linear(query, produced.hiddenStates, weights.query);
    kernels.linear(space.key, hiddenStates, weights.key);
    kernels.linear(space.value, hiddenStates, weights.value);
    kernels.slidingWindowAttention(attended, query, space.key, space.value, space.sequence, band, indices ?? undefined);
  }
  // Global tokens have projections of their own. Paper §3.1, "Linear Projections for Global Attention".
  if (globals) {
    kernels.gatherRows(globals.hiddenStates, hiddenStates, globals.rows);
    kernels.linear(globals.query, globals.hiddenStates, weights.queryGlobal);
    kernels.globalAttention(
      attended,
      globals.query,
      hiddenStates,
      weights.keyGlobal,
      weights.valueGlobal,
      globals.sequence,
      band.heads,
      band.causal,
      globals.outRows,
    );
  }
}

/** From `produced.attended` to the layer's output. */
export function finishLayer(
  kernels: Kernels,
  weights: LayerWeights,
  intermediate: DeviceRows,
  produced: ProducedRows,
  { activation, eps }: LayerSettings,
): void {
  const { hiddenStates, attended } = produced;
  const projected = produced.query; // the local queries are spent
  kernels.linear(projected, attended, weights.attentionOutput);
  kernels.addLayerNorm(hiddenStates, projected, hiddenStates, weights.attentionNorm, eps);
  // In blocks of rows, so that the widest buffer does not grow with the document.
  for (let row = 0; row < hiddenStates.rows; row += intermediate.rows) {
    const rowCount = Math.min(intermediate.rows, hiddenStates.rows - row);
    kernels.linear(intermediate, hiddenStates, weights.intermediate, { activation, inputRow: row, rowCount });
    kernels.linear(projected, intermediate, weights.output, { outRow: row, rowCount });
  }
  kernels.addLayerNorm(hiddenStates, projected, hiddenStates, weights.outputNorm, eps);
}
