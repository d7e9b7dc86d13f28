/** The oracle in a browser: cases come by fetch, kernels by URL, and nothing of Node is there. `npm run test:browser`. */
import { describe, expect, it } from 'vitest';
import { createWasmKernels } from '../wasm/index.ts';
import { readCaseFrom, readManifestFrom } from './case.ts';
import { createKernelsOnReference } from './kernels-on-reference.ts';
import { readFromPage as read } from './read-page.ts';
import { buildReport, formatReport } from './report.ts';
import { runCase, type Subject } from './run.ts';
import { engineSubject } from './subjects/engine.ts';
import { referenceSubject } from './subjects/reference.ts';

const subjects: readonly Subject[] = [
  referenceSubject(),
  engineSubject('engine-on-reference', 'float64', async () => createKernelsOnReference()),
  engineSubject('wasm', 'float32', () => createWasmKernels({ build: 'relaxed' })),
  engineSubject('wasm-baseline', 'float32', () => createWasmKernels({ build: 'baseline' })),
  engineSubject('wasm-threads', 'float32', () => createWasmKernels({ threads: 2 })),
];

describe.each(subjects)('$name', subject => {
  it('every case of every level with tensors', async () => {
    const manifest = await readManifestFrom(read);
    const ids = manifest.cases.filter(id => !id.startsWith('tokenizer/'));
    const results = [];
    for (const id of ids) results.push(await runCase(subject, await readCaseFrom(read, id, manifest)));
    const report = buildReport(results, 0);
    expect(report.run).toBe(ids.length);
    expect(report.failed, formatReport(report)).toBe(0);
  });
});
