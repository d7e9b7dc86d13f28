/**
 * What all tasks share: texts become token sequences that fit the model, and sequences go through it packed, a group at a time.
 *
 * Read next: global-attention.ts, then one of the tasks.
 */
import { ValueRangeError } from '../../contract/errors.ts';
import type { EncoderInputs, EncoderOutputs, ForwardOptions, LongformerModel, Want } from '../../contract/model.ts';
import type { Encoding } from '../tokenizer/encoding.ts';
import type { EncodeOptions, Tokenizer } from '../tokenizer/tokenizer.ts';
import { type GlobalAttention, globalMaskOf } from './global-attention.ts';

/** A model and the tokenizer it was trained with. */
export interface TaskModel {
  readonly model: LongformerModel;
  readonly tokenizer: Tokenizer;
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
export function encodeDocument(task: TaskModel, text: string, options: TaskOptions, textPair?: string): Encoding {
  const maxLength = longestOf(task, options);
  const cut: EncodeOptions = options.truncation
    ? { maxLength, truncation: textPair === undefined ? 'longest_first' : 'only_second' }
    : { truncation: false };
  const encoding = task.tokenizer.encode(text, textPair === undefined ? cut : { ...cut, textPair });
  if (encoding.inputIds.length > maxLength) {
    throw new ValueRangeError({
      where: 'tasks',
      name: 'text',
      expected: `at most ${maxLength} tokens`,
      got: String(encoding.inputIds.length),
      hint: 'set truncation to cut it, or, where the task has it, stride to read it in windows.',
    });
  }
  return encoding;
}

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

/**
 * Outputs of all sequences, in order. They are packed by length: neighbours in a pass are about equally long, so a pass
 * never holds more than `tokensAtOnce` tokens unless a single one has more.
 */
export async function forwardAll(
  { model }: TaskModel,
  sequences: readonly Sequence[],
  options: TaskOptions,
  want: Want = {},
): Promise<EncoderOutputs[]> {
  const outputs = new Array<EncoderOutputs>(sequences.length);
  const total = sequences.reduce((sum, { encoding }) => sum + encoding.inputIds.length, 0);
  let done = 0;
  for (const group of groupsOf(sequences)) {
    const members = group.map(index => sequences[index]!);
    const tokens = members.reduce((sum, { encoding }) => sum + encoding.inputIds.length, 0);
    const before = done;
    const forwardOptions: ForwardOptions = {
      want: members[0]!.logitRows ? { ...want, logitRows: members.map(({ logitRows }) => logitRows!) } : want,
      signal: options.signal,
      onProgress: share => options.onProgress?.((before + share * tokens) / total),
    };
    const results = await model.forward(
      members.map(sequence => inputsOf(model, sequence, options)),
      forwardOptions,
    );
    for (const [at, index] of group.entries()) outputs[index] = results[at]!;
    done += tokens;
  }
  return outputs;
}

function inputsOf(model: LongformerModel, { encoding, texts }: Sequence, options: TaskOptions): EncoderInputs {
  const { inputIds } = encoding;
  const globalAttentionMask = globalMaskOf(encoding, texts, options) ?? model.defaultGlobalAttentionMask({ inputIds });
  return globalAttentionMask ? { inputIds, globalAttentionMask } : { inputIds };
}

/** Indices of the sequences of each pass, longest first. */
function groupsOf(sequences: readonly Sequence[]): number[][] {
  const length = (index: number): number => sequences[index]!.encoding.inputIds.length;
  const order = [...sequences.keys()].sort((a, b) => length(b) - length(a) || a - b);
  const groups: number[][] = [];
  let room = 0;
  for (const index of order) {
    if (groups.length === 0 || length(index) > room) {
      groups.push([]);
      room = tokensAtOnce;
    }
    groups.at(-1)!.push(index);
    room -= length(index);
  }
  return groups;
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
