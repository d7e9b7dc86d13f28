/** Each deliberate mistake must be caught, by a named case, under the budgets of a float32 subject. */
import { afterAll, describe, expect, it } from 'vitest';
import type { Case } from './case.ts';
import { loadMutant, mutants } from './mutants.ts';
import { conformanceDirectory, readCase, readManifest } from './read-case.ts';
import { runCase } from './run.ts';
import { referenceSubject } from './subjects/reference.ts';

const directory = conformanceDirectory();
const manifest = await readManifest(directory);
const cases: Case[] = await Promise.all(
  manifest.cases.filter(id => !id.startsWith('tokenizer/')).map(id => readCase(directory, id, manifest)),
);

const caught: string[] = [];
afterAll(() => process.stdout.write(`\nmutants and the cases that catch them\n${caught.join('\n')}\n`));

describe('mutants', () => {
  it('without a mistake the copy passes: what is caught below is the mistake', async () => {
    const unharmed = {
      name: 'none',
      mistake: '',
      file: 'reference/index.ts',
      find: "export * from './backend.ts';",
      replace: "export * from './backend.ts';",
    };
    const subject = referenceSubject(await loadMutant(unharmed), 'copy');
    for (const testCase of cases) {
      const result = await runCase(subject, testCase, 'float32');
      expect(result.verdict, result.name).toBe('pass');
    }
  });

  it.each(mutants)('$name: $mistake', async mutant => {
    const subject = referenceSubject(await loadMutant(mutant), mutant.name);
    const catchers: string[] = [];
    for (const testCase of cases) {
      const result = await runCase(subject, testCase, 'float32');
      // A wrong shape or an exception would be caught by anything; what counts is a wrong number in the right place.
      const wrongNumber = result.checks.some(check => !check.ok && Number.isFinite(check.error));
      if (wrongNumber) catchers.push(`${result.level}/${result.name}`);
    }
    expect(catchers.length, 'no case catches it').toBeGreaterThan(0);
    caught.push(`  ${mutant.name}: ${catchers.length}, first ${catchers[0]}`);
  });
});
