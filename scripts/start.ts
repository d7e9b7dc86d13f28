/**
 * `npm start`: the oracle in one line for each backend, then a question answered on a long document by the checkpoint in the box, the same
 * without global attention, a headline and a missing word.
 */
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { type Filling, pipeline } from '../api/index.ts';
import { createKernelsOnReference } from '../conformance/kernels-on-reference.ts';
import { runOracle } from '../conformance/oracle.ts';
import { conformanceDirectory } from '../conformance/read-case.ts';
import { buildReport } from '../conformance/report.ts';
import { engineSubject } from '../conformance/subjects/engine.ts';
import { referenceSubject } from '../conformance/subjects/reference.ts';
import { createWasmKernels } from '../wasm/index.ts';

const models = fileURLToPath(new URL('../models/', import.meta.url));
const question = 'What is the access code of Delia?';

const bold = (text: string): string => styleText('bold', text);
const mark = (text: string): string => styleText(['black', 'bgYellow', 'bold'], text);
const say = (line = ''): void => void process.stdout.write(`${line}\n`);

say(bold('Does it compute what Hugging Face computes?'));
let failed = 0;
for (const [about, subject, tokenizer] of [
  ['float64, the plain one', referenceSubject(), true],
  [
    'float64, the engine',
    engineSubject('engine-on-reference', 'float64', async () => createKernelsOnReference()),
    false,
  ],
  ['float32, WebAssembly SIMD', engineSubject('wasm', 'float32', () => createWasmKernels()), false],
] as const) {
  const begin = performance.now();
  const results = await runOracle(conformanceDirectory(), [subject], { tokenizer });
  const report = buildReport(results, (performance.now() - begin) / 1000);
  const numbers = report.summaries.filter(({ baseline }) => baseline !== null);
  const worst = Math.max(...numbers.map(({ worst }) => worst));
  const baseline = Math.max(...numbers.map(({ baseline }) => baseline!));
  const passed = report.run - report.failed;
  failed += report.failed;
  say(
    `  ${subject.name.padEnd(20)} ${passed} of ${report.run} cases pass; worst error ${worst.toExponential(1)} ` +
      `(Hugging Face's own float32: ${baseline.toExponential(1)})  ${about}`,
  );
}
if (failed > 0) {
  say('Some cases fail. `npm run -s longformer -- conformance` names them.');
  process.exitCode = 1;
}

const context = readFileSync(`${models}needle-qa/sample-document.txt`, 'utf8');
for (const [model, withGlobal] of [
  ['needle-qa', true],
  ['needle-qa-local', false],
] as const) {
  await using answer = await pipeline('question-answering', models + model);
  const tokens = answer.tokenizer.encode(question, { textPair: context }).inputIds.length;
  if (withGlobal) say(`\n${bold(question)}  (a document of ${tokens} tokens with 24 such codes)`);
  const options = withGlobal ? {} : { isGlobal: () => false };
  await answer({ question, context: context.slice(0, 2000) }, options); // the first call compiles
  const begin = performance.now();
  const [best] = [await answer({ question, context }, options)].flat();
  const seconds = (performance.now() - begin) / 1000;
  const { answer: text, start, end, score } = best!;
  const around = `… ${context.slice(start - 50, start)}${mark(text)}${context.slice(end, end + 30)} …`;
  say(`  ${withGlobal ? 'question tokens global' : 'no global attention   '}  ${around}`);
  const speed = `${seconds.toFixed(2)} s, ${Math.round(tokens / seconds)} tokens a second`;
  say(`  ${' '.repeat(22)}  certain to ${(100 * score).toFixed(1)} %; ${speed}, wasm, one thread`);
}
say('  Without global attention the question cannot be seen from where the facts stand.');

const report = readFileSync(`${models}headline-led/sample-report.txt`, 'utf8');
await using write = await pipeline('summarization', `${models}headline-led`);
const begin = performance.now();
const [headline] = await write(report, { numBeams: 4 });
const seconds = ((performance.now() - begin) / 1000).toFixed(2);
say(`\n${bold('And a headline?')}  (LED, four beams; the facts stand far apart in a report of 4,062 tokens)`);
say(`  ${mark(headline!.summary_text)}  ${seconds} s`);

const sentence = 'If the file does not exist, an <mask> is raised.';
await using fill = await pipeline('fill-mask', `${models}documentation-mlm`);
const [word] = (await fill(sentence)) as Filling[];
say(`\n${bold('And a missing word?')}  (a masked language model that has read Python's documentation)`);
say(`  ${sentence.replace(' <mask>', mark(word!.token_str))}  certain to ${(100 * word!.score).toFixed(1)} %`);
say('\nmodels/README.md says how these models were trained and measured.');
say(
  'Next: `npm run web` shows the patterns; `npm run -s longformer -- --help` lists the commands; README.md has the rest.',
);
