/** Which of several continuations fits a text. Source: HF LongformerForMultipleChoice; there is no HF pipeline for it. */
import { encodeDocument, expectCount, forwardAll, softmax, type TaskModel, type TaskOptions } from './documents.ts';
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
  const sequences = inputs.flatMap(({ prompt, choices }) => {
    expectCount('choices.length', choices.length);
    return choices.map(choice => ({
      encoding: encodeDocument(task, prompt, options, choice),
      texts: [prompt, choice],
    }));
  });
  const outputs = await forwardAll(task, sequences, options);
  let at = 0;
  return inputs.map(({ choices }) => {
    const logits = outputs.slice(at, at + choices.length).map(({ logits }) => logits!.data[0]!);
    at += choices.length;
    const scores = softmax(logits);
    return choices
      .map((choice, index) => ({ choice, index, score: scores[index]! }))
      .sort((a, b) => b.score - a.score || a.index - b.index);
  });
}
