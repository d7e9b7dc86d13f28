/** Each deliberate mistake must be caught, by a named case, under the budgets of a float32 subject. */
import { afterAll, describe, expect, it } from 'vitest';
import type { Case } from './case.ts';
import { createKernelsOnReference } from './kernels-on-reference.ts';
import { engineMutants, generationMutants, ledMutants } from './led-mutants.ts';
import { encoderMutants, loadEngineMutant, loadMutant, type Mutant } from './mutants.ts';
import { conformanceDirectory, readCase, readManifest } from './read-case.ts';
import { runCase, type Subject } from './run.ts';
import { engineSubject } from './subjects/engine.ts';
import { isLedLevel } from './subjects/led.ts';
import { referenceSubject } from './subjects/reference.ts';

const directory = conformanceDirectory();
const manifest = await readManifest(directory);
const cases: Case[] = await Promise.all(
  manifest.cases.filter(id => !id.startsWith('tokenizer/')).map(id => readCase(directory, id, manifest)),
);
const encoderCases = cases.filter(({ level }) => !isLedLevel(level));
const ledCases = cases.filter(({ level }) => level === 'led');
/** Without those whose options were drawn by lot, which would only make it longer; but 14 is the one whose minima decide most. */
const generationCases = cases.filter(({ level, name }) => {
  return level === 'generation' && (!name.startsWith('drawn-') || name === 'drawn-14');
});
const decodingCases = [...cases.filter(({ level }) => level === 'led-step'), ...generationCases];

const caught: string[] = [];
afterAll(() => process.stdout.write(`\nmutants and the cases that catch them\n${caught.join('\n')}\n`));

const reference = async (mutant: Mutant): Promise<Subject> => referenceSubject(await loadMutant(mutant), mutant.name);

/** In float64, so that nothing is wrong but the mistake. */
const engine = async (mutant: Mutant): Promise<Subject> =>
  engineSubject(mutant.name, 'float64', async () => createKernelsOnReference(), await loadEngineMutant(mutant));

const unharmed = (file: string, find: string): Mutant => ({ name: 'none', mistake: '', file, find, replace: find });

/** All of them must be caught. A wrong shape or an exception would be caught by anything; what counts is a wrong number in the right place. */
async function expectCaught(mutant: Mutant, subject: Subject, asked: readonly Case[]): Promise<void> {
  const catchers: string[] = [];
  for (const testCase of asked) {
    const result = await runCase(subject, testCase, 'float32');
    const wrongNumber = result.checks.some(check => !check.ok && Number.isFinite(check.error));
    if (wrongNumber) catchers.push(`${result.level}/${result.name}`);
  }
  expect(catchers.length, 'no case catches it').toBeGreaterThan(0);
  caught.push(`  ${mutant.name}: ${catchers.length}, first ${catchers[0]}`);
}

async function expectPasses(subject: Subject, asked: readonly Case[]): Promise<void> {
  for (const testCase of asked) {
    const result = await runCase(subject, testCase, 'float32');
    expect(result.verdict, result.name).toBe('pass');
  }
}

describe('without a mistake the copy passes: what is caught below is the mistake', () => {
  it('the reference', async () => {
    await expectPasses(await reference(unharmed('reference/index.ts', "export * from './backend.ts';")), cases);
  });

  it('the engine', async () => {
    const mutant = unharmed('runtime/engine/led-decoding.ts', 'if (parents) this.#reorder(parents);');
    await expectPasses(await engine(mutant), decodingCases);
  });
});

describe('mutants of the encoder', () => {
  it.each(encoderMutants)('$name: $mistake', async mutant => {
    await expectCaught(mutant, await reference(mutant), encoderCases);
  });
});

describe('mutants of LED', () => {
  it.each(ledMutants)('$name: $mistake', async mutant => {
    await expectCaught(mutant, await reference(mutant), ledCases);
  });
});

describe('mutants of generation', () => {
  it.each(generationMutants)('$name: $mistake', async mutant => {
    await expectCaught(mutant, await reference(mutant), generationCases);
  });
});

describe('mutants of the engine', () => {
  it.each(engineMutants)('$name: $mistake', async mutant => {
    await expectCaught(mutant, await engine(mutant), decodingCases);
  });
});
