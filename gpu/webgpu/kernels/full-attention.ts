/** Attention of a decoder, over its own cache or over packed documents, and its probabilities. Few queries: keys are cut into parts. */
import type { FullPattern } from '../../../contract/kernels.ts';
import type { Block } from '../buffers.ts';
import type { Indices, Rows, Sequence } from '../handles.ts';
import type { Dispatch } from '../program.ts';
import { attend, combine, partFloats } from './attend.ts';
import { cacheKeys, documentKeys } from './keys.ts';
import type { Schedule } from './linear.ts';
import { scores, softmaxRows } from './probabilities.ts';

export interface FullCall {
  readonly query: Rows;
  readonly key: Rows;
  readonly sequence: Sequence | null;
  readonly groupDocuments: Indices | null;
  readonly pattern: FullPattern;
}

/** Keys that are worth a part of their own. */
const keysOfPart = 256;
/** Queries x heads beyond which a device is busy without parts. */
const enough = 512;

export function fullAttention(
  call: FullCall & { readonly out: Rows; readonly value: Rows },
  partials: Block,
  schedule: Schedule,
): Dispatch[] {
  const { query, out, sequence, pattern } = call;
  const { heads } = pattern;
  const shape = { hiddenSize: query.features, headDim: query.features / heads };
  const slots = query.rows;
  const keys = sequence ? Math.ceil(sequence.length / sequence.documents) : pattern.keyCount;
  const { source, numbers, blocks } = keysOf(call);
  const attention = {
    query: query.block,
    key: call.key.block,
    value: call.value.block,
    shape,
    heads,
    slots,
    source,
    numbers,
    blocks,
    keys,
  };
  const room = Math.floor(partials.bytes / 4 / (slots * heads * partFloats(shape.headDim)));
  const parts = Math.min(room, Math.ceil(keys / keysOfPart), Math.ceil(enough / (slots * heads)));
  if (parts < 2) return attend(attention, { kind: 'rows', out: out.block }, schedule);
  return [
    ...attend(attention, { kind: 'parts', partials, first: 0, count: parts, of: parts }, schedule),
    combine(out.block, partials, null, shape, heads, slots, parts),
  ];
}

export function fullProbabilities(call: FullCall, out: Rows, group: number): Dispatch[] {
  const { query, sequence, groupDocuments, pattern } = call;
  const { heads, groups, keyCount } = pattern;
  const queries = query.rows / groups;
  const document = groupDocuments?.values[group] ?? 0;
  const columns = sequence ? sequence.bounds[document + 1]! - sequence.bounds[document]! : keyCount;
  const { source, numbers, blocks } = keysOf(call);
  return [
    scores({
      out: out.block,
      width: out.features,
      query: query.block,
      key: call.key.block,
      shape: { hiddenSize: query.features, headDim: query.features / heads },
      headRange: [0, heads],
      queries,
      firstSlot: group,
      slotStride: groups,
      firstColumn: 0,
      columns,
      source,
      numbers,
      blocks,
    }),
    softmaxRows(out.block, heads * queries, out.features, columns),
  ];
}

function keysOf({ query, sequence, groupDocuments, pattern }: FullCall) {
  const { groups, causal, keyCount } = pattern;
  const numbers = { groups, positions: query.rows / groups, causal: Number(causal) };
  if (!sequence || !groupDocuments)
    return { source: cacheKeys, numbers: { ...numbers, key_count: keyCount }, blocks: [] };
  const { length: tokens, documents } = sequence;
  return {
    source: documentKeys,
    numbers: { ...numbers, tokens, documents },
    blocks: [sequence.block, groupDocuments.block],
  };
}
