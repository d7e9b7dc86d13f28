/** What the checkpoints in the box can do: a question on a long document, the same without global attention, a headline, a missing word. */
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { type Filling, pipeline } from '../api/index.ts';

const models = fileURLToPath(new URL('../models/', import.meta.url));
const question = 'What is the access code of Delia?';

type Say = (line: string) => void;

const bold = (text: string): string => styleText('bold', text);
const mark = (text: string): string => styleText(['black', 'bgYellow', 'bold'], text);

/** Says it line by line. Texts are the same on every run, times are not. */
export async function showModels(say: Say): Promise<void> {
  await showAnswers(say);
  await showHeadline(say);
  await showWord(say);
}

async function showAnswers(say: Say): Promise<void> {
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
}

async function showHeadline(say: Say): Promise<void> {
  const report = readFileSync(`${models}headline-led/sample-report.txt`, 'utf8');
  await using write = await pipeline('summarization', `${models}headline-led`);
  const begin = performance.now();
  const [headline] = await write(report, { numBeams: 4 });
  const seconds = ((performance.now() - begin) / 1000).toFixed(2);
  say(`\n${bold('And a headline?')}  (LED, four beams; the facts stand far apart in a report of 4,062 tokens)`);
  say(`  ${mark(headline!.summary_text)}  ${seconds} s`);
}

async function showWord(say: Say): Promise<void> {
  const sentence = 'If the file does not exist, an <mask> is raised.';
  await using fill = await pipeline('fill-mask', `${models}documentation-mlm`);
  const [word] = (await fill(sentence)) as Filling[];
  say(`\n${bold('And a missing word?')}  (a masked language model that has read Python's documentation)`);
  const filled = sentence.replace(' <mask>', ` ${mark(word!.token_str.trim())}`);
  say(`  ${filled}  certain to ${(100 * word!.score).toFixed(1)} %`);
}
