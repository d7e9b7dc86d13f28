/** gpu.js in Node, on Dawn: every kernel alone, and the oracle, a test for each case. browser-gpujs.test.ts is the same on WebGL2. */
import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../contract/errors.ts';
import { openDevice } from '../gpu/gpujs/index-node.ts';
import { describeGpuJs } from './gpujs-suite.ts';
import { conformanceDirectory, readCase, readManifest } from './read-case.ts';
import { buildReport, formatReport } from './report.ts';
import { runCase } from './run.ts';
import { gpuJsDeviceOrReason, gpuJsSubject } from './subjects/gpujs-node.ts';

const device = await gpuJsDeviceOrReason();
if (device instanceof UnsupportedError) it.skip('kernels of gpu.js: no adapter');
else {
  const small = await openDevice({ mostScores: 2000 });
  describe('kernels of gpu.js on Dawn', () => describeGpuJs(device, small));
}

const directory = conformanceDirectory();
const manifest = await readManifest(directory);
const subject = await gpuJsSubject();

describe('gpujs', () => {
  const levels = new Set(subject.levels);
  it.for(manifest.cases.filter(id => levels.has(id.split('/')[0]!)))('%s', async (id, { skip }) => {
    const result = await runCase(subject, await readCase(directory, id, manifest));
    if (result.verdict === 'skipped') skip(result.reason);
    expect(result.verdict, formatReport(buildReport([result], 0))).toBe('pass');
  });
});
