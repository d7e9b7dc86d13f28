/** Where in a text the answer to a question stands. Source: HF QuestionAnsweringPipeline (transformers 4). */
import { ValueRangeError } from '../../contract/errors.ts';
import type { EncoderOutputs } from '../../contract/model.ts';
import type { Encoding } from '../tokenizer/encoding.ts';
import {
  expectCount,
  expectTexts,
  forEachDocument,
  longestOf,
  nameOf,
  type Sequence,
  type TaskModel,
  type TaskOptions,
} from './documents.ts';
import { expectHead } from './heads.ts';

export interface QuestionAnsweringOptions extends Omit<TaskOptions, 'globalAttentionMask'> {
  /** Answers, best first. HF `top_k`, default 1. */
  readonly topK?: number;
  /** Tokens of an answer at most. HF `max_answer_len`, default 15. */
  readonly maxAnswerLength?: number;
  /**
   * A context that is too long is read in windows that share this many tokens. HF `doc_stride`; default: it is an error
   * (HF: always windows, of 384 tokens, 128 shared).
   */
  readonly stride?: number;
  /** An empty answer may win. HF `handle_impossible_answer`, default false. */
  readonly handleImpossibleAnswer?: boolean;
  /** Answers begin and end where words do. HF `align_to_words`, default true. */
  readonly alignToWords?: boolean;
}

export interface QuestionInput {
  readonly question: string;
  readonly context: string;
}

export interface Answer {
  readonly answer: string;
  readonly score: number;
  /** Characters (UTF-16 code units) of the context: `context.slice(start, end)` is the answer. */
  readonly start: number;
  readonly end: number;
}

/** Answers to each question, best first. @throws ValueRangeError, UnsupportedError, AbortedError */
export async function answerQuestions(
  task: TaskModel,
  inputs: readonly QuestionInput[],
  options: QuestionAnsweringOptions = {},
): Promise<Answer[][]> {
  expectHead('question-answering', task.model.config.head, 'questionAnswering');
  expectCount('topK', options.topK ?? 1);
  expectCount('maxAnswerLength', options.maxAnswerLength ?? 15);
  return forEachDocument(
    task,
    inputs.length,
    index => windowsOf(task, nameOf('input', index, inputs.length), inputs[index]!, options),
    (index, windows, outputs) => bestAnswers(task, inputs[index]!.context, windows, outputs, options),
    options,
  );
}

function windowsOf(task: TaskModel, name: string, input: QuestionInput, options: QuestionAnsweringOptions): Sequence[] {
  expectTexts('question-answering', name, input, ['question', 'context']);
  const { question, context } = input;
  for (const [field, text] of Object.entries({ question, context })) {
    if (text.trim() !== '') continue;
    const subject = `${name}.${field}`;
    throw new ValueRangeError({ where: 'question-answering', name: subject, expected: 'some text', got: 'none' });
  }
  const maxLength = longestOf(task, options);
  const { stride, truncation } = options;
  // <s> question </s> has been counted; </s>, a token of the context and </s> have to fit too.
  const taken = task.tokenizer.encode(question, { truncation: false }).inputIds.length;
  if (taken + 3 > maxLength) {
    throw new ValueRangeError({
      where: 'question-answering',
      name: `${name}.question`,
      expected: `at most ${maxLength - 5} tokens, so that a context fits beside it`,
      got: String(taken - 2),
    });
  }
  const encoding = task.tokenizer.encode(question, {
    textPair: context,
    ...(stride !== undefined || truncation
      ? { maxLength, truncation: 'only_second', stride: stride ?? 0, returnOverflowing: stride !== undefined }
      : { truncation: false }),
  });
  if (encoding.inputIds.length > maxLength) {
    throw new ValueRangeError({
      where: 'question-answering',
      name: `${name}.context`,
      expected: `at most ${maxLength} tokens with the question`,
      got: String(encoding.inputIds.length),
      hint: 'set stride, to read it in windows that overlap, or truncation to cut it.',
    });
  }
  return [encoding, ...encoding.overflowing].map(window => ({ encoding: window, texts: [question, context] }));
}

interface Candidate {
  answer: string;
  score: number;
  start: number;
  end: number;
}

function bestAnswers(
  task: TaskModel,
  context: string,
  windows: readonly Sequence[],
  outputs: readonly EncoderOutputs[],
  options: QuestionAnsweringOptions,
): Answer[] {
  const { topK = 1, maxAnswerLength = 15, handleImpossibleAnswer = false, alignToWords = true } = options;
  let nullScore = 1e6;
  const answers: Candidate[] = [];
  for (const [window, { encoding }] of windows.entries()) {
    const candidates = candidateRows(task, encoding);
    const starts = maskedSoftmax(outputs[window]!.startLogits!.data, candidates);
    const ends = maskedSoftmax(outputs[window]!.endLogits!.data, candidates);
    nullScore = Math.min(nullScore, starts[0]! * ends[0]!);
    starts[0] = 0;
    ends[0] = 0;
    // Some spans become one when they are aligned to words: more of them are looked at than asked for.
    const wanted = alignToWords ? 2 * topK + 10 : topK;
    for (const { start, end, score } of bestSpans(starts, ends, candidates, wanted, maxAnswerLength)) {
      const [from, to] = alignToWords ? wordSpan(encoding, start, end) : tokenSpan(encoding, start, end);
      const answer = context.slice(from, to);
      // Subtle: HF adds up the scores of equal texts, wherever they stand, and keeps the first place.
      const same = answers.find(other => other.answer.toLowerCase() === answer.toLowerCase());
      if (same) same.score += score;
      else answers.push({ answer, score, start: from, end: to });
    }
  }
  if (handleImpossibleAnswer) answers.push({ answer: '', score: nullScore, start: 0, end: 0 });
  return answers.sort((a, b) => b.score - a.score).slice(0, topK);
}

/** (T) tokens of the context, and <s>, which stands for "no answer". */
function candidateRows({ tokenizer }: TaskModel, { inputIds, sequenceIds }: Encoding): Uint8Array {
  const { cls } = tokenizer.specialTokens;
  return Uint8Array.from(inputIds, (id, t) => Number(sequenceIds[t] === 1 || id === cls));
}

/** Softmax over the candidates; the others get what HF gives them, a logit of -10000. */
function maskedSoftmax(logits: ArrayLike<number>, candidates: Uint8Array): Float64Array {
  const values = Float64Array.from(logits, (logit, t) => (candidates[t] ? logit : -10_000));
  const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (let t = 0; t < values.length; t++) sum += values[t] = Math.exp(values[t]! - most);
  return values.map(value => value / sum);
}

/** The `count` best spans by start × end; those that are no candidates are dropped afterwards, as in HF. */
function bestSpans(
  starts: Float64Array,
  ends: Float64Array,
  candidates: Uint8Array,
  count: number,
  maxAnswerLength: number,
): { start: number; end: number; score: number }[] {
  const best: { start: number; end: number; score: number }[] = [];
  for (let start = 0; start < starts.length; start++) {
    if (starts[start] === 0) continue;
    for (let end = start; end < Math.min(start + maxAnswerLength, ends.length); end++) {
      const score = starts[start]! * ends[end]!;
      if (best.length === count && !(score > best[count - 1]!.score)) continue;
      let at = best.length;
      while (at > 0 && score > best[at - 1]!.score) at--;
      best.splice(at, 0, { start, end, score });
      if (best.length > count) best.pop();
    }
  }
  return best.filter(({ start, end }) => candidates[start] && candidates[end]);
}

const tokenSpan = ({ offsets }: Encoding, start: number, end: number): [number, number] => [
  offsets[2 * start]!,
  offsets[2 * end + 1]!,
];

/** From the first character of the word of `start` to the last one of the word of `end`. HF `word_to_chars`. */
function wordSpan({ wordIds, sequenceIds, offsets }: Encoding, start: number, end: number): [number, number] {
  const sameWord = (a: number, b: number): boolean => wordIds[a] === wordIds[b] && sequenceIds[a] === sequenceIds[b];
  while (start > 0 && sameWord(start - 1, start)) start--;
  while (end + 1 < wordIds.length && sameWord(end + 1, end)) end++;
  return [offsets[2 * start]!, offsets[2 * end + 1]!];
}
