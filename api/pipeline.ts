/**
 * `pipeline(task, model)`: text in, answers out.
 *
 * Result shapes are those of transformers, with `start` and `end` added. One input in, one result out; an array in, an array out,
 * computed packed. The work is in runtime/tasks/; nothing is computed here.
 */
import type { LongformerHead } from '../contract/config.ts';
import { UnsupportedError } from '../contract/errors.ts';
import type { LedModel, LongformerModel } from '../contract/model.ts';
import type { Tensor } from '../contract/tensor.ts';
import type { TaskOptions } from '../runtime/tasks/documents.ts';
import { extractFeatures, type FeatureExtractionOptions } from '../runtime/tasks/feature-extraction.ts';
import { type Filling, type FillMaskOptions, fillMasks } from '../runtime/tasks/fill-mask.ts';
import { expectHead } from '../runtime/tasks/heads.ts';
import { type ChoiceInput, type RankedChoice, rankChoices } from '../runtime/tasks/multiple-choice.ts';
import {
  type Answer,
  answerQuestions,
  type QuestionAnsweringOptions,
  type QuestionInput,
} from '../runtime/tasks/question-answering.ts';
import { summarize, text2text, type WriteOptions } from '../runtime/tasks/summarization.ts';
import {
  type ClassificationInput,
  classifyTexts,
  type LabelScore,
  type TextClassificationOptions,
} from '../runtime/tasks/text-classification.ts';
import {
  type Aggregation,
  type EntityGroup,
  type TokenClassificationOptions,
  type TokenLabel,
  tagTexts,
} from '../runtime/tasks/token-classification.ts';
import {
  loadPretrained,
  loadPretrainedLed,
  type Pretrained,
  type PretrainedLed,
  type PretrainedOptions,
} from './load.ts';
import type { ModelSource } from './model-source.ts';

/** One input or several, and a result for each. */
interface Call<Input, Result, Options> {
  (input: Input, options?: Options): Promise<Result>;
  (inputs: readonly Input[], options?: Options): Promise<Result[]>;
}

/** A question and its context in one object, or side by side. */
interface AnswerCall<Result, Options> extends Call<QuestionInput, Result, Options> {
  (question: string, context: string, options?: Options): Promise<Result>;
}

/** Fillings of the mask; of each mask when there are several. */
export type Fillings = Filling[] | Filling[][];

/**
 * Text from text. As in transformers: one source gives its numReturnSequences texts; several give one text each, or a list for each when
 * more are asked for.
 */
interface WriteCall<Text> {
  (source: string, options?: WriteOptions): Promise<Text[]>;
  (sources: readonly string[], options?: WriteOptions): Promise<Text[] | Text[][]>;
}

/** What each task takes and gives. */
export interface TaskCalls {
  /** LED. */
  summarization: WriteCall<{ summary_text: string }>;
  /** LED: the same under the name of whatever it was trained for. */
  'text2text-generation': WriteCall<{ generated_text: string }>;
  'fill-mask': Call<string, Fillings, FillMaskOptions>;
  /** The best `topK` labels. */
  'text-classification': Call<ClassificationInput, LabelScore[], TextClassificationOptions>;
  /** The best answer, or the best `topK` of them when that is not 1. */
  'question-answering': AnswerCall<Answer, QuestionAnsweringOptions & { readonly topK?: 1 }> &
    AnswerCall<Answer | Answer[], QuestionAnsweringOptions>;
  /** Tokens, or groups of them with an aggregation. */
  'token-classification': Call<string, TokenLabel[], TokenClassificationOptions & { readonly aggregation?: 'none' }> &
    Call<string, EntityGroup[], TokenClassificationOptions & { readonly aggregation: Exclude<Aggregation, 'none'> }> &
    Call<string, (TokenLabel | EntityGroup)[], TokenClassificationOptions>;
  /** (1, T, C), or (1, C) with pooling. */
  'feature-extraction': Call<string, Tensor, FeatureExtractionOptions>;
  'multiple-choice': Call<ChoiceInput, RankedChoice[], Omit<TaskOptions, 'globalAttentionMask'>>;
}

export type TaskName = keyof TaskCalls;

/** Tasks that write. */
type WritingTask = 'summarization' | 'text2text-generation';

export type Pipeline<Task extends TaskName> = TaskCalls[Task] &
  Pretrained<Task extends WritingTask ? LedModel : LongformerModel> & { readonly task: Task };

type Run = (loaded: Pretrained<LongformerModel>, inputs: readonly never[], options: never) => Promise<unknown[]>;

const runs: Record<Exclude<TaskName, WritingTask>, Run> = {
  'fill-mask': async (loaded, inputs, options) =>
    (await fillMasks(loaded, inputs, options)).map(masks => (masks.length === 1 ? masks[0]! : masks)),
  'text-classification': classifyTexts,
  'question-answering': async (loaded, inputs, options: QuestionAnsweringOptions = {}) =>
    (await answerQuestions(loaded, inputs, options)).map(answers =>
      (options.topK ?? 1) === 1 ? answers[0]! : answers,
    ),
  'token-classification': tagTexts,
  'feature-extraction': extractFeatures,
  'multiple-choice': rankChoices,
};

const headOf: Readonly<Record<Exclude<TaskName, WritingTask>, LongformerHead>> = {
  'fill-mask': 'maskedLm',
  'text-classification': 'sequenceClassification',
  'question-answering': 'questionAnswering',
  'token-classification': 'tokenClassification',
  'feature-extraction': 'none',
  'multiple-choice': 'multipleChoice',
};

type Write = (loaded: PretrainedLed, sources: readonly string[], options?: WriteOptions) => Promise<unknown[][]>;

const writes: Record<WritingTask, Write> = { summarization: summarize, 'text2text-generation': text2text };

/**
 * Loads a model for a task.
 *
 * ```ts
 * const answer = await pipeline('question-answering', 'models/needle-qa');
 * await answer({ question: 'What is the access code of Miriam?', context: 'The access code of Miriam is 48K.' });
 * await answer.dispose();
 * ```
 *
 * @throws UnsupportedError for another task, or a checkpoint with another head; what `loadPretrained` throws.
 */
export async function pipeline<Task extends TaskName>(
  task: Task,
  model: ModelSource,
  options: PretrainedOptions = {},
): Promise<Pipeline<Task>> {
  if (isWriting(task)) return (await writingPipeline(task, model, options)) as unknown as Pipeline<Task>;
  const run = Object.hasOwn(runs, task) ? runs[task as keyof typeof runs] : undefined;
  if (!run) {
    throw new UnsupportedError({
      where: 'pipeline',
      name: 'task',
      expected: `one of ${[...Object.keys(runs), ...Object.keys(writes)].join(', ')}`,
      got: String(task),
    });
  }
  const head = headOf[task as keyof typeof headOf];
  // As HF's AutoModel: vectors come from the bare encoder, whatever head the checkpoint has.
  const open = head === 'none' ? { head } : {};
  const loaded = await loadPretrained(model, options, open, config => expectHead(task, config.head, head));
  const call = async (input: unknown, ...rest: unknown[]): Promise<unknown> => {
    // A question and a context may stand side by side.
    const beside = task === 'question-answering' && typeof input === 'string';
    const [given, callOptions = {}] = beside ? [{ question: input, context: rest[0] }, rest[1]] : [input, rest[0]];
    const inputs = Array.isArray(given) ? given : [given];
    const results = await run(loaded, inputs as never[], callOptions as never);
    return Array.isArray(given) ? results : results[0];
  };
  const { dispose } = loaded;
  const properties = {
    task,
    model: loaded.model,
    tokenizer: loaded.tokenizer,
    pooling: loaded.pooling,
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
  return Object.assign(call, properties) as unknown as Pipeline<Task>;
}

const isWriting = (task: TaskName): task is WritingTask => Object.hasOwn(writes, task);

async function writingPipeline(task: WritingTask, source: ModelSource, options: PretrainedOptions): Promise<object> {
  const loaded = await loadPretrainedLed(source, options, { head: 'conditionalGeneration' }, task);
  const call = async (given: string | readonly string[], callOptions?: WriteOptions): Promise<unknown> => {
    const texts = await writes[task](loaded, typeof given === 'string' ? [given] : given, callOptions);
    if (typeof given === 'string') return texts[0];
    return texts.every(({ length }) => length === 1) ? texts.flat() : texts;
  };
  const { model, tokenizer, dispose } = loaded;
  return Object.assign(call, { task, model, tokenizer, dispose, [Symbol.asyncDispose]: dispose });
}
