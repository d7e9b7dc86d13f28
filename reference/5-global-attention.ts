/**
 * 5. Global attention: the rows of the global tokens, with query, key and value projections of their own.
 *
 * A global token sees the whole document. Its local row is thrown away and overwritten with this one. Its *column* (how
 * others see it) stays with the ordinary projections: that part is in 4.
 *
 * Read before: 4-sliding-window-attention.ts. Read next: 6a-loop.ts for how the authors computed it, or 7-longformer.ts.
 */
import { expectShape } from '../contract/errors.ts';
import type { Tensor64 } from '../contract/tensor.ts';
import type { TokenRoles } from './2-patterns.ts';
import { denseAttention } from './3-dense-attention.ts';

/**
 * Attention of the global tokens over all real tokens.
 *
 * queryGlobal: (G, H * D), a row for each global token; keyGlobal, valueGlobal: (T, H * D), all from the *_global
 * projections. Queries are scaled by 1 / √D here. Returns attended (G, H * D) and probs (H, G, T).
 * Source: Paper §3.1, "Linear Projections for Global Attention"; HF _compute_global_attn_output_from_hidden.
 * Differs: causal is ours alone; a global token at row g then sees rows 0..g.
 * @throws ShapeError
 */
export function globalAttention(
  queryGlobal: Tensor64,
  keyGlobal: Tensor64,
  valueGlobal: Tensor64,
  roles: TokenRoles,
  heads: number,
  causal: boolean,
): { attended: Tensor64; probs: Tensor64 } {
  const { attentionMask, globalIndices } = roles;
  const hiddenSize = keyGlobal.shape[1]!;
  expectShape('globalAttention', 'queryGlobal', queryGlobal, [globalIndices.length, hiddenSize]);
  return denseAttention(queryGlobal, keyGlobal, valueGlobal, heads, (slot, j) => {
    const inTime = !causal || j <= globalIndices[slot]!;
    return attentionMask[j] === 1 && inTime;
  });
}

/**
 * Writes the rows of the global tokens over the local result.
 *
 * attended: (T, C), changed in place; globalAttended: (G, C); globalIndices: (G).
 */
export function overwriteGlobalRows(
  attended: Tensor64,
  globalAttended: Tensor64,
  globalIndices: readonly number[],
): void {
  const features = attended.shape[1]!;
  globalIndices.forEach((row, slot) => {
    const from = globalAttended.data.subarray(slot * features, (slot + 1) * features); // (C)
    attended.data.set(from, row * features);
  });
}
