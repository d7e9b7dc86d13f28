/** The levels of LED, asked of any model behind the outer seam. */
import type { EncoderInputs, LedModel } from '../../contract/model.ts';
import { memorySink } from '../../runtime/batch.ts';
import { forwardLedBatch, generateBatch, splitLedBatch } from '../../runtime/led-batch.ts';
import type { Case } from '../case.ts';
import type { NamedTensor } from '../compare.ts';

export const ledLevels = ['led', 'led-step', 'generation'] as const;

export type LedLevel = (typeof ledLevels)[number];

export const isLedLevel = (level: string): level is LedLevel => (ledLevels as readonly string[]).includes(level);

type Outputs = ReadonlyMap<string, NamedTensor>;

/** One case of any of the levels. `write`: level generation, if not by the fast search over the model. */
export async function runLedCase(
  model: LedModel,
  testCase: Case,
  write: (model: LedModel, testCase: Case) => Promise<Outputs> = writeBatch,
): Promise<Outputs> {
  if (testCase.level === 'led') return await runForward(model, testCase);
  return testCase.level === 'led-step' ? await runSteps(model, testCase) : await write(model, testCase);
}

/** The whole model, without a cache. */
async function runForward(model: LedModel, testCase: Case): Promise<Outputs> {
  const sink = memorySink();
  await forwardLedBatch(model, testCase.ledBatchInputs(), sink, { want: 'all' });
  return sink.tensors;
}

/** Step by step: `logits.0` behind the prompt, `logits.i` behind the i-th step, (groups, V). */
async function runSteps(model: LedModel, testCase: Case): Promise<Outputs> {
  const documents: EncoderInputs[] = splitLedBatch(testCase.ledBatchInputs());
  const input = (name: string): { shape: readonly number[]; data: Int32Array } => testCase.integerInput(name)!;
  const [prompt, steps, parents] = [input('prompt'), input('steps'), input('parents')];
  const [groups, promptLength] = prompt.shape as [number, number];
  const stepCount = steps.shape[0]!;

  const source = await model.encode(documents);
  const decoding = model.startDecoding(source, input('group_documents').data, promptLength + stepCount);
  const outputs = new Map<string, NamedTensor>();
  const keep = (step: number, logits: Float32Array | Float64Array): void => {
    outputs.set(`logits.${step}`, { shape: [groups, model.config.vocabSize], data: logits.slice() });
  };
  keep(0, await decoding.prefill(prompt.data));
  for (let step = 0; step < stepCount; step++) {
    const row = ({ data }: { data: Int32Array }): Int32Array => data.slice(step * groups, (step + 1) * groups);
    keep(step + 1, await decoding.step(row(steps), row(parents)));
  }
  decoding.dispose();
  source.dispose();
  return outputs;
}

/** The search that every backend shares, over a model. */
async function writeBatch(model: LedModel, testCase: Case): Promise<Outputs> {
  const { sequences, sequencesScores } = await generateBatch(
    model,
    testCase.ledBatchInputs(),
    testCase.generationOptions(),
  );
  return namedSequences({ shape: sequences.shape, data: Float64Array.from(sequences.data) }, sequencesScores);
}

/** What level generation compares. */
export function namedSequences(sequences: NamedTensor, scores: NamedTensor | null): Outputs {
  const outputs = new Map<string, NamedTensor>([['sequences', sequences]]);
  if (scores) outputs.set('sequences_scores', scores);
  return outputs;
}
