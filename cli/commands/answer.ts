/** `longformer answer`: where in a text the answer to a question stands. */
import { Command } from 'commander';
import type { Answer } from '../../runtime/tasks/question-answering.ts';
import {
  addTextFlags,
  highlight,
  oneLine,
  openPipeline,
  percent,
  print,
  readTexts,
  type TextFlags,
  wholeNumber,
  withProgress,
} from '../text-options.ts';

interface Flags extends TextFlags {
  readonly topK: number;
  readonly stride?: number;
  readonly maxAnswerLength: number;
  readonly globalAttention: boolean;
}

/** Characters shown on each side of an answer at most. */
const around = 160;

export function answerCommand(): Command {
  return addTextFlags(
    new Command('answer')
      .description('Answer a question with a piece of a text.')
      .argument('<question>')
      .argument('[text]', 'the text; - or nothing: standard input'),
  )
    .option('--top-k <count>', 'answers shown', wholeNumber, 1)
    .option('--stride <tokens>', 'read a text that is too long in windows that share so many tokens', wholeNumber)
    .option('--max-answer-length <tokens>', 'longest answer', wholeNumber, 15)
    .option('--no-global-attention', 'no token is global: the question is seen from nearby only')
    .addHelpText(
      'after',
      `
Examples:
  longformer answer --model models/needle-qa "What is the access code of Delia?" --file models/needle-qa/sample-document.txt
  cat contract.txt | longformer answer --model owner/name "Who signed?" --json`,
    )
    .action(async (question: string, given: string | undefined, flags: Flags) => {
      const texts = await readTexts('answer', given === undefined ? [] : [given], flags);
      await using answer = await openPipeline('question-answering', flags);
      const { topK, stride, maxAnswerLength, globalAttention, truncate: truncation } = flags;
      const before = performance.now();
      const options = {
        topK,
        stride,
        maxAnswerLength,
        truncation,
        ...(globalAttention ? {} : { isGlobal: () => false }),
      };
      const results = await withProgress(onProgress =>
        answer(
          texts.map(({ text: context }) => ({ question, context })),
          { ...options, onProgress },
        ),
      );
      const seconds = (performance.now() - before) / 1000;
      print(flags, results, (result, i) => linesOf([result].flat(), texts[i]!));
      if (flags.json) return;
      const tokens = texts.reduce((sum, { text }) => sum + answer.tokenizer.encode(text).inputIds.length, 0);
      process.stderr.write(
        `${tokens} tokens in ${seconds.toFixed(2)} s, ${Math.round(tokens / seconds)} a second (${flags.backend})\n`,
      );
    });
}

function linesOf(answers: readonly Answer[], { name, text }: { name: string; text: string }): string[] {
  return answers.flatMap(({ answer, score, start, end }) => {
    if (answer === '') return [`${percent(score)}  (no answer)`];
    const [from, to] = sentenceAround(text, start, end);
    const before = `${from > 0 ? '… ' : ''}${oneLine(text.slice(from, start).trimStart())}`;
    const after = `${oneLine(text.slice(end, to).trimEnd())}${to < text.length ? ' …' : ''}`;
    const place = `${name === '-' ? '' : `${name}, `}characters ${start}–${end}`;
    return [
      `${percent(score)}  ${oneLine(answer)}`,
      `         ${before}${highlight(oneLine(answer))}${after}  (${place})`,
    ];
  });
}

/** From the end of the sentence before to the end of its own, or as far as there is room for. */
function sentenceAround(text: string, start: number, end: number): [from: number, to: number] {
  const before = text.slice(Math.max(0, start - around), start);
  const after = text.slice(end, end + around);
  const boundary = Math.max(...[...before.matchAll(/[.!?。！？](?=\s)|\n/g)].map(({ index }) => index + 1), 0);
  const stop = /[.!?。！？](?=\s|$)|\n/.exec(after);
  return [start - before.length + boundary, end + (stop ? stop.index + 1 : after.length)];
}
