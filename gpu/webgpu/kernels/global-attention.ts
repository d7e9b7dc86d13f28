/**
 * Attention of global tokens over all real tokens of their documents, and its probabilities.
 *
 * Few global tokens: folded-attention.ts. For more of them, keys and values are projected for a chunk of tokens at a time, so scratch does
 * not grow with the documents (scratch.ts). Each chunk is cut into parts that work side by side, because few queries alone would leave the
 * device idle.
 */
import type { Block } from '../buffers.ts';
import type { Indices, Linear, Rows, Sequence } from '../handles.ts';
import type { Dispatch } from '../program.ts';
import { type Chunks, chunksOf, mostFolded, type Scratch } from '../scratch.ts';
import { attend, combine } from './attend.ts';
import { foldedAttention } from './folded-attention.ts';
import { globalKeys } from './keys.ts';
import type { Schedule } from './linear.ts';
import { scores, softmaxRows } from './probabilities.ts';

interface GlobalCall {
  readonly out: Rows;
  readonly query: Rows;
  readonly sequence: Sequence;
  /** Rows of the hidden states through a linear layer, to the beginning of a block. */
  readonly project: (out: Block, weights: Linear, firstRow: number, rowCount: number) => Dispatch[];
  readonly keyProjection: Linear;
  readonly heads: number;
  readonly causal: boolean;
}

export interface GlobalAttentionCall extends GlobalCall {
  readonly valueProjection: Linear;
  readonly outRows: Indices;
  readonly hiddenStates: Block;
  readonly half: boolean;
}

export function globalAttention(call: GlobalAttentionCall, scratch: Scratch, schedule: Schedule): Dispatch[] {
  const { sequence, out, outRows, heads } = call;
  const { globalCount: slots } = sequence;
  if (slots === 0) return [];
  const inOneBuffer = call.keyProjection.parts.length === 1 && call.valueProjection.parts.length === 1;
  if (slots * heads <= mostFolded && inOneBuffer) return foldedAttention(call, scratch, schedule);
  const shape = { hiddenSize: out.features, headDim: out.features / heads };
  const chunks = chunksOf(sequence.length, slots);
  const of = chunks.count * chunks.splits;
  const [key, value, partials] = [scratch.get('globalKeys'), scratch.get('globalValues'), scratch.get('partials')];
  const perChunk = tokenRanges(sequence.length, chunks).flatMap(([first, end], chunk) => [
    ...call.project(key, call.keyProjection, first, end - first),
    ...call.project(value, call.valueProjection, first, end - first),
    ...attend(
      {
        query: call.query.block,
        key,
        value,
        shape,
        heads,
        slots,
        source: globalKeys,
        numbers: numbersOf(call, first, end),
        blocks: [sequence.block, outRows.block],
        keys: end - first,
      },
      { kind: 'parts', partials, first: chunk * chunks.splits, count: chunks.splits, of },
      schedule,
    ),
  ]);
  return [...perChunk, combine(out.block, partials, outRows.block, shape, heads, slots, of)];
}

export function globalProbabilities(call: GlobalCall, scratch: Scratch, document: number): Dispatch[] {
  const { sequence, out, query, heads } = call;
  const { bounds, globals } = sequence;
  const [start, end] = [bounds[document]!, bounds[document + 1]!];
  const firstSlot = globals[document]!;
  const queries = globals[document + 1]! - firstSlot;
  if (queries === 0) return [];
  const shape = { hiddenSize: query.features, headDim: query.features / heads };
  const key = scratch.get('globalKeys');
  const ranges = tokenRanges(end - start, chunksOf(sequence.length, sequence.globalCount));
  const perChunk = ranges.flatMap(([first, stop]) => [
    ...call.project(key, call.keyProjection, start + first, stop - first),
    scores({
      out: out.block,
      width: out.features,
      query: query.block,
      key,
      shape,
      headRange: [0, heads],
      queries,
      firstSlot,
      slotStride: 1,
      firstColumn: first,
      columns: stop - first,
      source: globalKeys,
      numbers: numbersOf(call, start + first, start + stop),
      blocks: [sequence.block, sequence.block], // nobody asks for the rows of the output here
    }),
  ]);
  return [...perChunk, softmaxRows(out.block, heads * queries, out.features, end - start)];
}

const numbersOf = ({ sequence, causal }: GlobalCall, first: number, end: number) => ({
  tokens: sequence.length,
  documents: sequence.documents,
  causal: Number(causal),
  chunk_first: first,
  chunk_end: end,
});

/** First token and end of each chunk. */
function tokenRanges(tokens: number, { rows }: Chunks): [number, number][] {
  return Array.from({ length: Math.ceil(tokens / rows) }, (_, i) => [i * rows, Math.min(tokens, (i + 1) * rows)]);
}
