/** The checkpoints in the box do what models/README.md says, on the backends of this package, and stay small. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type Device, type Filling, pipeline } from '../api/index.ts';

const models = fileURLToPath(new URL('./', import.meta.url));
const read = (path: string): string => readFileSync(models + path, 'utf8');

describe('question answering over 4,096 tokens', () => {
  const context = read('needle-qa/sample-document.txt');
  const questions = JSON.parse(read('needle-qa/sample-questions.json')) as {
    readonly question: string;
    readonly answer: string;
    readonly start: number;
  }[];

  async function countRight(model: string, device: Device, some: typeof questions, withGlobal: boolean) {
    await using answer = await pipeline('question-answering', models + model, { device });
    let right = 0;
    for (const { question, answer: code, start } of some) {
      const [best] = [await answer({ question, context }, withGlobal ? {} : { isGlobal: () => false })].flat();
      right += Number(best!.answer === code && best!.start === start && best!.end === start + code.length);
    }
    return right;
  }

  test('needle-qa finds each of 24 facts among the others', async () => {
    expect(await countRight('needle-qa', 'wasm', questions, true)).toBe(questions.length);
  });

  test('in float64 too', async () => {
    expect(await countRight('needle-qa', 'reference', questions.slice(12, 13), true)).toBe(1);
  });

  test('it needs its global attention', async () => {
    expect(await countRight('needle-qa', 'wasm', questions, false)).toBeLessThan(questions.length / 4);
  });

  test('its twin, trained without, hardly finds one', async () => {
    expect(await countRight('needle-qa-local', 'wasm', questions, false)).toBeLessThan(questions.length / 4);
  });
});

describe('documentation-mlm', () => {
  const folder = `${models}documentation-mlm`;

  test.each([
    ['If the file does not exist, an <mask> is raised.', ' exception'],
    ['Return True if the object is an <mask> of the class.', ' instance'],
    ['If the key is not found, KeyError is <mask>.', ' raised'],
    ['Raises ValueError <mask> the argument is not valid.', ' if'],
  ])('knows what documentation says: %s', async (text, word) => {
    await using fill = await pipeline('fill-mask', folder);
    const [best] = (await fill(text)) as Filling[];
    expect(best).toMatchObject({ token_str: word, sequence: text.replace(' <mask>', word) });
  });

  test('reads far beyond the 128 tokens of its training', async () => {
    const text = read('documentation-mlm/sample-text.txt').trim();
    await using fill = await pipeline('fill-mask', folder);
    const { inputIds } = fill.tokenizer.encode(text);
    expect(inputIds.indexOf(fill.tokenizer.encode('<mask>').inputIds[1]!)).toBeGreaterThan(300);
    const [best] = (await fill(text)) as Filling[];
    expect(best).toMatchObject({ token_str: ' raised', score: expect.closeTo(0.65, 1) });
  });

  test('its vectors bring together what is worded alike', async () => {
    await using embed = await pipeline('feature-extraction', folder);
    const pairs = [
      ['Return the length of the string.', 'Return the number of characters in the string.'],
      ['Return a new dictionary with the keys of the list.', 'Create a dict from a list of keys.'],
      [
        'The with statement closes the socket at the end of the block.',
        'The connection is closed when the block ends.',
      ],
    ];
    const vectors = (await embed(pairs.flat(), { pooling: 'mean', normalize: true })).map(({ data }) => data);
    for (const [i, vector] of vectors.entries()) {
      const likeness = vectors.map((other, j) => (j === i ? -1 : other.reduce((sum, x, c) => sum + x * vector[c]!, 0)));
      expect(likeness.indexOf(Math.max(...likeness))).toBe(i ^ 1); // its partner
    }
  });
});

test.each([1, 4])('headline-led writes the headline of a report of 4,061 tokens, beams: %i', async numBeams => {
  await using summarize = await pipeline('summarization', `${models}headline-led`);
  const [written] = await summarize(read('headline-led/sample-report.txt').trim(), { numBeams });
  expect(written!.summary_text).toBe(read('headline-led/sample-headline.txt').trim());
});

describe('size', () => {
  const sizes = readdirSync(models, { recursive: true, encoding: 'utf8' })
    .filter(path => !path.endsWith('.ts') && !path.includes('__pycache__'))
    .map(path => [path, statSync(models + path)] as const)
    .filter(([, stats]) => stats.isFile())
    .map(([path, { size }]) => [path, size] as const);
  const sum = (some: typeof sizes): number => some.reduce((total, [, size]) => total + size, 0);

  test('no file is above 1.6 MB', () => {
    for (const [path, size] of sizes) expect(size, path).toBeLessThan(1.6e6);
  });

  test('the encoders are below 5 MB, with the LED all is below 6.5 MB', () => {
    expect(sum(sizes.filter(([path]) => !path.startsWith('headline-led')))).toBeLessThan(5e6);
    expect(sum(sizes)).toBeLessThan(6.5e6);
  });
});
