/** The checkpoints in the box do what models/README.md says, on the backends of this package, and stay small. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type Device, pipeline } from '../api/index.ts';

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

test.each([1, 4])('headline-led writes the headline of a report of 4,061 tokens, beams: %i', async numBeams => {
  await using summarize = await pipeline('summarization', `${models}headline-led`);
  const [written] = await summarize(read('headline-led/sample-report.txt').trim(), { numBeams });
  expect(written!.summary_text).toBe(read('headline-led/sample-headline.txt').trim());
});

describe('size', () => {
  const files = readdirSync(models, { recursive: true, encoding: 'utf8' })
    .filter(path => !path.endsWith('.ts') && !path.includes('__pycache__'))
    .filter(path => statSync(models + path).isFile());

  test('no file is above 1.6 MB', () => {
    for (const path of files) expect(statSync(models + path).size, path).toBeLessThan(1.6e6);
  });

  test('all of them are below 6.5 MB', () => {
    expect(files.reduce((sum, path) => sum + statSync(models + path).size, 0)).toBeLessThan(6.5e6);
  });
});
