/** The oracle on WebGPU in a browser: the same shaders as in Node. `vitest run --config vitest.browser-webgpu.config.ts`. */
import { describe, expect, it } from 'vitest';
import { createWebGpuKernels, openDevice } from '../gpu/webgpu/index.ts';
import { readCaseFrom, readManifestFrom } from './case.ts';
import { readFromPage as read } from './read-page.ts';
import { buildReport, formatReport } from './report.ts';
import { runCase } from './run.ts';
import { engineSubject } from './subjects/engine.ts';

/** Of the page; the types of this project know Node only. */
const page = globalThis as unknown as { navigator: { gpu?: GPU } };

// Whoever runs this configuration wants WebGPU: a browser without it fails.
describe('webgpu in a browser', () => {
  it.each([
    ['registers', ''],
    ['tiled', 'attention/'],
  ] as const)('every case, schedule %s, of level %s', async (schedule, level) => {
    const device = await openDevice({ gpu: page.navigator.gpu! });
    const subject = engineSubject('webgpu', 'float32', () => createWebGpuKernels({ device, schedule }));
    const manifest = await readManifestFrom(read);
    const ids = manifest.cases.filter(id => subject.levels.includes(id.split('/')[0]!) && id.startsWith(level));
    const results = [];
    for (const id of ids) results.push(await runCase(subject, await readCaseFrom(read, id, manifest)));
    const report = buildReport(results, 0);
    expect(report.run).toBe(ids.length);
    expect(report.failed, formatReport(report)).toBe(0);
    device.destroy();
  });

  it('opens a device of its own when it is given none', async () => {
    const kernels = await createWebGpuKernels();
    expect(kernels.name).toBe('webgpu');
    kernels.dispose();
  });
});
