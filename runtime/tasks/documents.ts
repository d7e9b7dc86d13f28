/**
 * What all tasks share: texts become token sequences that fit the model, and sequences go through it packed, a group at a time.
 *
 * Read next: global-attention.ts, then one of the tasks.
 */
import { AbortedError, UnsupportedError, ValueRangeError } from '../../contract/errors.ts';
import type { EncoderInputs, EncoderOutputs, ForwardOptions, LongformerModel, Want } from '../../contract/model.ts';
import { eventLoopTurn } from '../event-loop-turn.ts';
import type { Encoding } from '../tokenizer/encoding.ts';
import type { EncodeOptions, Tokenizer } from '../tokenizer/tokenizer.ts';
import { type GlobalAttention, globalMaskOf, maskByLayout } from './global-attention.ts';

/** A model and the tokenizer it was trained with. */
export interface TaskModel {
  readonly model: LongformerModel;
  readonly tokenizer: Tokenizer;
  /** How the checkpoint's authors make one vector of a text, where its files say it: cls, mean or another name. */
  readonly pooling?: string;
}

/** Options every task understands. */
export interface TaskOptions extends GlobalAttention {
  /** Cut what is longer than the model can read; default: an error that names both lengths. HF `truncation`. */
  readonly truncation?: boolean;
  /** Tokens at most, special ones included; default: what the model and the tokenizer can take. HF `max_length`. */
  readonly maxLength?: number;
  readonly signal?: AbortSignal;
  /** Called with the share of the work that is done, 0..1. */
  readonly onProgress?: (done: number) => void;
}

/** Tokens that go through the model together. More would need more memory and be no faster. */
const tokensAtOnce = 16_384;

/** Longest sequence: rows of the position table after the padding row, or less when the tokenizer says so. */
export function longestSequence({ model, tokenizer }: TaskModel): number {
  const { maxPositionEmbeddings, padTokenId } = model.config;
  return Math.min(maxPositionEmbeddings - padTokenId - 1, tokenizer.modelMaxLength ?? Number.POSITIVE_INFINITY);
}

/**
 * One text, or a pair, as one sequence.
 *
 * @throws ValueRangeError when it is too long and `truncation` is not set; TokenizerError
 */
export function encodeDocument(
  task: TaskModel,
  name: string,
  [text, textPair]: readonly string[],
  options: TaskOptions,
): Sequence {
  const maxLength = longestOf(task, options);
  const cut: EncodeOptions = options.truncation ? { maxLength, truncation: 'longest_first' } : { truncation: false };
  const encoding = task.tokenizer.encode(text!, textPair === undefined ? cut : { ...cut, textPair });
  const { length } = encoding.inputIds;
  if (length > maxLength) {
    throw new ValueRangeError({
      where: 'tasks',
      name,
      expected: `at most ${maxLength} tokens`,
      got: String(length),
      hint: 'set truncation to cut it, or, where the task has it, stride to read it in windows.',
    });
  }
  return { encoding, texts: textPair === undefined ? [text!] : [text!, textPair] };
}

/** What an input is called in a complaint: its number only when there are several. */
export const nameOf = (kind: string, index: number, count: number): string =>
  count === 1 ? kind : `${kind}s[${index}]`;

/** @throws ValueRangeError when the caller asks for more than the model takes. */
export function longestOf(task: TaskModel, { maxLength }: { readonly maxLength?: number }): number {
  const longest = longestSequence(task);
  if (maxLength === undefined) return longest;
  if (Number.isInteger(maxLength) && maxLength >= 3 && maxLength <= longest) return maxLength;
  throw new ValueRangeError({
    where: 'tasks',
    name: 'maxLength',
    expected: `3..${longest} tokens`,
    got: String(maxLength),
  });
}

/** One sequence for the model, and what is wanted of it. */
export interface Sequence {
  readonly encoding: Encoding;
  /** The texts it came from, for rules about characters. */
  readonly texts: readonly string[];
  /** Masked LM: rows whose logits are wanted. */
  readonly logitRows?: Int32Array;
}

/** Texts are encoded this many tokens at a time before others get a turn. */
const tokensBetweenTurns = 1 << 18;

/**
 * A result for each of `count` documents, in order. windowsOf: the sequences of a document. resultOf: what their outputs mean.
 *
 * Documents go through the model packed: a pass holds at most `tokensAtOnce` tokens unless a single sequence has more, and only
 * the documents of one pass are held at a time. So each is encoded twice, first to check it and to know its length, which takes
 * a thousandth of the time that the model takes.
 *
 * @throws what windowsOf throws, before anything is computed; AbortedError
 */
export async function forEachDocument<Result>(
  { model }: TaskModel,
  count: number,
  windowsOf: (document: number) => readonly Sequence[],
  resultOf: (document: number, windows: readonly Sequence[], outputs: readonly EncoderOutputs[]) => Result,
  options: TaskOptions,
  want: Want = {},
): Promise<Result[]> {
  const lengths = await lengthsOf(count, windowsOf, options);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  let done = 0;

  async function forward(windows: readonly Sequence[]): Promise<EncoderOutputs[]> {
    const before = done;
    const tokens = tokensOf(windows);
    const forwardOptions: ForwardOptions = {
      want: windows[0]!.logitRows ? { ...want, logitRows: windows.map(({ logitRows }) => logitRows!) } : want,
      signal: options.signal,
      onProgress: share => options.onProgress?.((before + share * tokens) / total),
    };
    const inputs = windows.map(window => inputsOf(model, window, options));
    const outputs = await model.forward(inputs, forwardOptions);
    done += tokens;
    return outputs;
  }

  const results = new Array<Result>(count);
  for (const group of groupsOf(lengths)) {
    const windows = group.map(windowsOf);
    const all = windows.flat();
    const outputs: EncoderOutputs[] = [];
    for (const pass of groupsInOrder(all)) outputs.push(...(await forward(pass)));
    let at = 0;
    for (const [member, document] of group.entries()) {
      const own = windows[member]!;
      results[document] = resultOf(document, own, outputs.slice(at, at + own.length));
      at += own.length;
    }
  }
  return results;
}

const tokensOf = (windows: readonly Sequence[]): number =>
  windows.reduce((sum, { encoding }) => sum + encoding.inputIds.length, 0);

/** (count) Tokens of each document, in all its windows. */
async function lengthsOf(
  count: number,
  windowsOf: (document: number) => readonly Sequence[],
  { signal }: TaskOptions,
): Promise<number[]> {
  const lengths: number[] = [];
  let sinceTurn = 0;
  for (let document = 0; document < count; document++) {
    lengths.push(tokensOf(windowsOf(document)));
    sinceTurn += lengths.at(-1)!;
    if (sinceTurn < tokensBetweenTurns) continue;
    sinceTurn = 0;
    await eventLoopTurn();
    if (signal?.aborted) {
      const { reason: cause } = signal;
      throw new AbortedError({ where: 'tasks', name: 'signal', expected: 'to finish', got: 'an abort', cause });
    }
  }
  return lengths;
}

function inputsOf(model: LongformerModel, { encoding, texts }: Sequence, options: TaskOptions): EncoderInputs {
  const { inputIds } = encoding;
  const globalAttentionMask = globalMaskOf(encoding, texts, options) ?? maskByLayout(model.config.head, encoding);
  return globalAttentionMask ? { inputIds, globalAttentionMask } : { inputIds };
}

/** Documents that share a pass, longest first, so that what does not fit into memory fails at once. */
function groupsOf(lengths: readonly number[]): number[][] {
  const order = [...lengths.keys()].sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const groups: number[][] = [];
  let room = 0;
  for (const document of order) {
    if (groups.length === 0 || lengths[document]! > room) {
      groups.push([]);
      room = tokensAtOnce;
    }
    groups.at(-1)!.push(document);
    room -= lengths[document]!;
  }
  return groups;
}

/** Windows that share a pass: those of one very long document need several. */
function groupsInOrder(windows: readonly Sequence[]): Sequence[][] {
  const passes: Sequence[][] = [];
  let room = 0;
  for (const window of windows) {
    const { length } = window.encoding.inputIds;
    if (passes.length === 0 || length > room) {
      passes.push([]);
      room = tokensAtOnce;
    }
    passes.at(-1)!.push(window);
    room -= length;
  }
  return passes;
}

/** Probabilities from logits, in double precision. */
export function softmax(logits: ArrayLike<number>): Float64Array {
  const probs = Float64Array.from(logits);
  let most = -Infinity;
  for (const logit of probs) most = Math.max(most, logit);
  let sum = 0;
  for (let i = 0; i < probs.length; i++) sum += probs[i] = Math.exp(probs[i]! - most);
  for (let i = 0; i < probs.length; i++) probs[i]! /= sum;
  return probs;
}

/** Index of the first largest value. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** The `count` largest values as [index, value], largest first; equal ones in order of their index. */
export function largest(values: ArrayLike<number>, count: number): [index: number, value: number][] {
  const top: [number, number][] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (top.length === count && !(value > top[count - 1]![1])) continue;
    let at = top.length;
    while (at > 0 && value > top[at - 1]![1]) at--;
    top.splice(at, 0, [i, value]);
    if (top.length > count) top.pop();
  }
  return top;
}

/** @throws ValueRangeError unless it is a whole number from 1. */
export function expectCount(name: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw new ValueRangeError({ where: 'tasks', name, expected: 'a whole number from 1', got: String(value) });
}

/** @throws UnsupportedError unless it is one of the words. */
export function expectOneOf(where: string, name: string, value: string, words: readonly string[]): void {
  if (words.includes(value)) return;
  throw new UnsupportedError({ where, name, expected: `one of ${words.join(', ')}`, got: String(value) });
}

/** @throws TypeError unless the input is an object with texts in these fields. */
export function expectTexts(where: string, name: string, input: unknown, fields: readonly string[]): void {
  const given = (typeof input === 'object' && input !== null ? input : {}) as Record<string, unknown>;
  const missing = fields.find(field => typeof given[field] !== 'string');
  if (missing !== undefined) throw new TypeError(`${where}: "${name}.${missing}" expected a string.`);
}
