/** The probabilities of local attention in HF's columns: global keys of the document, then the band. */
import type { BandPattern } from '../../../contract/kernels.ts';
import type { Rows, Sequence } from '../handles.ts';
import type { Dispatch } from '../program.ts';
import { bandKeys } from './keys.ts';
import { scores, softmaxRows } from './probabilities.ts';
import { bandNumbers, headRuns } from './sliding-window-attention.ts';

export function slidingWindowProbabilities(
  out: Rows,
  query: Rows,
  key: Rows,
  sequence: Sequence,
  band: BandPattern,
  document: number,
): Dispatch[] {
  const { bounds, globals, length: tokens, documents } = sequence;
  const firstSlot = bounds[document]!;
  const queries = bounds[document + 1]! - firstSlot;
  const columns = globals[document + 1]! - globals[document]! + 2 * band.oneSidedWindow + 1;
  const ofRuns = headRuns(band.dilation).map(({ first, count, dilation }) =>
    scores({
      out: out.block,
      width: out.features,
      query: query.block,
      key: key.block,
      shape: { hiddenSize: query.features, headDim: query.features / band.heads },
      headRange: [first, count],
      queries,
      firstSlot,
      slotStride: 1,
      firstColumn: 0,
      columns,
      source: bandKeys(false),
      numbers: bandNumbers({ tokens, documents, band }, dilation),
      blocks: [sequence.block],
    }),
  );
  return [...ofRuns, softmaxRows(out.block, band.heads * queries, out.features, columns)];
}
