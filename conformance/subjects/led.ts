/** The levels of LED, asked of any model behind the outer seam. */
import type { EncoderInputs, LedModel } from '../../contract/model.ts';
import { memorySink } from '../../runtime/batch.ts';
import * as ledBatch from '../../runtime/led-batch.ts';
import type { Case } from '../case.ts';
import type { NamedTensor } from '../compare.ts';

export const ledLevels = ['led', 'led-step', 'generation'] as const;

export type LedLevel = (typeof ledLevels)[number];

export const isLedLevel = (level: string): level is LedLevel => (ledLevels as readonly string[]).includes(level);

type Outputs = ReadonlyMap<string, NamedTensor>;

/** Hugging Face's batch around an LED, forward and generation: arguments, so that other searches and mutants can be put in. */
export type LedBatch = Pick<typeof ledBatch, 'forwardLedBatch' | 'generateBatch'>;

/** One case of any of the levels. */
export async function runLedCase(model: LedModel, testCase: Case, batch: LedBatch = ledBatch): Promise<Outputs> {
  switch (testCase.level as LedLevel) {
    case 'led':
      return await runForward(model, testCase, batch);
    case 'led-step':
      return await runSteps(model, testCase);
    case 'generation':
      return await runGeneration(model, testCase, batch);
  }
}

/** The whole model, without a cache. */
async function runForward(model: LedModel, testCase: Case, { forwardLedBatch }: LedBatch): Promise<Outputs> {
  const sink = memorySink();
  await forwardLedBatch(model, testCase.ledBatchInputs(), sink, { want: 'all' });
  return sink.tensors;
}

/** Step by step: `logits.0` behind the prompt, `logits.i` behind the i-th step, (groups, V). */
async function runSteps(model: LedModel, testCase: Case): Promise<Outputs> {
  const documents: EncoderInputs[] = ledBatch.splitLedBatch(testCase.ledBatchInputs());
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

/** `sequences` as float64, which holds ids exactly; `sequences_scores` where there are any. */
async function runGeneration(model: LedModel, testCase: Case, { generateBatch }: LedBatch): Promise<Outputs> {
  const options = testCase.generationOptions();
  const { sequences, sequencesScores } = await generateBatch(model, testCase.ledBatchInputs(), options);
  const outputs = new Map<string, NamedTensor>();
  outputs.set('sequences', { shape: sequences.shape, data: Float64Array.from(sequences.data) });
  if (sequencesScores) outputs.set('sequences_scores', sequencesScores);
  return outputs;
}
