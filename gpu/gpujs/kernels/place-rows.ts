/**
 * Results that are not the whole of their target: a texture cannot be read and written at once, so a new one takes what the old one held
 * and the results.
 */
import { program } from '../program.ts';

/** The old rows, but rows firstRow .. + rowCount have the results in their first `features` columns. */
export const placeRows = program(
  'placeRows',
  { old: 'Rows', result: 'Rows', firstRow: 'Integer', rowCount: 'Integer', features: 'Integer' },
  `
  const column = this.thread.x;
  const from = row - firstRow;
  let value = 0;
  if (from >= 0 && from < rowCount && column < features) {
    value = result[from][column];
  } else {
    value = old[row][column];
  }
  return value;`,
);

/** (rows, 1): which of `count` targets a row is, or -1. */
export const invertRows = program(
  'invertRows',
  { targets: 'Rows', count: 'Integer' },
  `
  let found = -1;
  for (let i = 0; i < count; i += 1) {
    const target = targets[i][0];
    if (target === row) { found = i; }
  }
  return found;`,
);

/** Row r is result row slots[r], or the old one where that is negative. */
export const scatterRows = program(
  'scatterRows',
  { old: 'Rows', result: 'Rows', slots: 'Rows' },
  `
  const column = this.thread.x;
  const slot = slots[row][0];
  let value = 0;
  if (slot >= 0) {
    value = result[slot][column];
  } else {
    value = old[row][column];
  }
  return value;`,
);
