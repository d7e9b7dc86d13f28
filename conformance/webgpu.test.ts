/** The oracle on WebGPU in Node: a test for each case, with the schedule of real GPUs too. */
import { describe, expect, it } from 'vitest';
import { conformanceDirectory, readCase, readManifest } from './read-case.ts';
import { buildReport, formatReport } from './report.ts';
import { runCase } from './run.ts';
import { webGpuSubject } from './subjects/webgpu-node.ts';

const directory = conformanceDirectory();
const manifest = await readManifest(directory);
const tiled = await webGpuSubject({ schedule: 'tiled' });
const subjects = [
  await webGpuSubject({ schedule: 'registers' }),
  // Barriers are slow where a processor plays GPU; generation takes many small steps, and its kernels are those of led and led-step.
  { ...tiled, levels: tiled.levels.filter(level => level !== 'generation') },
  await webGpuSubject({ weights: 'float16' }),
];

describe.each(subjects)('$name', subject => {
  const levels = new Set(subject.levels);
  it.for(manifest.cases.filter(id => levels.has(id.split('/')[0]!)))('%s', async (id, { skip }) => {
    const result = await runCase(subject, await readCase(directory, id, manifest));
    if (result.verdict === 'skipped') skip(result.reason);
    expect(result.verdict, formatReport(buildReport([result], 0))).toBe('pass');
  });
});
