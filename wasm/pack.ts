/** Weights into the layout the kernels read. */
import type { Tensor } from '../contract/tensor.ts';

/** Columns of a panel. */
const panelColumns = 8;

/** Bytes of a packed linear layer; computed in doubles, so nothing overflows. */
export function packedLinearBytes(inFeatures: number, outFeatures: number): number {
  return Math.ceil(outFeatures / panelColumns) * panelColumns * (inFeatures + 1) * 4;
}

/** What packing needs of the kernels. */
export interface Packing {
  /** The whole memory as floats. */
  readonly floats: Float32Array;
  /** Index of room for `mostPacked` floats. */
  readonly rows: number;
  /** to, from: addresses. 8 rows of `count` floats, one after another → (count, 8). */
  packPanel(to: number, from: number, count: number): void;
}

/** Floats of the region of packed rows of both builds: MC * PACKED of assembly/layout.ts. */
export const mostPacked = 5 * 32 * 768;

/** Inner features of 8 rows that fit into it. */
const mostFeatures = mostPacked / panelColumns;

/**
 * weight (outFeatures, inFeatures) → panels of 8 output features: their 8 biases, then (inFeatures, 8). Features that are not there are 0.
 *
 * at: index of the first panel. Reads the weights once, 8 rows at a time, and holds no copy of them.
 */
export function packLinear(
  { floats, rows, packPanel }: Packing,
  at: number,
  weight: Tensor,
  bias: Tensor | null,
): void {
  const [outFeatures, inFeatures] = weight.shape as [number, number];
  for (let first = 0; first < outFeatures; first += panelColumns, at += panelColumns * (inFeatures + 1)) {
    const columns = Math.min(panelColumns, outFeatures - first);
    for (let column = 0; column < panelColumns; column++) {
      floats[at + column] = column < columns && bias !== null ? bias.data[first + column]! : 0;
    }
    for (let k = 0; k < inFeatures; k += mostFeatures) {
      const count = Math.min(mostFeatures, inFeatures - k);
      if (columns < panelColumns) floats.fill(0, rows, rows + panelColumns * count);
      // Whole rows lie one after another, so one copy takes all of them.
      const [pieces, length] = count === inFeatures ? [1, columns * count] : [columns, count];
      for (let piece = 0; piece < pieces; piece++) {
        const from = (first + piece) * inFeatures + k;
        floats.set(weight.data.subarray(from, from + length), rows + piece * count);
      }
      packPanel(4 * (at + panelColumns * (k + 1)), 4 * rows, count);
    }
  }
}
