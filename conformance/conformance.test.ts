/** The oracle through vitest: a test for each case, so that a failure names it. */
import { describe, expect, it } from 'vitest';
import { createWasmKernels } from '../wasm/index.ts';
import { createKernelsOnReference } from './kernels-on-reference.ts';
import { conformanceDirectory, readCase, readManifest } from './read-case.ts';
import { buildReport, formatReport } from './report.ts';
import { runCase, type Subject } from './run.ts';
import { engineSubject } from './subjects/engine.ts';
import { referenceSubject } from './subjects/reference.ts';

const directory = conformanceDirectory();
const manifest = await readManifest(directory);
const models = manifest.cases.filter(id => !id.startsWith('tokenizer/'));

/** Every implementation of this package; backends to come join this list. */
const subjects: readonly Subject[] = [
  referenceSubject(),
  engineSubject('engine-on-reference', 'float64', async () => createKernelsOnReference()),
  engineSubject('wasm', 'float32', () => createWasmKernels({ build: 'relaxed' })),
  engineSubject('wasm-baseline', 'float32', () => createWasmKernels({ build: 'baseline' })),
  engineSubject('wasm-threads', 'float32', () => createWasmKernels({ threads: 2 })),
];

describe.each(subjects)('$name', subject => {
  it.each(models)('%s', async id => {
    const result = await runCase(subject, await readCase(directory, id, manifest));
    expect(result.verdict, formatReport(buildReport([result], 0))).toBe('pass');
  });
});

describe('the suite itself', () => {
  it('covers every level', () => {
    const levels = new Set(manifest.cases.map(id => id.split('/')[0]));
    const encoder = ['attention', 'layer', 'encoder', 'heads'];
    expect([...levels].sort()).toEqual([...encoder, 'led', 'led-step', 'generation', 'tokenizer'].sort());
  });

  it('has peaked attention: a flat one would hide mistakes', async () => {
    const testCase = await readCase(directory, models.find(id => id.startsWith('attention/'))!, manifest);
    const probs = testCase.expected.get('attentions')!.tensor.data;
    expect(Math.max(...probs)).toBeGreaterThan(0.9);
  });
});
