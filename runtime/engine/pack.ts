/**
 * Documents, one after the other in one row space, and what is known about their tokens before any arithmetic.
 *
 * No padding row is ever added; `linear` and `addLayerNorm` see one tall matrix, attention sees the boundaries.
 * Read before: weights.ts. Read next: embed.ts.
 */
import { sequenceLengthOf } from '../../contract/encoder-inputs.ts';
import type { SequenceRoles } from '../../contract/kernels.ts';
import type { EncoderInputs } from '../../contract/model.ts';

export interface Packed {
  readonly documents: readonly EncoderInputs[];
  /** (documents) First row of each. */
  readonly starts: Int32Array;
  /** (documents) Number of rows of each. */
  readonly lengths: Int32Array;
  /** T, the rows of all of them. */
  readonly rows: number;
  readonly roles: SequenceRoles;
  /** (documents) Number of global tokens of each. */
  readonly globalCounts: Int32Array;
}

/** documents: with the global attention masks that are to be used. HF: the two masks are multiplied, see tokenState. */
export function packDocuments(documents: readonly EncoderInputs[]): Packed {
  const lengths = Int32Array.from(documents, sequenceLengthOf);
  const starts = new Int32Array(documents.length);
  for (let document = 1; document < documents.length; document++) {
    starts[document] = starts[document - 1]! + lengths[document - 1]!;
  }
  const rows = lengths.reduce((sum, length) => sum + length, 0);
  const attentionMask = new Uint8Array(rows);
  const globalIndices: number[] = [];
  const globalCounts = new Int32Array(documents.length);
  for (const [document, inputs] of documents.entries()) {
    for (let t = 0; t < lengths[document]!; t++) {
      const state = tokenState(inputs, t);
      attentionMask[starts[document]! + t] = state > 0 ? 1 : 0;
      if (state < 2) continue;
      globalIndices.push(starts[document]! + t);
      globalCounts[document]!++;
    }
  }
  const roles = { documentStarts: starts, attentionMask, globalIndices: Int32Array.from(globalIndices) };
  return { documents, starts, lengths, rows, roles, globalCounts };
}

/** 0 masked, 1 local, 2 global. Subtle: masked beats global, and a global mask of -1 masks. */
function tokenState({ attentionMask, globalAttentionMask }: EncoderInputs, t: number): number {
  const real = attentionMask ? attentionMask[t]! : 1;
  const mark = globalAttentionMask ? globalAttentionMask[t]! : 0;
  return real * (mark + 1);
}
