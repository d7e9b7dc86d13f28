/** Weights into the layout the kernels read. */
import type { Tensor } from '../contract/tensor.ts';

/** Columns of a panel. */
const panelColumns = 8;

/** Bytes of a packed linear layer; computed in doubles, so nothing overflows. */
export function packedLinearBytes(inFeatures: number, outFeatures: number): number {
  return Math.ceil(outFeatures / panelColumns) * panelColumns * (inFeatures + 1) * 4;
}

/**
 * weight (outFeatures, inFeatures) → panels of 8 output features: their 8 biases, then (inFeatures, 8). Features that are not there are 0.
 *
 * to: the whole memory as floats; the panels begin at index `at`. Reads the weights once and holds no copy of them.
 */
export function packLinear(to: Float32Array, at: number, weight: Tensor, bias: Tensor | null): void {
  const [outFeatures, inFeatures] = weight.shape as [number, number];
  const from = weight.data;
  for (let first = 0; first < outFeatures; first += panelColumns) {
    const columns = Math.min(panelColumns, outFeatures - first);
    const end = at + panelColumns * (inFeatures + 1);
    if (columns < panelColumns) to.fill(0, at, end);
    for (let column = 0; column < columns; column++) {
      let target = at + column;
      to[target] = bias === null ? 0 : bias.data[first + column]!;
      const row = (first + column) * inFeatures;
      for (let k = row; k < row + inFeatures; k++) {
        target += panelColumns;
        to[target] = from[k]!;
      }
    }
    at = end;
  }
}
