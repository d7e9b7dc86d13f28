/**
 * Attention of global tokens over all real tokens of their document, with projections of their own.
 *
 * Written as it is defined, keys and values of all T' tokens are projected for the sake of a few queries: 4 T' C² operations. The same sum
 * can be associated the other way:
 *
 *     score(s, j) = q_s · (Wk x_j + bk)      = (Wkᵀ q_s) · x_j + constant of the row, which softmax ignores
 *     result(s)   = Σ_j p_j (Wv x_j + bv)    = Wv (Σ_j p_j x_j) + bv
 *
 * for each head, which costs about 4 G' H T' C. The cheaper way is taken for each document by its own numbers, so packing changes nothing.
 */
import { attendHead } from './globals-as-defined';
import { headDim, heads, hiddenSize, length, setCall, setDocument, slots } from './globals-call';
import { attendFolded } from './globals-folded';
import { GROUP, HEAD, min } from './layout';

/**
 * Documents first .. first + count. query: (G, C); hiddenStates: (T, C); projections: packed (linear-f32.ts). Row s of the result goes to
 * row outRows[s] of `out`, outFeatures floats wide. With outRows = 0 the probabilities of the one document go to (H * G', outFeatures) instead.
 * Of the work on a document, only the part-th of `parts` is done: some heads, or some (slot, head).
 */
export function globalAttention(
  out: usize,
  outFeatures: i32,
  outRows: usize,
  query: usize,
  hiddenStates: usize,
  hiddenSize: i32,
  keyProjection: usize,
  valueProjection: usize,
  heads: i32,
  causal: i32,
  roles: usize,
  documents: usize,
  firstDocument: i32,
  documentCount: i32,
  globalRows: usize,
  globalStarts: usize,
  part: i32,
  parts: i32,
): void {
  setCall(
    out,
    outFeatures,
    outRows,
    query,
    hiddenStates,
    hiddenSize,
    keyProjection,
    valueProjection,
    heads,
    causal,
    roles,
    globalRows,
  );
  for (let document = firstDocument; document < firstDocument + documentCount; document++) {
    setDocument(document, documents, globalStarts);
    if (slots === 0) continue;
    if (headDim <= HEAD && !folds()) {
      for (let head = (heads * part) / parts; head < (heads * (part + 1)) / parts; head++) attendHead(head);
    } else {
      const rows = slots * heads;
      const end = <i32>((<i64>rows * (part + 1)) / parts);
      for (let row = <i32>((<i64>rows * part) / parts); row < end; row += GROUP) attendFolded(row, min(GROUP, end - row));
    }
  }
}

/** Whether folding the projections into the queries is cheaper. Multiplications for one document, C² left out where both have it. */
function folds(): bool {
  const c = <f64>hiddenSize;
  const t = <f64>length;
  const s = <f64>slots;
  return s * c + s * <f64>heads * t < t * c + s * t;
}
