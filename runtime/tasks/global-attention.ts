/**
 * Which tokens get global attention: Hugging Face's rule of the head, unless the caller says otherwise.
 *
 * <s> for classification, the question for question answering, the choice for multiple choice, none for the rest.
 * Paper §3.1: global attention is where the task says what matters.
 */
import type { LongformerHead } from '../../contract/config.ts';
import { ShapeError, ValueRangeError } from '../../contract/errors.ts';
import type { Encoding } from '../tokenizer/encoding.ts';

/** A token and where it stands. */
export interface TokenSpan {
  /** Row in the sequence, special tokens counted. */
  readonly index: number;
  /** 0 = first text (a question), 1 = second, -1 = a special token. */
  readonly sequence: number;
  /** Characters (UTF-16 code units) of its own text; 0, 0 for special tokens. */
  readonly start: number;
  readonly end: number;
  /** What it covers. */
  readonly text: string;
}

export interface GlobalAttention {
  /** 1 = global, 0 = local, one number for each token of the sequence. Only for a single text. HF `global_attention_mask`. */
  readonly globalAttentionMask?: ArrayLike<number>;
  /** Asked for each token: is it global? For example all tokens of a sentence: `({ start }) => start < 120`. */
  readonly isGlobal?: (token: TokenSpan) => boolean;
}

/** (T) the caller's mask, or undefined when he has no opinion. @throws ShapeError, ValueRangeError */
export function globalMaskOf(
  encoding: Encoding,
  texts: readonly string[],
  { globalAttentionMask, isGlobal }: GlobalAttention,
): Int32Array | undefined {
  const length = encoding.inputIds.length;
  if (globalAttentionMask && isGlobal) {
    throw new ValueRangeError({
      where: 'tasks',
      name: 'globalAttentionMask',
      expected: 'either a mask or isGlobal',
      got: 'both',
    });
  }
  if (isGlobal) return Int32Array.from({ length }, (_, t) => Number(isGlobal(spanOf(encoding, texts, t))));
  if (!globalAttentionMask) return undefined;
  if (globalAttentionMask.length !== length) {
    throw new ShapeError({
      where: 'tasks',
      name: 'globalAttentionMask',
      expected: `shape (${length}), one for each token`,
      got: `(${globalAttentionMask.length})`,
    });
  }
  return Int32Array.from(globalAttentionMask);
}

/**
 * (T) the rule of heads that read pairs, for a sequence whose layout is known; undefined for the others, whose rule is the model's.
 *
 * Differs: HF counts separators, and so does the model, so that a `</s>` written in a text is an error there. Here it is text.
 * Source: HF _compute_global_attention_mask.
 */
export function maskByLayout(head: LongformerHead, { sequenceIds }: Encoding): Int32Array | undefined {
  if (head !== 'questionAnswering' && head !== 'multipleChoice') return undefined;
  const firstEnd = 1 + sequenceIds.reduce((count, id) => count + Number(id === 0), 0); // the separator after the first text
  const isGlobal = (t: number): boolean => (head === 'questionAnswering' ? t < firstEnd : t > firstEnd + 1);
  return sequenceIds.map((_, t) => Number(isGlobal(t)));
}

export function spanOf({ sequenceIds, offsets }: Encoding, texts: readonly string[], index: number): TokenSpan {
  const sequence = sequenceIds[index]!;
  const [start, end] = [offsets[2 * index]!, offsets[2 * index + 1]!];
  return { index, sequence, start, end, text: sequence < 0 ? '' : texts[sequence]!.slice(start, end) };
}
