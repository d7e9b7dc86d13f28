/**
 * Which keys a query sees, as text that every attention kernel is built with.
 *
 * A query is a slot of the query buffer. `begin_query` finds its candidates, numbered from 0; `key_row` gives the row of a
 * candidate in the key buffer, or -1 when it is masked. `column_candidate` maps a column of the probabilities to a
 * candidate, or -1. All three depend on read-only buffers alone, so control flow stays uniform.
 */
import type { Binding, NumberType } from '../program.ts';

export interface KeySource {
  readonly name: string;
  readonly numbers: Readonly<Record<string, NumberType>>;
  readonly bindings: Readonly<Record<string, Binding>>;
  readonly code: string;
}

const integers: Binding = { access: 'read', type: 'array<i32>' };

/**
 * The packed documents in one buffer of integers, T tokens, N documents:
 * (T, 4) start and end of the token's document, role, document; (N + 1) number of the first global token of each document;
 * (N + 1) first row of each document; (G) rows of the global tokens. Role: 0 padding, 1 local, 2 global.
 */
export const sequenceNumbers = { tokens: 'u32', documents: 'u32' } as const;
export const sequenceCode = `
fn document_start(token: i32) -> i32 { return sequence[4 * token]; }
fn document_end(token: i32) -> i32 { return sequence[4 * token + 1]; }
fn role(token: i32) -> i32 { return sequence[4 * token + 2]; }
fn document_of(token: i32) -> u32 { return u32(sequence[4 * token + 3]); }
fn first_global(document: u32) -> u32 { return u32(sequence[4 * numbers.tokens + document]); }
fn first_row(document: u32) -> i32 { return sequence[4 * numbers.tokens + numbers.documents + 1 + document]; }
fn global_row(slot: u32) -> i32 { return sequence[4 * numbers.tokens + 2 * numbers.documents + 2 + slot]; }
`;

/** Band and global keys of local tokens. selected: slot i is token rows[i] instead of i. */
export const bandKeys = (selected: boolean): KeySource => ({
  name: selected ? 'band of rows' : 'band',
  numbers: { ...sequenceNumbers, window: 'i32', dilation: 'i32', causal: 'u32' },
  bindings: selected ? { sequence: integers, rows: integers } : { sequence: integers },
  code: `${sequenceCode}
struct Query { row: u32, out_row: u32, candidates: u32, token: i32, globals: u32, first_global: u32, back: i32, ahead: i32 }
fn begin_query(slot: u32) -> Query {
  let token = ${selected ? 'rows[slot]' : 'i32(slot)'};
  if (role(token) != 1) { return Query(slot, slot, 0, token, 0, 0, 0, 0); }
  let document = document_of(token);
  let first = first_global(document);
  let globals = first_global(document + 1) - first;
  let back = min(numbers.window, (token - document_start(token)) / numbers.dilation);
  let ahead = select(min(numbers.window, (document_end(token) - 1 - token) / numbers.dilation), 0, numbers.causal != 0);
  return Query(slot, slot, globals + u32(back + ahead + 1), token, globals, first, back, ahead);
}
fn key_row(query: Query, candidate: u32) -> i32 {
  if (candidate < query.globals) {
    let row = global_row(query.first_global + candidate);
    return select(row, -1, numbers.causal != 0 && row > query.token);
  }
  let row = query.token + (i32(candidate - query.globals) - query.back) * numbers.dilation;
  return select(-1, row, role(row) == 1);
}
fn column_candidate(query: Query, column: u32) -> i32 {
  if (query.candidates == 0) { return -1; }
  if (column < query.globals) { return i32(column); }
  let step = i32(column - query.globals) - numbers.window;
  if (step < -query.back || step > query.ahead) { return -1; }
  return i32(query.globals) + step + query.back;
}
`,
});

/**
 * Keys of global tokens: their documents, as far as tokens chunk_first .. chunk_end go; the key buffer begins at chunk_first.
 * Slot s is the s-th global token, its result goes to row out_rows[s].
 */
export const globalKeys: KeySource = {
  name: 'global',
  numbers: { ...sequenceNumbers, causal: 'u32', chunk_first: 'i32', chunk_end: 'i32' },
  bindings: { sequence: integers, out_rows: integers },
  code: `${sequenceCode}
struct Query { row: u32, out_row: u32, candidates: u32, start: i32, first: i32 }
fn begin_query(slot: u32) -> Query {
  let token = global_row(slot);
  let start = document_start(token);
  let first = max(start, numbers.chunk_first);
  let end = min(select(document_end(token), token + 1, numbers.causal != 0), numbers.chunk_end);
  return Query(slot, u32(out_rows[slot]), u32(max(0, end - first)), start, first);
}
fn key_row(query: Query, candidate: u32) -> i32 {
  let token = query.first + i32(candidate);
  return select(token - numbers.chunk_first, -1, role(token) == 0);
}
fn column_candidate(query: Query, column: u32) -> i32 {
  let candidate = query.start + i32(column) - query.first;
  return select(-1, candidate, candidate >= 0 && candidate < i32(query.candidates));
}
`,
};

const fullNumbers = { groups: 'u32', positions: 'i32', causal: 'u32' } as const;
const everyColumn = `
fn column_candidate(query: Query, column: u32) -> i32 { return select(-1, i32(column), column < query.candidates); }
`;

/** Keys of a decoder's own cache, time-major. */
export const cacheKeys: KeySource = {
  name: 'cache',
  numbers: { ...fullNumbers, key_count: 'i32' },
  bindings: {},
  code: `
struct Query { row: u32, out_row: u32, candidates: u32, group: u32 }
fn begin_query(slot: u32) -> Query {
  let position = i32(slot / numbers.groups);
  let seen = select(numbers.key_count, numbers.key_count - numbers.positions + position + 1, numbers.causal != 0);
  return Query(slot, slot, u32(max(0, seen)), slot % numbers.groups);
}
fn key_row(query: Query, candidate: u32) -> i32 { return i32(candidate * numbers.groups + query.group); }
${everyColumn}`,
};

/** Keys of packed documents, one for each group; padding is not seen. */
export const documentKeys: KeySource = {
  name: 'documents',
  numbers: { ...fullNumbers, ...sequenceNumbers },
  bindings: { sequence: integers, group_documents: integers },
  code: `${sequenceCode}
struct Query { row: u32, out_row: u32, candidates: u32, first: i32 }
fn begin_query(slot: u32) -> Query {
  let document = u32(group_documents[slot % numbers.groups]);
  let first = first_row(document);
  let count = first_row(document + 1) - first;
  let seen = select(count, count - numbers.positions + i32(slot / numbers.groups) + 1, numbers.causal != 0);
  return Query(slot, slot, u32(max(0, seen)), first);
}
fn key_row(query: Query, candidate: u32) -> i32 {
  let token = query.first + i32(candidate);
  return select(token, -1, role(token) == 0);
}
${everyColumn}`,
};
