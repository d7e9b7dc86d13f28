/** Which of several continuations fits a text. Source: HF LongformerForMultipleChoice; there is no HF pipeline for it. */
import {
  encodeDocument,
  expectCount,
  expectTexts,
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
      const name = nameOf('input', index, inputs.length);
      expectTexts('multiple-choice', name, inputs[index], ['prompt']);
      const { prompt, choices } = inputs[index]!;
      if (!Array.isArray(choices)) throw new TypeError(`multiple-choice: "${name}.choices" expected an array.`);
      expectCount(`${name}.choices.length`, choices.length);
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
