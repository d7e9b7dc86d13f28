/**
 * Which tokens stay when a text, or a pair, is too long, and which windows the rest is handed out in.
 * Source: HF truncate_encodings and Encoding::truncate. Knows only counts.
 */
import { TokenizerError } from '../../contract/index.ts';

export type Truncation = 'longest_first' | 'only_first' | 'only_second';

/** Tokens [start, end) of one text. */
export type Range = readonly [start: number, end: number];

export interface TruncationPlan {
  readonly strategy: Truncation;
  /** Tokens of both texts together, special tokens not counted. */
  readonly room: number;
  /** Tokens that neighbouring windows share. */
  readonly stride: number;
  /** Side that is cut. */
  readonly side: 'right' | 'left';
}

/** All windows of one call together; 36 bytes each. Only a stride almost as long as the window comes near. */
const maxTokensInWindows = 2 ** 24;

/**
 * Windows of both texts; the first of each list is the one that stays, and without `all` the only one. `second` is null
 * without a second text.
 *
 * @throws TokenizerError when only one text may be cut and that is not enough, when the windows would not move on, or when
 * they would be too many.
 */
export function planWindows(
  first: number,
  second: number | null,
  plan: TruncationPlan,
  all: boolean,
): { first: Range[]; second: Range[] | null } {
  const [firstKept, secondKept] = keptLengths(first, second, plan);
  const stepOfFirst = stepOf(first, firstKept, plan);
  const stepOfSecond = second === null ? 0 : stepOf(second, secondKept, plan);
  const windows = countWindows(first, firstKept, stepOfFirst) * countWindows(second ?? 0, secondKept, stepOfSecond);
  if (all && windows * plan.room > maxTokensInWindows) {
    throw new TokenizerError({
      where: 'tokenizer.encode',
      name: 'returnOverflowing',
      expected: `windows of at most ${maxTokensInWindows} tokens together`,
      got: `${windows} windows of ${plan.room} tokens`,
      hint: 'use a smaller stride or a larger maxLength, or cut only one of the two texts.',
    });
  }
  return {
    first: windowsOf(first, firstKept, stepOfFirst, plan.side, all),
    second: second === null ? null : windowsOf(second, secondKept, stepOfSecond, plan.side, all),
  };
}

function keptLengths(first: number, second: number | null, { strategy, room }: TruncationPlan): [number, number] {
  const total = first + (second ?? 0);
  if (room === 0) return [0, 0];
  if (total <= room) return [first, second ?? 0];
  if (strategy === 'longest_first') return second === null ? [room, 0] : shareRoom(first, second, room);

  const target = strategy === 'only_first' ? first : second;
  if (target === null) {
    throw new TokenizerError({
      where: 'tokenizer.encode',
      name: 'truncation',
      expected: 'a textPair for only_second',
      got: 'one text',
    });
  }
  const kept = target - (total - room);
  if (kept <= 0) {
    throw new TokenizerError({
      where: 'tokenizer.encode',
      name: 'maxLength',
      expected: `room for at least one token of the ${strategy === 'only_first' ? 'first' : 'second'} text`,
      got: `${room} tokens of room, ${total - target} of them taken by the other text`,
      hint: 'use longest_first, or a larger maxLength.',
    });
  }
  return strategy === 'only_first' ? [kept, second ?? 0] : [first, kept];
}

/** The shorter text is cut only when half of the room is not enough for it. */
function shareRoom(first: number, second: number, room: number): [number, number] {
  let shorter = Math.min(first, second);
  let longer = shorter > room ? shorter : Math.max(shorter, room - shorter);
  if (shorter + longer > room) {
    shorter = Math.floor(room / 2);
    longer = room - shorter;
  }
  return first > second ? [longer, shorter] : [shorter, longer];
}

/** Tokens from one window to the next. */
function stepOf(count: number, kept: number, { stride }: TruncationPlan): number {
  if (kept >= count || kept === 0 || stride < kept) return kept - stride;
  throw new TokenizerError({
    where: 'tokenizer.encode',
    name: 'stride',
    expected: `fewer tokens than a window keeps of the text that is cut (${kept})`,
    got: String(stride),
  });
}

function countWindows(count: number, kept: number, step: number): number {
  if (kept >= count) return 1;
  return kept === 0 ? 2 : 1 + Math.ceil((count - kept) / step);
}

function windowsOf(count: number, kept: number, step: number, side: 'right' | 'left', all: boolean): Range[] {
  // HF keeps the whole text as its one overflowing window when there is room for nothing.
  const wholeText: Range = [0, count];
  if (kept >= count) return [wholeText];
  if (kept === 0) return all ? [[0, 0], wholeText] : [[0, 0]];
  const windows: Range[] = [];
  for (let window = 0; window < (all ? countWindows(count, kept, step) : 1); window++) {
    const moved = window * step;
    windows.push(
      side === 'right' ? [moved, Math.min(moved + kept, count)] : [Math.max(count - moved - kept, 0), count - moved],
    );
  }
  return windows;
}
