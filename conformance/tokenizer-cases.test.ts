import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { runTokenizerCase, tokenizerMutants } from './tokenizer-cases.ts';

const folder = fileURLToPath(new URL('./cases/tokenizer', import.meta.url));
const names = readdirSync(folder, { withFileTypes: true })
  .filter(entry => entry.isDirectory())
  .map(entry => entry.name);

test.each(names)('%s agrees with Hugging Face in every id and offset', async name => {
  const result = await runTokenizerCase(`${folder}/${name}`);
  expect(result).toMatchObject({ level: 'tokenizer', name, subject: 'runtime', verdict: 'pass' });
  expect(result.checks.length).toBeGreaterThan(1);
});

test.each(tokenizerMutants)('mutant $name is caught: $description', async mutant => {
  const results = await Promise.all(names.map(name => runTokenizerCase(`${folder}/${name}`, mutant)));
  const caught = results.filter(result => result.verdict === 'fail');
  expect(caught.map(result => result.name)).not.toEqual([]);
  // Caught by its wrong answers, not by an accident.
  expect(caught.every(result => result.reason === undefined)).toBe(true);
});

test('a case that cannot be read is a failed one with a reason', async () => {
  const result = await runTokenizerCase(`${folder}/no-such-case`);
  expect(result).toMatchObject({ name: 'no-such-case', verdict: 'fail', checks: [] });
  expect(result.reason).toContain('ENOENT');
});
