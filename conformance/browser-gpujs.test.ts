/** gpu.js on WebGL2 in a browser: every kernel, and the oracle. `vitest run --config vitest.browser-webgpu.config.ts`. */
import { afterAll, describe, expect, it } from 'vitest';
import { createGpuJsKernels, openDevice } from '../gpu/gpujs/index.ts';
import { readCaseFrom, readManifestFrom } from './case.ts';
import { describeGpuJs } from './gpujs-suite.ts';
import { readFromPage as read } from './read-page.ts';
import { buildReport, formatReport } from './report.ts';
import { runCase } from './run.ts';
import { engineSubject } from './subjects/engine.ts';

// One device for everything, so that each kernel is compiled once. Whoever runs this wants WebGL2: a browser without it fails.
const device = await openDevice();
const small = await openDevice({ mostScores: 2000 });
afterAll(() => {
  device.dispose();
  small.dispose();
});

describe('kernels of gpu.js in a browser', () => describeGpuJs(device, small));

describe('gpujs in a browser', () => {
  it('every case', async () => {
    const subject = engineSubject('gpujs', 'float32', () => createGpuJsKernels({ device }));
    const manifest = await readManifestFrom(read);
    const ids = manifest.cases.filter(id => subject.levels.includes(id.split('/')[0]!));
    const results = [];
    for (const id of ids) results.push(await runCase(subject, await readCaseFrom(read, id, manifest)));
    const report = buildReport(results, 0);
    expect(report.run).toBe(ids.length);
    expect(report.failed, formatReport(report)).toBe(0);
  });
});
