/** `npm start`: the oracle in one line for each backend there is, then what the checkpoints in the box can do. */
import { spawn } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { text as readAll } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { createKernelsOnReference } from '../conformance/kernels-on-reference.ts';
import { runOracle } from '../conformance/oracle.ts';
import { conformanceDirectory } from '../conformance/read-case.ts';
import { buildReport, type Report } from '../conformance/report.ts';
import type { Subject } from '../conformance/run.ts';
import { engineSubject } from '../conformance/subjects/engine.ts';
import { referenceSubject } from '../conformance/subjects/reference.ts';
import { createWasmKernels } from '../wasm/index.ts';
import { showModels } from './show-models.ts';

// A reader that has seen enough (`| head`) is no fault.
process.stdout.on('error', () => process.exit());
const say = (line = ''): void => void process.stdout.write(`${line}\n`);

/** How one backend stands, in a line. */
function sayVerdict(name: string, about: string, report: Report): void {
  const numbers = report.summaries.filter(({ baseline }) => baseline !== null);
  const worst = Math.max(...numbers.map(({ worst }) => worst));
  const baseline = Math.max(...numbers.map(({ baseline }) => baseline!));
  say(
    `  ${name.padEnd(20)} ${report.run - report.failed} of ${report.run} cases pass; worst error ${worst.toExponential(1)} ` +
      `(Hugging Face's own float32: ${baseline.toExponential(1)})  ${about}`,
  );
}

async function judge(about: string, subject: Subject, tokenizer = false): Promise<number> {
  const begin = performance.now();
  const results = await runOracle(conformanceDirectory(), [subject], { tokenizer });
  const report = buildReport(results, (performance.now() - begin) / 1000);
  sayVerdict(subject.name, about, report);
  return report.failed;
}

/** In a process of its own: drivers write what they like to stderr. */
async function judgeOnGpu(name: string, about: string): Promise<number> {
  const main = fileURLToPath(new URL('../cli/main.ts', import.meta.url));
  const args = [main, 'conformance', '--backend', name, '--json'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'], timeout: 180_000 });
  const written = await readAll(child.stdout!);
  const { results, seconds } = written === '' ? { results: [], seconds: 0 } : (JSON.parse(written) as Report);
  const report = buildReport(
    results.filter(({ level }) => level !== 'tokenizer'),
    seconds,
  );
  if (report.run > 0) sayVerdict(name, about, report);
  else say(`  ${name.padEnd(20)} not here: ${report.skipped > 0 ? 'no GPU with a driver for it' : 'no result'}`);
  return report.failed;
}

say(styleText('bold', 'Does it compute what Hugging Face computes?'));
let failed = await judge('float64, the plain one', referenceSubject(), true);
failed += await judge(
  'float64, the engine',
  engineSubject('engine-on-reference', 'float64', async () => createKernelsOnReference()),
);
failed += await judge(
  'float32, WebAssembly SIMD',
  engineSubject('wasm', 'float32', () => createWasmKernels()),
);
failed += await judgeOnGpu('webgpu', 'float32, WebGPU');
failed += await judgeOnGpu('gpujs', 'float32, gpu.js');
if (failed > 0) {
  say('Some cases fail. `npm run -s longformer -- conformance` names them.');
  process.exitCode = 1;
}

await showModels(say);
say('\nmodels/README.md says how these models were trained and measured.');
say(
  'Next: `npm run web` shows the patterns; `npm run -s longformer -- --help` lists the commands; README.md has the rest.',
);
