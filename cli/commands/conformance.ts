/** `longformer conformance`: holds the backends of this package against Hugging Face, on every case that ships with it. */
import { writeFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { createKernelsOnReference } from '../../conformance/kernels-on-reference.ts';
import { runOracle } from '../../conformance/oracle.ts';
import { conformanceDirectory } from '../../conformance/read-case.ts';
import { buildReport, formatReport } from '../../conformance/report.ts';
import type { Subject } from '../../conformance/run.ts';
import { engineSubject } from '../../conformance/subjects/engine.ts';
import { gpuJsSubject } from '../../conformance/subjects/gpujs-node.ts';
import { recordedSubject } from '../../conformance/subjects/recorded.ts';
import { referenceSubject } from '../../conformance/subjects/reference.ts';
import { webGpuSubject } from '../../conformance/subjects/webgpu-node.ts';
import { UnsupportedError, ValueRangeError } from '../../contract/errors.ts';
import { createWasmKernels } from '../../wasm/index.ts';
import { createProgress } from '../progress.ts';

const subjects: Record<string, () => Subject | Promise<Subject>> = {
  reference: () => referenceSubject(),
  'engine-on-reference': () => engineSubject('engine-on-reference', 'float64', async () => createKernelsOnReference()),
  wasm: () => engineSubject('wasm', 'float32', () => createWasmKernels()),
  'wasm-baseline': () => engineSubject('wasm-baseline', 'float32', () => createWasmKernels({ build: 'baseline' })),
  'wasm-threads': () => engineSubject('wasm-threads', 'float32', () => createWasmKernels({ threads: 2 })),
  webgpu: () => webGpuSubject(),
  'webgpu-f16': () => webGpuSubject({ weights: 'float16' }),
  gpujs: () => gpuJsSubject(),
};

/** Those that run on every machine. A GPU is asked for by name, and whether there is one is then said. */
const usualSubjects = Object.keys(subjects).filter(name => !/gpu/.test(name));

export function conformanceCommand(): Command {
  return new Command('conformance')
    .description('Run the oracle: every case on every backend, against Hugging Face in float64.')
    .option('--backend <names>', `comma-separated: ${Object.keys(subjects).join(', ')}`, usualSubjects.join(','))
    .option('--only <prefixes>', 'comma-separated beginnings of level/name, such as attention,encoder/ragged')
    .option('--cases <directory>', 'folder with manifest.json, cases and models', conformanceDirectory())
    .option('--recorded <directory>', 'judge what a port wrote: <level>/<name>.safetensors with its outputs by name')
    .addOption(
      new Option('--precision <gate>', 'judge by this gate instead of the backend’s own').choices([
        'float64',
        'float32',
      ]),
    )
    .option('--json', 'print the report as JSON')
    .option('--report <file>', 'write the report as JSON to a file too')
    .addHelpText(
      'after',
      `
Examples:
  longformer conformance
  longformer conformance --only attention,layer --json
  longformer conformance --backend webgpu
  longformer conformance --backend reference --report report.json
  longformer conformance --recorded my-port/outputs --precision float32

Exit code 0 when every case passes, 1 otherwise (also when no case ran).`,
    )
    .action(async (options: ConformanceOptions) => {
      const recorded = options.recorded && recordedSubject(options.recorded, options.precision ?? 'float32');
      const chosen = recorded ? [recorded] : await Promise.all(options.backend.split(',').map(subjectNamed));
      const only = options.only?.split(',');
      const progress = createProgress('cases');
      const begin = performance.now();
      const results = await runOracle(options.cases, chosen, {
        ...(only && { only }),
        tokenizer: !recorded,
        ...(options.precision && { precision: options.precision }),
        onResult: (result, done, total) => progress.update(done / total, `${result.level}/${result.name}`),
      }).finally(() => progress.stop());
      if (results.length === 0) {
        throw new ValueRangeError({
          where: 'conformance',
          name: '--only',
          expected: 'to match a case',
          got: options.only ?? 'no cases',
        });
      }
      const report = buildReport(results, (performance.now() - begin) / 1000);
      if (options.report) writeFileSync(options.report, JSON.stringify(report, null, 2) + '\n');
      process.stdout.write((options.json ? JSON.stringify(report, null, 2) : formatReport(report)) + '\n');
      process.exitCode = report.failed === 0 && report.run > 0 ? 0 : 1;
    });
}

/** @throws UnsupportedError */
async function subjectNamed(name: string): Promise<Subject> {
  const create = Object.hasOwn(subjects, name) ? subjects[name] : undefined;
  if (create) return await create();
  const available = Object.keys(subjects).join(', ');
  throw new UnsupportedError({ where: 'conformance', name: '--backend', expected: `one of ${available}`, got: name });
}

interface ConformanceOptions {
  readonly backend: string;
  readonly only?: string;
  readonly recorded?: string;
  readonly cases: string;
  readonly precision?: 'float64' | 'float32';
  readonly json?: boolean;
  readonly report?: string;
}
