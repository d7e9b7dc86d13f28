/** Backends by name, and the question that comes before any timing: is it right? */
import { createKernelsOnReference } from '../conformance/kernels-on-reference.ts';
import { conformanceDirectory, readCase, readManifest } from '../conformance/read-case.ts';
import { buildReport, formatReport } from '../conformance/report.ts';
import { runCase } from '../conformance/run.ts';
import { engineSubject } from '../conformance/subjects/engine.ts';
import type { Kernels } from '../contract/kernels.ts';
import { createWasmKernels } from '../wasm/index.ts';

const makers = {
  wasm: (threads: number) => createWasmKernels({ threads }),
  'wasm-baseline': (threads: number) => createWasmKernels({ build: 'baseline', threads }),
  'engine-on-reference': async () => createKernelsOnReference(),
} as const satisfies Record<string, (threads: number) => Promise<Kernels>>;

export type BackendName = keyof typeof makers;
export const backendNames = Object.keys(makers) as BackendName[];

export async function createKernelsNamed(name: BackendName, threads = 1): Promise<Kernels> {
  const make = makers[name];
  if (!make) throw new Error(`no backend "${name}"; there are ${backendNames.join(', ')}`);
  return await make(threads);
}

/**
 * Runs the conformance cases of a level. Null: all pass; otherwise a report of those that do not.
 *
 * A wrong answer can be as fast as it likes: what fails is not timed.
 */
export async function failures(name: BackendName, level: string, threads = 1): Promise<string | null> {
  const precision = name === 'engine-on-reference' ? 'float64' : 'float32';
  const subject = engineSubject(name, precision, () => createKernelsNamed(name, threads));
  const directory = conformanceDirectory();
  const manifest = await readManifest(directory);
  const results = [];
  for (const id of manifest.cases.filter(id => id.startsWith(`${level}/`))) {
    results.push(await runCase(subject, await readCase(directory, id, manifest)));
  }
  const failed = results.filter(({ verdict }) => verdict !== 'pass');
  return failed.length === 0 ? null : formatReport(buildReport(failed, 0));
}
