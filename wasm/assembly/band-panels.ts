/**
 * Keys and values of one head in the order in which tiles read them, and which keys are hidden.
 *
 * Read before: band-call.ts. Read next: band-tile.ts.
 */
import {
  globalColumns,
  globalCount,
  globals,
  headOffset,
  key,
  probabilities,
  role,
  rowBytes,
  token,
  value,
} from './band-call';
import { hiddenKeys, keyPanels, roundUp8, valuePanels, zeroRow } from './layout';
import { packColumns4, packValueRow } from './pack';

/** The keys of the residue that are packed, and whether some of them are hidden. */
export let packedFrom: i32 = 0;
export let packedTo: i32 = 0;
export let someHidden: bool = false;

/** Keys from..to are those that the listed queries of the residue see; `from` a multiple of 8. */
export function setPacked(from: i32, to: i32): void {
  packedFrom = from;
  packedTo = to;
  listHidden();
}

/** Marks the keys of the band that nobody sees there: padding, and global ones, which have columns of their own. */
function listHidden(): void {
  someHidden = false;
  for (let m = packedFrom; m < packedTo; m++) {
    const isHidden = role(token(m)) !== 1;
    if (isHidden) someHidden = true;
    store<i32>(hiddenKeys + ((<usize>(m - packedFrom)) << 2), isHidden ? -1 : 0);
  }
}

/** The row of key m, from feature `first` of the head on; zeros where there is nobody to be seen. */
@inline
function bandRow(base: usize, m: i32, to: i32, first: i32): usize {
  if (m >= to) return zeroRow;
  const row = token(m);
  return role(row) === 1 ? base + <usize>row * rowBytes + headOffset + ((<usize>first) << 2) : zeroRow;
}

@inline
function globalRow(base: usize, slot: i32, first: i32): usize {
  if (slot >= globalCount) return zeroRow;
  const row = load<i32>(globals + ((<usize>slot) << 2));
  return base + <usize>row * rowBytes + headOffset + ((<usize>first) << 2);
}

/** Keys from..to of the residue, `features` features of the head from `first` on; `from` a multiple of 8. */
export function packBand(from: i32, to: i32, first: i32, features: i32): void {
  const perPanel = (<usize>features) << 5;
  let panel = keyPanels + <usize>(globalColumns >> 3) * perPanel;
  for (let m = from; m < to; m += 8) {
    packColumns4(
      panel,
      bandRow(key, m, to, first),
      bandRow(key, m + 1, to, first),
      bandRow(key, m + 2, to, first),
      bandRow(key, m + 3, to, first),
      features,
    );
    packColumns4(
      panel + 16,
      bandRow(key, m + 4, to, first),
      bandRow(key, m + 5, to, first),
      bandRow(key, m + 6, to, first),
      bandRow(key, m + 7, to, first),
      features,
    );
    panel += perPanel;
  }
  if (probabilities) return;
  const end = from + roundUp8(to - from);
  const stride = (<usize>(end - from)) << 5;
  let at = valuePanels + (<usize>(globalColumns * roundUp8(features)) << 2);
  for (let m = from; m < end; m++, at += 32) packValueRow(at, bandRow(value, m, to, first), features, stride);
}

/** The same for the global keys of the document; their panels stand before those of the band. */
export function packGlobals(first: i32, features: i32): void {
  const perPanel = (<usize>features) << 5;
  let panel = keyPanels;
  for (let slot = 0; slot < globalColumns; slot += 4) {
    packColumns4(
      panel + ((slot & 4) << 2),
      globalRow(key, slot, first),
      globalRow(key, slot + 1, first),
      globalRow(key, slot + 2, first),
      globalRow(key, slot + 3, first),
      features,
    );
    if (slot & 4) panel += perPanel;
  }
  if (probabilities) return;
  const stride = (<usize>globalColumns) << 5;
  let at = valuePanels;
  for (let slot = 0; slot < globalColumns; slot++, at += 32) {
    packValueRow(at, globalRow(value, slot, first), features, stride);
  }
}
