/**
 * Global attention as it is defined: keys and values of one head for the whole document, then tiles of queries.
 *
 * Read before: global-attention.ts.
 */
import {
  firstSlot,
  headDim,
  hiddenSize,
  hiddenStates,
  isHidden,
  keyProjection,
  length,
  out,
  outBytes,
  outRows,
  query,
  rowBytes,
  slots,
  softmaxOf,
  start,
  storeProbabilities,
  valueProjection,
} from './globals-call';
import {
  attendedTile,
  HEAD,
  keyPanels,
  KEYS,
  MC,
  min,
  MR,
  packedRows,
  packedScores,
  panelBytes,
  projected,
  roundUp8,
  scores,
  sums,
  valuePanels,
  zeroRow,
} from './layout';
import { linear, tile } from './linear-f32';
import { packColumns4, packTile, packValueRow } from './pack';
import { scaleRow } from './softmax';

/** One head: the results, or the probabilities, of all global tokens of the document. */
export function attendHead(head: i32): void {
  projectHead(head);
  const columns = roundUp8(length);
  const stride = (<usize>columns) << 2;
  const perPanel = (<usize>headDim) << 5;
  const attendedBytes = <usize>roundUp8(headDim) << 2;
  for (let slot = 0; slot < slots; slot += MR) {
    const count = min(MR, slots - slot);
    const q = query + <usize>(firstSlot + slot) * rowBytes + ((<usize>(head * headDim)) << 2);
    packTile(packedRows, q, rowBytes, count, headDim, <f32>(1.0 / sqrt<f64>(<f64>headDim)));
    for (let column = 0; column < columns; column += 8) {
      const b = keyPanels + <usize>(column >> 3) * perPanel;
      tile(headDim, packedRows, b, scores + ((<usize>column) << 2), stride, zeroRow, 0);
    }
    for (let r = 0; r < count; r++) softmaxOf(r, slot + r, columns);
    if (!outRows) {
      for (let r = 0; r < count; r++) storeProbabilities(r, slot + r, head, columns);
      continue;
    }
    packTile(packedScores, scores, stride, count, columns, 1);
    let panel = valuePanels;
    for (let c = attendedTile, end = attendedTile + attendedBytes; c !== end; c += 32, panel += (<usize>columns) << 5) {
      for (let j = 0; j < columns; j += KEYS) {
        const a = packedScores + ((<usize>(j * MR)) << 2);
        const b = panel + ((<usize>j) << 5);
        if (j === 0) tile(min(KEYS, columns), a, b, c, attendedBytes, zeroRow, 0);
        else tile(min(KEYS, columns - j), a, b, c, attendedBytes, c, attendedBytes);
      }
    }
    for (let r = 0; r < count; r++) {
      const row = load<i32>(outRows + ((<usize>(firstSlot + slot + r)) << 2));
      scaleRow(
        out + <usize>row * outBytes + ((<usize>(head * headDim)) << 2),
        attendedTile + <usize>r * attendedBytes,
        headDim,
        <f32>1.0 / load<f32>(sums + ((<usize>r) << 2)),
      );
    }
  }
}

/** Keys and values of one head for the whole document, MC tokens at a time, into their panels. */
function projectHead(head: i32): void {
  const firstFeature = head * headDim;
  const firstPanel = firstFeature >> 3;
  const panels = ((firstFeature + headDim + 7) >> 3) - firstPanel;
  const width = panels << 3; // ≤ HEAD + 16
  const bytes = (<usize>width) << 2;
  const offset = (<usize>(firstFeature - (firstPanel << 3))) << 2;
  const weights = <usize>firstPanel * panelBytes(hiddenSize);
  const columns = roundUp8(length);
  for (let block = 0; block < length; block += MC) {
    // MC is a multiple of 8: blocks fill whole panels, and the last one is filled up with zeros.
    const count = min(MC, length - block);
    const input = hiddenStates + <usize>(start + block) * rowBytes;
    linear(projected, width, input, hiddenSize, count, keyProjection + weights, hiddenSize, width, 0);
    for (let j = 0; j < roundUp8(count); j += 4) {
      const row = projected + <usize>j * bytes + offset;
      const panel = keyPanels + ((<usize>((block + j) >> 3) * <usize>headDim) << 5) + ((j & 4) << 2);
      packColumns4(
        panel,
        isHidden(block + j) ? zeroRow : row,
        isHidden(block + j + 1) ? zeroRow : row + bytes,
        isHidden(block + j + 2) ? zeroRow : row + bytes * 2,
        isHidden(block + j + 3) ? zeroRow : row + bytes * 3,
        headDim,
      );
    }
    if (!outRows) continue;
    linear(projected, width, input, hiddenSize, count, valueProjection + weights, hiddenSize, width, 0);
    for (let j = 0; j < roundUp8(count); j++) {
      const row = isHidden(block + j) ? zeroRow : projected + <usize>j * bytes + offset;
      packValueRow(valuePanels + ((<usize>(block + j)) << 5), row, headDim, (<usize>columns) << 5);
    }
  }
}
