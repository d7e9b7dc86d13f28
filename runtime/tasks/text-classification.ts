/** Which label a text has. Source: HF TextClassificationPipeline. */
import type { LongformerConfig } from '../../contract/config.ts';
import {
  encodeDocument,
  expectCount,
  expectOneOf,
  expectTexts,
  forEachDocument,
  largest,
  nameOf,
  softmax,
  type TaskModel,
  type TaskOptions,
} from './documents.ts';
import { expectHead } from './heads.ts';

export interface TextClassificationOptions extends TaskOptions {
  /** Labels returned, best first; null = all. HF `top_k`, default 1. */
  readonly topK?: number | null;
  /**
   * Default: what config.json's problem_type asks for (none for regression, sigmoid for several labels at once); without one
   * sigmoid for a single label and softmax for several. HF `function_to_apply`.
   */
  readonly functionToApply?: 'sigmoid' | 'softmax' | 'none';
}

export interface LabelScore {
  readonly label: string;
  readonly score: number;
}

/** A text, or a text with a second one. */
export type ClassificationInput = string | { readonly text: string; readonly textPair: string };

/** The labels of each text, best first. @throws UnsupportedError for another head; ValueRangeError, AbortedError */
export async function classifyTexts(
  task: TaskModel,
  inputs: readonly ClassificationInput[],
  options: TextClassificationOptions = {},
): Promise<LabelScore[][]> {
  const { config } = task.model;
  expectHead('text-classification', config.head, 'sequenceClassification');
  const { topK = 1, functionToApply = usualFunction(config) } = options;
  expectOneOf('text-classification', 'functionToApply', functionToApply, ['sigmoid', 'softmax', 'none']);
  const count = topK === null ? config.labels : expectCount('topK', topK);
  return forEachDocument(
    task,
    inputs.length,
    index => {
      const input = inputs[index]!;
      const name = nameOf('text', index, inputs.length);
      if (typeof input === 'string') return [encodeDocument(task, name, [input], options)];
      expectTexts('text-classification', name, input, ['text', 'textPair']);
      return [encodeDocument(task, name, [input.text, input.textPair], options)];
    },
    (_index, _windows, [outputs]) => {
      const scores = scoresOf(outputs!.logits!.data, functionToApply);
      return largest(scores, count).map(([id, score]) => ({ label: config.labelNames[id]!, score }));
    },
    options,
  );
}

function usualFunction({ problemType, labels }: LongformerConfig): 'sigmoid' | 'softmax' | 'none' {
  if (problemType === 'regression') return 'none';
  return problemType === 'multiLabelClassification' || labels === 1 ? 'sigmoid' : 'softmax';
}

function scoresOf(logits: ArrayLike<number>, functionToApply: 'sigmoid' | 'softmax' | 'none'): Float64Array {
  if (functionToApply === 'softmax') return softmax(logits);
  const scores = Float64Array.from(logits);
  return functionToApply === 'none' ? scores : scores.map(logit => 1 / (1 + Math.exp(-logit)));
}
