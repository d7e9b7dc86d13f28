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

/**
 * Windows of both texts; the first of each list is the one that stays. `second` is null without a second text.
 *
 * @throws TokenizerError when only one text may be cut and that is not enough, or when the windows would not move on.
 */
export function planWindows(
  first: number,
  second: number | null,
  plan: TruncationPlan,
): { first: Range[]; second: Range[] | null } {
  const [firstKept, secondKept] = keptLengths(first, second, plan);
  return {
    first: windowsOf(first, firstKept, plan),
    second: second === null ? null : windowsOf(second, secondKept, plan),
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

function windowsOf(count: number, kept: number, { stride, side }: TruncationPlan): Range[] {
  if (kept >= count) return [[0, count]];
  if (kept === 0) {
    // HF keeps the whole text as its one overflowing window.
    return [
      [0, 0],
      [0, count],
    ];
  }
  if (stride >= kept) {
    throw new TokenizerError({
      where: 'tokenizer.encode',
      name: 'stride',
      expected: `fewer tokens than a window keeps of the text that is cut (${kept})`,
      got: String(stride),
    });
  }
  const windows: Range[] = [];
  const step = kept - stride;
  if (side === 'right') {
    for (let start = 0; ; start += step) {
      const end = Math.min(start + kept, count);
      windows.push([start, end]);
      if (end === count) return windows;
    }
  }
  for (let end = count; ; end -= step) {
    const start = Math.max(end - kept, 0);
    windows.push([start, end]);
    if (start === 0) return windows;
  }
}
