/** Which of several continuations fits a text. Source: HF LongformerForMultipleChoice; there is no HF pipeline for it. */
import {
  encodeDocument,
  expectCount,
  forEachDocument,
  nameOf,
  softmax,
  type TaskModel,
  type TaskOptions,
} from './documents.ts';
import { expectHead } from './heads.ts';

export interface ChoiceInput {
  readonly prompt: string;
  readonly choices: readonly string[];
}

export interface RankedChoice {
  readonly choice: string;
  /** Its place among the choices as given. */
  readonly index: number;
  readonly score: number;
}

/** The choices of each input, best first; the scores of one input sum to 1. @throws ValueRangeError, UnsupportedError, AbortedError */
export async function rankChoices(
  task: TaskModel,
  inputs: readonly ChoiceInput[],
  options: Omit<TaskOptions, 'globalAttentionMask'> = {},
): Promise<RankedChoice[][]> {
  expectHead('multiple-choice', task.model.config.head, 'multipleChoice');
  return forEachDocument(
    task,
    inputs.length,
    index => {
      const { prompt, choices } = inputs[index]!;
      expectCount('choices.length', choices.length);
      const name = nameOf('input', index, inputs.length);
      return choices.map((choice, at) => encodeDocument(task, `${name}.choices[${at}]`, [prompt, choice], options));
    },
    (index, _windows, outputs) => {
      const { choices } = inputs[index]!;
      const scores = softmax(outputs.map(({ logits }) => logits!.data[0]!));
      return choices
        .map((choice, at) => ({ choice, index: at, score: scores[at]! }))
        .sort((a, b) => b.score - a.score || a.index - b.index);
    },
    options,
  );
}
