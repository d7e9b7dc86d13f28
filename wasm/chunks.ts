/** How large the chunks of a job are: small enough that no thread waits long for another, large enough to be worth taking. */
import type { BandPattern } from '../contract/kernels.ts';
import type { Sequence } from './handles.ts';
import type { Build } from './instantiate.ts';

/** Chunks for each thread: enough that no thread waits long for another. */
export const chunksPerThread = 4;
/** Rows of a chunk of a linear layer: what the kernels pack at a time (MC of assembly/layout.ts), in either build. */
const blockRows: Record<Build, number> = { relaxed: 192, baseline: 160 };
/** Multiply-adds of a chunk of a linear layer, at most: some 20 ms, so that a lost thread is noticed. */
export const mostWork = 2 ** 29;

/** Rows and columns of a chunk: whole blocks of rows; columns divided too when there are few rows or very many columns. */
export function chunksOfLinear(
  threads: number,
  build: Build,
  rows: number,
  inFeatures: number,
  outFeatures: number,
): [number, number] {
  if (threads === 1) return [Math.max(rows, 1), outFeatures];
  const chunkRows = Math.min(Math.max(rows, 1), blockRows[build]);
  const down = Math.ceil(rows / chunkRows);
  const across = Math.max((threads * chunksPerThread) / down, (chunkRows * inFeatures * outFeatures) / mostWork);
  return [chunkRows, 8 * Math.ceil(outFeatures / 8 / across)];
}

/** A chunk is one head of some documents. How many documents, and the multiply-adds of the largest chunk. */
export function chunksOfBand(
  threads: number,
  { lengths, globalCount }: Pick<Sequence, 'lengths' | 'globalCount'>,
  { heads, oneSidedWindow }: Pick<BandPattern, 'heads' | 'oneSidedWindow'>,
  headDim: number,
): { documents: number; work: number } {
  const documents = Math.min(lengths.length, Math.ceil((lengths.length * heads) / (threads * chunksPerThread)));
  const works = lengths.map(length => 2 * length * headDim * (Math.min(length, 2 * oneSidedWindow + 1) + globalCount));
  return { documents, work: largestSum(works, documents) };
}

/** The largest sum of `count` neighbours, beginning at every `count`-th. */
function largestSum(values: readonly number[], count: number): number {
  let largest = 0;
  for (let first = 0; first < values.length; first += count) {
    largest = Math.max(
      largest,
      values.slice(first, first + count).reduce((sum, value) => sum + value, 0),
    );
  }
  return largest;
}

/** Fewest rows (global token, head) that are worth a part of their own: GROUP of assembly/layout.ts, for which hidden states are packed once. */
const rowsOfPart = 48;

/** A chunk is a part of one document: some heads, or some (global token, head). How many parts, and the multiply-adds of the largest chunk. */
export function chunksOfGlobals(
  threads: number,
  { lengths, globalCount }: Pick<Sequence, 'lengths' | 'globalCount'>,
  heads: number,
  hiddenSize: number,
): { parts: number; work: number } {
  const many = threads * chunksPerThread;
  const parts = threads > 1 && (globalCount / lengths.length) * heads >= rowsOfPart * many ? many : threads;
  const longest = Math.max(0, ...lengths);
  const asDefined = Math.ceil(heads / parts) * longest * 2 * (hiddenSize / heads) * (globalCount + hiddenSize);
  const folded = Math.ceil((globalCount * heads) / parts) * longest * 2 * hiddenSize;
  return { parts, work: Math.min(asDefined, folded) };
}
