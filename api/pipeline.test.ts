/** The front door: what goes in, what comes out, and what is refused. Equality with Hugging Face: conformance/pipelines.test.ts. */
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from 'vitest';
import type { Want } from '../contract/model.ts';
import { openDirectory } from '../runtime/index-node.ts';
import {
  AbortedError,
  type Answer,
  type EntityGroup,
  LongformerForQuestionAnswering,
  LongformerModel,
  LongformerTokenizer,
  type Pipeline,
  pipeline,
  type TaskName,
  type TokenLabel,
  type TokenSpan,
} from './index.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const models = join(root, 'conformance/pipelines/models');
const open = <Task extends TaskName>(task: Task, name: string = task): Promise<Pipeline<Task>> =>
  pipeline(task, join(models, name));

/** A text of so many tokens of its own. */
const ofTokens = (count: number): string => 'a '.repeat(count).trim();

const messageOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no error',
    (error: Error) => `${error.name}: ${error.message}`,
  );

describe('question answering', () => {
  let answer: Pipeline<'question-answering'>;
  beforeAll(async () => {
    answer = await open('question-answering');
  });
  afterAll(() => answer.dispose());
  const [question, context] = ['Who reads?', 'Anna 👋🏽 reads the old letter.'];

  it('gives one answer for one question, and the answer stands where it says', async () => {
    const one = await answer({ question, context });
    expectTypeOf(one).toEqualTypeOf<Answer>();
    expect(context.slice(one.start, one.end)).toBe(one.answer);
    expect(await answer(question, context)).toEqual(one);
    expect(await answer([{ question, context }])).toEqual([one]);
    expect(await answer([])).toEqual([]);
  });

  it('gives several when asked, best first', async () => {
    const several = (await answer(question, context, { topK: 3 })) as Answer[];
    const scores = several.map(({ score }) => score);
    expect(scores).toHaveLength(3);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    expect(several[0]).toEqual(await answer(question, context));
  });

  it('reads a long context in windows, and finds the same place wherever they begin', async () => {
    const long = `${ofTokens(300)} ${context}`;
    const { start, end, answer: text } = await answer(question, long, { stride: 100 });
    expect(long.slice(start, end)).toBe(text);
    expect(await messageOf(answer(question, long))).toBe(
      'ValueRangeError: question-answering: "input.context" expected at most 192 tokens with the question, got 320.\n' +
        '  Hint: set stride, to read it in windows that overlap, or truncation to cut it.',
    );
    expect(await answer(question, long, { truncation: true })).toMatchObject({ score: expect.any(Number) });
  });

  it('takes separators that are written in a text for text', async () => {
    const { start, end, answer: text } = await answer('Who </s> reads?', `${context} </s> <s>`);
    expect(`${context} </s> <s>`.slice(start, end)).toBe(text);
  });

  it('asks which tokens are global, by where they stand', async () => {
    const spans: TokenSpan[] = [];
    await answer(question, context, { isGlobal: span => spans.push(span) > 0 && span.sequence === 0 });
    const ofContext = spans.filter(({ sequence }) => sequence === 1);
    expect(ofContext.every(({ start, end, text }) => context.slice(start, end) === text)).toBe(true);
    expect(spans.filter(({ sequence }) => sequence === -1)).toHaveLength(4);
    const local = await answer(question, context, { isGlobal: () => false });
    expect(local).not.toEqual(await answer(question, context));
  });

  it.each<[string, unknown[], string]>([
    ['no context', [question, undefined], 'TypeError: question-answering: "input.context" expected a string.'],
    ['a number', [7], 'TypeError: question-answering: "input.question" expected a string.'],
    ['blanks', [question, ' \n'], 'ValueRangeError: question-answering: "input.context" expected some text, got none.'],
    [
      'no answers',
      [question, context, { topK: 0 }],
      'ValueRangeError: tasks: "topK" expected a whole number from 1, got 0.',
    ],
    [
      'windows longer than the model',
      [question, context, { maxLength: 193 }],
      'ValueRangeError: tasks: "maxLength" expected 3..192 tokens, got 193.',
    ],
    [
      'strides longer than windows',
      [question, ofTokens(300), { stride: 500 }],
      'TokenizerError: tokenizer.encode: "stride" expected an integer in 0..188 (maxLength without special tokens), got 500.',
    ],
  ])('refuses %s', async (_, call, message) => {
    const loose = answer as unknown as (...call: unknown[]) => Promise<unknown>;
    expect(await messageOf(loose(...call))).toBe(message);
  });

  it('names the input that is wrong', async () => {
    const inputs = [
      { question, context },
      { question, context: '' },
    ];
    expect(await messageOf(answer(inputs))).toBe(
      'ValueRangeError: question-answering: "inputs[1].context" expected some text, got none.',
    );
  });
});

describe('the other tasks', () => {
  it('fill-mask: one mask gives a list, several a list of lists', async () => {
    await using fill = await open('fill-mask');
    const [best, ...rest] = (await fill('Anna <mask> the letter.', { topK: 2 })) as { sequence: string }[];
    expect(Object.keys(best!)).toEqual(['score', 'token', 'token_str', 'sequence', 'start', 'end']);
    expect(best).toMatchObject({ start: 5, end: 11 });
    expect(rest).toHaveLength(1);
    const two = (await fill('<mask> <mask>')) as unknown[][];
    expect(two.map(({ length }) => length)).toEqual([5, 5]);
    const messages = [
      await messageOf(fill(['a <mask>', 'b'])),
      await messageOf(fill(`<mask> ${ofTokens(300)}`)),
      await messageOf(fill('<mask>', { targets: [] })),
      await messageOf(fill('<mask>', { globalAttentionMask: [1] })),
      await messageOf(fill('<mask>', { globalAttentionMask: [1, 0, 0], isGlobal: () => true })),
      await messageOf(fill(7 as never)),
    ];
    expect(messages).toEqual([
      'ValueRangeError: fill-mask: "texts[1]" expected at least one <mask>, got none.',
      'ValueRangeError: tasks: "text" expected at most 192 tokens, got 303.\n' +
        '  Hint: set truncation to cut it, or, where the task has it, stride to read it in windows.',
      'ValueRangeError: fill-mask: "targets" expected at least one token, got none.',
      'ShapeError: tasks: "globalAttentionMask" expected shape (3), one for each token, got (1).',
      'ValueRangeError: tasks: "globalAttentionMask" expected either a mask or isGlobal, got both.',
      'TypeError: tokenizer.encode: "text" expected a string.',
    ]);
  });

  it('text-classification: the best label, or all', async () => {
    await using classify = await open('text-classification');
    expect(await classify('')).toHaveLength(1);
    const all = await classify({ text: 'one', textPair: 'two' }, { topK: null });
    expect(all.map(({ label }) => label).sort()).toEqual(['anger', 'calm', 'fear', 'joy']);
    expect(all.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 12);
    const long = { text: ofTokens(300), textPair: ofTokens(300) };
    expect(await messageOf(classify(long))).toContain('"text" expected at most 192 tokens, got 604.');
    expect(await classify(long, { truncation: true })).toHaveLength(1); // both are cut
    expect(await messageOf(classify('a', { functionToApply: 'tanh' as never }))).toBe(
      'UnsupportedError: text-classification: "functionToApply" expected one of sigmoid, softmax, none, got tanh.',
    );
    expect(await messageOf(classify(null as never))).toBe(
      'TypeError: text-classification: "text.text" expected a string.',
    );
  });

  it('token-classification: tokens, or groups', async () => {
    await using tag = await open('token-classification');
    const text = 'Anna in Paris 👋🏽';
    const tokens = await tag(text, { ignoreLabels: [] });
    const groups = await tag(text, { aggregation: 'first', ignoreLabels: [] });
    expectTypeOf(tokens).toEqualTypeOf<TokenLabel[]>();
    expectTypeOf(groups).toEqualTypeOf<EntityGroup[]>();
    expect(tokens.map(({ start, end }) => text.slice(start, end)).slice(0, 2)).toEqual(['Anna', 'in']);
    expect(groups.at(-1)!.end).toBe(text.length);
    expect(await messageOf(tag(text, { stride: 8 }))).toBe(
      'ValueRangeError: token-classification: "stride" expected an aggregation other than none beside it, got none.\n' +
        '  Hint: windows overlap, and only groups can be put together again.',
    );
    expect(await messageOf(tag(text, { aggregation: 'sum' as never }))).toBe(
      'UnsupportedError: token-classification: "aggregation" expected one of none, simple, first, average, max, got sum.',
    );
  });

  it('feature-extraction: a vector for each token, or one for all, from any checkpoint', async () => {
    for (const name of ['fill-mask', 'question-answering', 'multiple-choice']) {
      await using extract = await open('feature-extraction', name);
      const { shape, data } = await extract('Anna reads');
      expect(shape).toEqual([1, 4, 24]);
      const cls = await extract('Anna reads', { pooling: 'cls' });
      expect(cls).toEqual({ shape: [1, 24], data: data.slice(0, 24) });
      const [mean] = await extract(['Anna reads'], { pooling: 'mean', normalize: true });
      expect(Math.hypot(...mean!.data)).toBeCloseTo(1, 6);
      expect(await messageOf(extract('a', { pooling: 'max' as never }))).toBe(
        'UnsupportedError: feature-extraction: "pooling" expected one of none, cls, mean, auto, got max.',
      );
    }
  });

  it('multiple-choice: choices by how well they fit', async () => {
    await using choose = await open('multiple-choice');
    const ranked = await choose({ prompt: 'It rained.', choices: ['The street is wet.', 'It is dry.'] });
    expect(ranked.map(({ index }) => index).sort()).toEqual([0, 1]);
    expect(ranked[0]!.score + ranked[1]!.score).toBeCloseTo(1, 12);
    const messages = [
      await messageOf(choose({ prompt: 'a', choices: [] })),
      await messageOf(choose({ prompt: 'a' } as never)),
    ];
    expect(messages).toEqual([
      'ValueRangeError: tasks: "input.choices.length" expected a whole number from 1, got 0.',
      'TypeError: multiple-choice: "input.choices" expected an array.',
    ]);
  });
});

describe('one pass for many texts', () => {
  const texts = Array.from({ length: 200 }, (_, i) => `${i % 7} ${ofTokens(i % 150)}`);

  /** Tokens of each pass that the model makes from now on. */
  function passesOf({ model }: Pick<Pipeline<'feature-extraction'>, 'model'>): number[] {
    const passes: number[] = [];
    const { forward } = model;
    model.forward = (documents, options) => {
      passes.push(documents.reduce((sum, { inputIds }) => sum + inputIds!.length, 0));
      return forward.call(model, documents, options);
    };
    return passes;
  }

  it('windows of one very long text need several passes', async () => {
    await using answer = await open('question-answering');
    const passes = passesOf(answer);
    const context = `${ofTokens(12_000)} Anna reads.`;
    const { start, end, answer: text } = await answer('Who?', context, { stride: 100 });
    expect(context.slice(start, end)).toBe(text);
    expect(passes.length).toBeGreaterThan(1);
    expect(Math.max(...passes)).toBeLessThanOrEqual(16_384);
  });

  it('can be stopped while it still looks at the texts', async () => {
    await using extract = await open('feature-extraction', 'fill-mask');
    const passes = passesOf(extract);
    const many = new Array(3000).fill(ofTokens(180));
    await expect(extract(many, { signal: AbortSignal.abort() })).rejects.toThrow(AbortedError);
    expect(passes).toEqual([]);
  });

  it('an array is packed: few passes, never more tokens in one than there is room for', async () => {
    await using extract = await open('feature-extraction', 'fill-mask');
    const passes = passesOf(extract);
    const done: number[] = [];
    const together = await extract(texts, { pooling: 'cls', onProgress: share => done.push(share) });
    const tokens = texts.reduce((sum, text) => sum + extract.tokenizer.encode(text).inputIds.length, 0);
    expect(passes.reduce((sum, each) => sum + each, 0)).toBe(tokens);
    expect(passes.length).toBe(Math.ceil(tokens / 16_384));
    expect(Math.max(...passes)).toBeLessThanOrEqual(16_384);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(done.at(-1)).toBeCloseTo(1, 12);
    for (const at of [0, 77, 199]) expect(await extract(texts[at]!, { pooling: 'cls' })).toEqual(together[at]);
  });

  it('can be stopped, and goes on as if nothing had been', async () => {
    await using extract = await open('feature-extraction', 'fill-mask');
    const abort = new AbortController();
    const stopped = extract(texts, { signal: abort.signal, onProgress: () => abort.abort(new Error('enough')) });
    await expect(stopped).rejects.toThrow(AbortedError);
    await expect(stopped).rejects.toMatchObject({ cause: new Error('enough') });
    expect((await extract('again', { pooling: 'cls' })).shape).toEqual([1, 24]);
  });

  it('calls do not wait for each other and do not mix', async () => {
    await using classify = await open('text-classification');
    const some = texts.slice(0, 5);
    const alone = [];
    for (const text of some) alone.push(await classify(text));
    expect(await Promise.all(some.map(text => classify(text)))).toEqual(alone);
  });
});

describe('loading', () => {
  it.each<[string, () => Promise<unknown>, string]>([
    [
      'another task',
      () => pipeline('translate' as never, 'x'),
      'UnsupportedError: pipeline: "task" expected one of fill-mask, text-classification, question-answering, token-classification, feature-extraction, multiple-choice, summarization, text2text-generation, got translate.',
    ],
    [
      'a checkpoint of another task, before its weights are read',
      async () => {
        const files = await openDirectory(join(models, 'question-answering'));
        const openOnly = { ...files, openListed: files.openListed, open: files.open, name: 'x' };
        return pipeline('fill-mask', openOnly);
      },
      'UnsupportedError: fill-mask: "model" expected LongformerForMaskedLM, got LongformerForQuestionAnswering.\n' +
        '  Hint: a checkpoint is good for the task it was trained for; config.json names it under "architectures".',
    ],
    [
      'another device',
      () => pipeline('fill-mask', join(models, 'fill-mask'), { device: 'tpu' }),
      'UnsupportedError: createDevice: "device" expected one of wasm, reference, webgpu, gpujs, got tpu.',
    ],
    [
      'another number format',
      () => pipeline('fill-mask', join(models, 'fill-mask'), { dtype: 'fp16' as never }),
      'UnsupportedError: createDevice: "dtype" expected fp32 on wasm, got fp16.',
    ],
    [
      'threads where there are none',
      () => pipeline('fill-mask', join(models, 'fill-mask'), { device: 'reference', threads: 2 }),
      'UnsupportedError: createDevice: "threads" expected 1 on reference, got 2.',
    ],
    [
      'a directory that is not there',
      () => pipeline('fill-mask', './nowhere'),
      'IoError: openCheckpoint: "./nowhere" expected a directory, got nothing there.',
    ],
    [
      'nothing',
      () => pipeline('fill-mask', undefined as never),
      'TypeError: openSource: "model" expected a directory, a hub id, an address or open files.',
    ],
  ])('refuses %s', async (_, work, message) => {
    expect(await messageOf(work())).toBe(message);
  });

  it('takes texts as long as it is told to', async () => {
    await using classify = await pipeline('text-classification', join(models, 'text-classification'), {
      maxCharacters: 5,
    });
    expect(await classify('abcde')).toHaveLength(1);
    expect(await messageOf(classify('abcdef'))).toBe(
      'TokenizerError: tokenizer.encode: "text" expected at most 5 characters, got 6.\n' +
        '  Hint: split the document, or load the tokenizer with a larger maxCharacters.',
    );
  });

  it('tells how much is loaded, and can be stopped', async () => {
    const done: number[] = [];
    const options = { onProgress: (share: number) => void done.push(share) };
    await (await pipeline('fill-mask', join(models, 'fill-mask'), options)).dispose();
    expect(done.at(-1)).toBe(1);
    const { signal } = { signal: AbortSignal.abort() };
    await expect(pipeline('fill-mask', join(models, 'fill-mask'), { signal })).rejects.toThrow(AbortedError);
  });

  it('gives everything back, once; calls after that are refused', async () => {
    const classify = await open('text-classification');
    await classify.dispose();
    await classify.dispose();
    await expect(classify('a')).rejects.toThrow('disposed');
  });

  it('model classes decide the head and give tensors', async () => {
    const directory = join(models, 'question-answering');
    await using model = await LongformerForQuestionAnswering.fromPretrained(directory);
    const { inputIds } = model.tokenizer.encode('Who?', { textPair: 'Anna reads.' });
    const { startLogits } = await model.forward({ inputIds });
    expect(startLogits!.shape).toEqual([inputIds.length]);
    await using bare = await LongformerModel.fromPretrained(directory);
    const want: Want = { lastHiddenState: true };
    const [first, second] = await bare.forward([{ inputIds }, { inputIds: inputIds.slice(0, 3) }], { want });
    expect([first!.lastHiddenState!.shape, second!.lastHiddenState!.shape]).toEqual([
      [inputIds.length, 24],
      [3, 24],
    ]);
    const tokenizer = await LongformerTokenizer.fromPretrained(directory);
    expect(tokenizer.decode(inputIds, { skipSpecialTokens: true })).toBe('Who?Anna reads.');
  });
});

it('the entry imports nothing of Node until it is needed, so that a page can import it', () => {
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const text = readFileSync(path, 'utf8');
    for (const [, target] of text.matchAll(/^(?:import|export)\s(?!type\b)[^;]*?from '([^']+)';/gm)) {
      expect(target, relative(root, path)).toMatch(/^\./);
      visit(join(dirname(path), target!));
    }
  };
  visit(join(root, 'api/index.ts'));
  expect(seen.size).toBeGreaterThan(20);
});
