/** The front door against Hugging Face's pipelines: 200 texts; labels, spans and ids exact, scores to rounding. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pipeline, type TaskName } from '../api/index.ts';
import { openDirectory } from '../runtime/index-node.ts';

interface PipelineCase {
  readonly task: TaskName;
  readonly model: string;
  readonly inputs: never;
  readonly options: Readonly<Record<string, unknown>>;
  readonly result: unknown;
}

const folder = fileURLToPath(new URL('./pipelines/', import.meta.url));
const { cases } = JSON.parse(readFileSync(`${folder}cases.json`, 'utf8')) as { cases: PipelineCase[] };

/** Hugging Face computes in float32: its own scores are good to some 1e-6. */
const digits = 5;

/** Python's names of options → ours. */
const optionNames: Readonly<Record<string, string>> = {
  top_k: 'topK',
  function_to_apply: 'functionToApply',
  aggregation_strategy: 'aggregation',
  ignore_labels: 'ignoreLabels',
  max_answer_len: 'maxAnswerLength',
  handle_impossible_answer: 'handleImpossibleAnswer',
  align_to_words: 'alignToWords',
};

const groups = Map.groupBy(cases, ({ task, model }) => `${task}, ${model}`);

describe.each(['wasm', 'reference'])('on %s', device => {
  describe.each([...groups])('%s', (_, group) => {
    const { task, model } = group[0]!;
    let run: Awaited<ReturnType<typeof open>>;
    const open = async () => {
      const [weights, tokenizer] = [await openDirectory(folder + model), await openDirectory(`${folder}tokenizer`)];
      const files = {
        name: model,
        open: async (name: string) => (await weights.open(name)) ?? (await tokenizer.open(name)),
        openListed: weights.openListed,
      };
      return pipeline(task, files, { device });
    };
    beforeAll(async () => {
      run = await open();
    });
    afterAll(() => run.dispose());

    // The reference is slow and equal by other tests; a few cases show that it has the same front door.
    const some = device === 'reference' ? group.slice(0, 4) : group;
    test.each(some.map((each, number) => [number, each] as const))('%i', async (_, { inputs, options, result }) => {
      const given = Object.entries(options).map(([name, value]) => [optionNames[name] ?? name, value]);
      const camel = inputs && typeof inputs === 'object' ? renamed(inputs) : inputs;
      const got = await (run as unknown as (input: unknown, options: unknown) => Promise<unknown>)(
        camel,
        Object.fromEntries(given),
      );
      expectSame(got, result, inputs);
    });
  });
});

test('an array is answered like its members, one by one', async () => {
  const run = await pipeline('question-answering', await sources('question-answering'));
  const questions = cases.filter(({ task }) => task === 'question-answering').slice(0, 12);
  const together = await run(
    questions.map(({ inputs }) => inputs),
    { stride: 64 },
  );
  for (const [i, { inputs }] of questions.entries()) expect(await run(inputs, { stride: 64 })).toEqual(together[i]);
  await run.dispose();
});

async function sources(model: string) {
  const [weights, tokenizer] = [await openDirectory(folder + model), await openDirectory(`${folder}tokenizer`)];
  const open = async (name: string) => (await weights.open(name)) ?? (await tokenizer.open(name));
  return { name: model, open, openListed: weights.openListed };
}

const renamed = (inputs: object): object =>
  Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name === 'text_pair' ? 'textPair' : name, value]));

/** Scores to some digits, positions in code points, everything else exactly. */
function expectSame(got: unknown, expected: unknown, inputs: unknown): void {
  if (got !== null && typeof got === 'object' && 'shape' in got) {
    expectFeatures(got as unknown as { shape: number[]; data: Float32Array }, expected);
    return;
  }
  const ranked = got as { index: number; score: number; choice: string }[];
  if (Array.isArray(got) && 'choice' in (got[0] ?? {})) {
    for (const { index, score } of ranked) expect(score).toBeCloseTo((expected as number[])[index]!, digits);
    return;
  }
  expectParts(got, expected, textOf(inputs));
}

function expectParts(got: unknown, expected: unknown, text: string): void {
  if (Array.isArray(expected)) {
    expect(got).toHaveLength(expected.length);
    for (const [i, each] of expected.entries()) expectParts((got as unknown[])[i], each, text);
    return;
  }
  const mine = got as Record<string, unknown>;
  for (const [name, value] of Object.entries(expected as Record<string, unknown>)) {
    if (name === 'score') expect(mine.score).toBeCloseTo(value as number, digits);
    else if (name === 'start' || name === 'end') expect(codePoints(text, mine[name] as number), name).toBe(value);
    // HF decodes words a second time when it groups them, which destroys letters beyond ASCII. Ours stay whole.
    else if (name === 'word' && 'entity_group' in mine && (value as string).includes('\ufffd')) continue;
    else expect(mine[name], name).toEqual(value);
  }
}

const textOf = (inputs: unknown): string =>
  typeof inputs === 'string' ? inputs : ((inputs as { context?: string }).context ?? '');

const codePoints = (text: string, units: number): number => [...text.slice(0, units)].length;

function expectFeatures({ shape, data }: { shape: number[]; data: Float32Array }, expected: unknown): void {
  const { tokens, cls, mean } = expected as { tokens: number; cls: number[]; mean: number[] };
  expect(shape).toEqual([1, tokens, cls.length]);
  for (const [c, value] of cls.entries()) expect(data[c]).toBeCloseTo(value, digits);
  for (const [c, value] of mean.entries()) {
    let sum = 0;
    for (let t = 0; t < tokens; t++) sum += data[t * cls.length + c]!;
    expect(sum / tokens).toBeCloseTo(value, digits);
  }
}
