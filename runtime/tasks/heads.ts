/** A task needs its head: a checkpoint of another one is refused with its name. */
import type { LongformerHead } from '../../contract/config.ts';
import { UnsupportedError } from '../../contract/errors.ts';

/** The class name a user knows from Hugging Face. */
const classOfHead: Record<LongformerHead, string> = {
  none: 'LongformerModel',
  maskedLm: 'LongformerForMaskedLM',
  sequenceClassification: 'LongformerForSequenceClassification',
  questionAnswering: 'LongformerForQuestionAnswering',
  tokenClassification: 'LongformerForTokenClassification',
  multipleChoice: 'LongformerForMultipleChoice',
};

/** @throws UnsupportedError */
export function expectHead(task: string, got: LongformerHead, expected: LongformerHead): void {
  if (got === expected) return;
  throw new UnsupportedError({
    where: task,
    name: 'model',
    expected: classOfHead[expected],
    got: classOfHead[got],
    hint: 'a checkpoint is good for the task it was trained for; config.json names it under "architectures".',
  });
}
