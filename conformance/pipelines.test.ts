/**
 * The front door against Hugging Face's pipelines: labels, spans, ids and texts exact, scores within budget.ts.
 *
 * Goldens: generate/pipelines.py. Spans there count code points, as Python does, and here UTF-16 units.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { type Pipeline, pipeline, type TaskName } from '../api/index.ts';
import type { Tensor } from '../contract/tensor.ts';
import { createMemorySource } from '../runtime/checkpoint/byte-source.ts';
import type { CheckpointFiles } from '../runtime/checkpoint/open.ts';
import { openDirectory } from '../runtime/index-node.ts';
import { allowedError } from './budget.ts';

interface Sheet {
  readonly scores: 'float64' | 'float32';
  readonly spread: number;
  readonly cases: readonly Case[];
}

interface Case {
  readonly model: string;
  readonly input: string | { readonly context?: string; readonly sha256?: string };
  /** Changes to config.json. */
  readonly config?: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly expected: unknown;
}

const folder = fileURLToPath(new URL('./pipelines/', import.meta.url));
const readSheet = (task: string): Sheet => JSON.parse(readFileSync(`${folder}${task}.json`, 'utf8')) as Sheet;

const tasks = [
  'fill-mask',
  'text-classification',
  'question-answering',
  'token-classification',
  'feature-extraction',
  'multiple-choice',
] as const;

type Run = ((input: unknown, options?: unknown) => Promise<unknown>) & { dispose(): Promise<void> };

const opened = new Map<string, Promise<Run>>();
afterAll(async () => {
  for (const run of opened.values()) await (await run).dispose();
});

/** One pipeline for all cases of a checkpoint. */
function open(task: TaskName, device: string, { model, config = {} }: Case): Promise<Run> {
  const key = JSON.stringify([task, device, model, config]);
  const known = opened.get(key);
  if (known) return known;
  const made = sourceOf(model, config).then(files => pipeline(task, files, { device })) as unknown as Promise<Run>;
  opened.set(key, made);
  return made;
}

async function sourceOf(model: string, changes: Readonly<Record<string, string>>): Promise<CheckpointFiles> {
  const directory = `${folder}models/${model}`;
  const files = await openDirectory(directory);
  const config = { ...JSON.parse(readFileSync(`${directory}/config.json`, 'utf8')), ...changes };
  return {
    name: model,
    openListed: name => files.openListed(name),
    open: async name =>
      name === 'config.json' ? createMemorySource(new TextEncoder().encode(JSON.stringify(config))) : files.open(name),
  };
}

type Fields = Record<string, unknown>;

const flat = (value: unknown): Fields[] => (Array.isArray(value) ? value.flatMap(flat) : [value as Fields]);
const codePoints = (text: string, units: number): number => [...text.slice(0, units)].length;

/** Everything but scores, with spans in code points. */
function choices(result: unknown, text: string): Fields[] {
  return flat(result).map(({ score, start, end, ...rest }) => ({
    ...rest,
    ...(start === undefined ? {} : { start: codePoints(text, start as number), end: codePoints(text, end as number) }),
  }));
}

/** HF has no spans for masks, and turns a word of a group into text twice, which breaks letters beyond ASCII; ours stay whole. */
function comparable(task: string, got: Fields[], expected: readonly Fields[]): Fields[] {
  return got.map((each, i) => {
    const { start, end, ...rest } = each;
    const same = task === 'fill-mask' ? rest : { ...each };
    const words = [each.word, expected[i]?.word] as string[];
    const twice = 'entity_group' in each && /[^\0-\x7f]/.test(words.join(''));
    return twice ? { ...same, word: words[1] } : same;
  });
}

const textOf = (input: Case['input']): string => (typeof input === 'string' ? input : (input.context ?? ''));

const withoutScores = (values: unknown): Fields[] => flat(values).map(({ score, ...rest }) => rest);

function scoresOf(task: string, result: unknown, expected: unknown): [got: number, expected: number][] {
  if (task !== 'feature-extraction') {
    const got = flat(result);
    return flat(expected).map((each, i) => [got[i]!.score as number, each.score as number]);
  }
  const { shape, data } = result as Tensor;
  const { tokens, first, last, mean } = expected as { tokens: number; first: number[]; last: number[]; mean: number[] };
  const width = first.length;
  expect(shape).toEqual([1, tokens, width]);
  const meanOf = (c: number): number => {
    let sum = 0;
    for (let t = 0; t < tokens; t++) sum += data[t * width + c]!;
    return sum / tokens;
  };
  return [
    ...first.map((value, c): [number, number] => [data[c]!, value]),
    ...last.map((value, c): [number, number] => [data[(tokens - 1) * width + c]!, value]),
    ...mean.map((value, c): [number, number] => [meanOf(c), value]),
  ];
}

// The reference reads fewer texts: it is slow, and these are as many as show that it has the same front door.
describe.each([
  ['wasm', 'float32', 1],
  ['reference', 'float64', 4],
] as const)('on %s', (device, precision, every) => {
  describe.each(tasks)('%s', task => {
    const { cases, spread, scores } = readSheet(task);
    const some = cases.map((each, number) => [number, each] as const).filter(([number]) => number % every === 0);
    // HF's text classification ends in float32 whatever the model computes in.
    const judged = precision === 'float64' && scores === 'float64' ? 'float64' : 'float32';

    test.each(some)('text %i', async (_, each) => {
      const run = await open(task, device, each);
      const result = await run(each.input, each.options);
      if (task !== 'feature-extraction') {
        const got = choices(result, textOf(each.input));
        const expected = withoutScores(each.expected);
        expect(comparable(task, got, expected)).toEqual(expected);
      }
      const pairs = scoresOf(task, result, each.expected);
      const max = Math.max(1, ...pairs.map(([, expected]) => Math.abs(expected)));
      const worst = Math.max(0, ...pairs.map(([got, expected]) => Math.abs(got - expected)));
      expect(worst).toBeLessThanOrEqual(allowedError('scores', { spread, max }, judged));
    });

    test('an array is answered as its members are', async () => {
      const like = (each: Case): string => JSON.stringify([each.model, each.config, each.options]);
      const group = cases.filter(each => like(each) === like(cases[0]!)).slice(0, 8);
      const run = await open(task, device, group[0]!);
      const together = (await run(
        group.map(({ input }) => input),
        group[0]!.options,
      )) as unknown[];
      expect(together).toHaveLength(group.length);
      for (const [i, { input, options }] of group.entries()) expect(await run(input, options)).toEqual(together[i]);
    });
  });
});

test.each([
  ['wasm', 'float32', 6],
  ['reference', 'float64', 1],
] as const)(
  'the trained checkpoint reads its 4,000 tokens as Hugging Face does, on %s',
  async (device, precision, count) => {
    const models = fileURLToPath(new URL('../models/needle-qa', import.meta.url));
    const context = readFileSync(`${models}/sample-document.txt`, 'utf8');
    const { cases, spread } = readSheet('needle-qa');
    const answer = await pipeline('question-answering', models, { device });
    for (const { input, options, expected } of cases.slice(0, count)) {
      const { question, sha256 } = input as { question: string; sha256: string };
      expect(createHash('sha256').update(context).digest('hex')).toBe(sha256); // another document: run the generator
      const result = await answer(question, context, options);
      expect(choices(result, context)).toEqual(withoutScores(expected));
      for (const [got, score] of scoresOf('question-answering', result, expected)) {
        expect(Math.abs(got - score)).toBeLessThanOrEqual(allowedError('scores', { spread, max: 1 }, precision));
      }
    }
    await answer.dispose();
  },
);

describe.each([
  ['wasm', 'float32'],
  ['reference', 'float64'],
] as const)('the language model in the box, on %s', (device, precision) => {
  const directory = fileURLToPath(new URL('../models/documentation-mlm', import.meta.url));
  const sample = readFileSync(`${directory}/sample-text.txt`, 'utf8').trim();

  describe.each([
    ['fill-mask', 'documentation-mlm-fill-mask'],
    ['feature-extraction', 'documentation-mlm-vectors'],
  ] as const)('%s', (task, name) => {
    const { cases, spread } = readSheet(name);

    test.each(cases.map((each, number) => [number, each] as const))('text %i', async (_, { input, expected }) => {
      const { sha256 } = input as { sha256?: string };
      const text = sha256 === undefined ? (input as string) : sample;
      // Another text: run the generator.
      if (sha256 !== undefined) expect(createHash('sha256').update(text).digest('hex')).toBe(sha256);
      await using run = await pipeline(task, directory, { device });
      const result = await (run as unknown as Run)(text);
      if (task === 'fill-mask') {
        const chosen = withoutScores(expected);
        expect(comparable(task, choices(result, text), chosen)).toEqual(chosen);
      }
      const pairs = scoresOf(task, result, expected);
      const max = Math.max(1, ...pairs.map(([, score]) => Math.abs(score)));
      const worst = Math.max(...pairs.map(([got, score]) => Math.abs(got - score)));
      expect(worst).toBeLessThanOrEqual(allowedError('scores', { spread, max }, precision));
    });
  });
});

test('there are 200 texts and more, and many that are not ASCII', () => {
  const inputs = tasks.flatMap(task => readSheet(task).cases.map(({ input }) => JSON.stringify(input)));
  expect(inputs.length).toBeGreaterThanOrEqual(200);
  expect(inputs.filter(input => /[^\0-\x7f]/.test(input)).length).toBeGreaterThanOrEqual(100);
});

test('windows of a text that is too long are put together as Hugging Face does', async () => {
  const { cases } = readSheet('token-classification');
  const strided = cases.filter(({ options }) => 'stride' in options);
  expect(strided.length).toBeGreaterThanOrEqual(10);
  const tag = (await open('token-classification', 'wasm', strided[0]!)) as unknown as Pipeline<'token-classification'>;
  const before = { options: { aggregation: 'simple' }, input: textOf(strided[0]!.input) } as const;
  await expect(tag(before.input, before.options)).rejects.toThrow(/expected at most 192 tokens, got \d+\.\n {2}Hint: /);
});
