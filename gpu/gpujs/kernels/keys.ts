/**
 * Which keys a query sees, as text that every attention kernel is built with.
 *
 * `begin` looks at a query, known by `slot`; `find` gives the row of column `column` in the key store as `keyRow`, -1 when it is masked.
 * Tables: tokens (T, 4) start and end of the token's document, role, document; documents (N + 1, 2) number of the first global
 * token, first row; globals (G, 1) rows. Role: 0 padding, 1 local, 2 global.
 */
import type { ArgumentType } from '../program.ts';

export interface KeySource {
  readonly name: string;
  readonly arguments: Readonly<Record<string, ArgumentType>>;
  readonly begin: string;
  readonly find: string;
}

/** Columns: `globalColumns` for the document's global tokens, then the band from -window to +window. selected: slot i is token rows[i]. */
export const bandKeys = (selected: boolean): KeySource => ({
  name: selected ? 'band of rows' : 'band',
  arguments: {
    tokens: 'Rows',
    documents: 'Rows',
    globals: 'Rows',
    dilations: 'Rows',
    ...(selected ? { rows: 'Rows' } : {}),
    globalColumns: 'Integer',
    window: 'Integer',
    causal: 'Integer',
  },
  begin: `
  const token = ${selected ? 'rows[slot][0]' : 'slot'};
  const start = tokens[token][0];
  const end = tokens[token][1];
  const role = tokens[token][2];
  const ownDocument = tokens[token][3];
  const firstGlobal = documents[ownDocument][0];
  const endGlobal = documents[ownDocument + 1][0];
  const dilation = dilations[head][0];`,
  find: `
  let keyRow = -1;
  if (role === 1) {
    if (column < globalColumns) {
      const globalSlot = firstGlobal + column;
      if (globalSlot < endGlobal) {
        keyRow = globals[globalSlot][0];
        if (causal === 1 && keyRow > token) { keyRow = -1; }
      }
    } else {
      const place = token + (column - globalColumns - window) * dilation;
      if (place >= start && place < end && (causal === 0 || place <= token)) {
        const placeRole = tokens[place][2];
        if (placeRole === 1) { keyRow = place; }
      }
    }
  }`,
});

/** Column j is the j-th token of the global token's document. Slot s is the s-th global token. */
export const globalKeys: KeySource = {
  name: 'global',
  arguments: { tokens: 'Rows', globals: 'Rows', causal: 'Integer' },
  begin: `
  const token = globals[slot][0];
  const start = tokens[token][0];
  const end = tokens[token][1];`,
  find: `
  let keyRow = -1;
  const place = start + column;
  if (place < end && (causal === 0 || place <= token)) {
    const placeRole = tokens[place][2];
    if (placeRole > 0) { keyRow = place; }
  }`,
};

/** Which position and group slot = position * groups + group is, exactly. */
const ofGroup = `
  const position = Math.floor((slot + 0.5) / groups);
  const group = slot - position * groups;`;

/** Column j is position j of a decoder's own cache, time-major. */
export const cacheKeys: KeySource = {
  name: 'cache',
  arguments: { groups: 'Integer', positions: 'Integer', keyCount: 'Integer', causal: 'Integer' },
  begin: `${ofGroup}
  let seen = keyCount;
  if (causal === 1) { seen = keyCount - positions + position + 1; }`,
  find: `
  let keyRow = -1;
  if (column < seen) { keyRow = column * groups + group; }`,
};

/** Column j is the j-th token of the document the group reads; padding is not seen. */
export const documentKeys: KeySource = {
  name: 'documents',
  arguments: {
    tokens: 'Rows',
    documents: 'Rows',
    groupDocuments: 'Rows',
    groups: 'Integer',
    positions: 'Integer',
    causal: 'Integer',
  },
  begin: `${ofGroup}
  const ownDocument = groupDocuments[group][0];
  const start = documents[ownDocument][1];
  const end = documents[ownDocument + 1][1];
  let seen = end - start;
  if (causal === 1) { seen = seen - positions + position + 1; }`,
  find: `
  let keyRow = -1;
  if (column < seen) {
    const place = start + column;
    const placeRole = tokens[place][2];
    if (placeRole > 0) { keyRow = place; }
  }`,
};
