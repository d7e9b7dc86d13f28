/** `longformer summarize`: text in, text out. */
import { Command } from 'commander';
import type { AskedOptions } from '../../runtime/generation/options.ts';
import { addGenerationFlags, generationOptionsOf } from '../generation-flags.ts';
import { modelFlagsOf } from '../load-led.ts';
import { createProgress } from '../progress.ts';
import { readText } from '../read-text.ts';
import { runInWorker } from '../run-in-worker.ts';
import { addModelFlags, type ModelFlags } from '../text-options.ts';

export interface SummarizeJob extends ModelFlags {
  readonly text: string;
  readonly truncate: boolean;
  readonly globalAttention: boolean;
  readonly generation: AskedOptions;
}

/** What the worker says besides progress. */
export type SummarizeNote =
  /** A piece of the text as soon as it is certain. */
  | { readonly kind: 'piece'; readonly text: string }
  /** All texts, at the end. */
  | { readonly kind: 'texts'; readonly texts: readonly string[]; readonly streamed: boolean };

interface Options extends Omit<SummarizeJob, 'text' | 'generation' | 'truncate'> {
  readonly json?: boolean;
  readonly truncate?: boolean;
}

export function summarizeCommand(): Command {
  const command = addModelFlags(
    new Command('summarize')
      .description('Write a summary of a text with an LED checkpoint, or whatever else it was trained to write.')
      .argument('[file]', 'UTF-8 text; - or nothing: standard input'),
  )
    .option('--truncate', 'cut the end of a text that is too long, instead of refusing it')
    .option('--no-global-attention', 'the first token sees its window only, as in pipelines of Hugging Face')
    .option('--json', 'print one JSON object: { texts }');
  return addGenerationFlags(command)
    .addHelpText(
      'after',
      `
Text is printed as it is written; beams are certain only at the end. Several texts are separated by empty lines.

Examples:
  longformer summarize --model my-led paper.txt --num-beams 4 --max-length 256
  cat paper.txt | longformer summarize --model my-led`,
    )
    .action(async (file: string | undefined, options: Options) => {
      const text = await readText('summarize', file);
      const { truncate = false, globalAttention } = options;
      const generation = generationOptionsOf(options as unknown as Record<string, unknown>);
      const job: SummarizeJob = { ...modelFlagsOf(options), text, truncate, globalAttention, generation };
      const progress = createProgress('the work');
      const write = (piece: string): void => void process.stdout.write(harmless(piece));
      const onNote = (note: SummarizeNote): void => {
        if (note.kind === 'piece') {
          if (options.json) return;
          progress.stop(); // the text itself shows how far it is
          write(note.text);
        } else if (options.json) write(`${JSON.stringify({ texts: note.texts })}\n`);
        else write(note.streamed ? '\n' : `${note.texts.join('\n\n')}\n`);
      };
      await runInWorker({ where: 'summarize', module: 'summarize-worker', job, progress, onNote }).finally(() =>
        progress.stop(),
      );
    });
}

/** A model may write whatever bytes it likes; a terminal gets no control characters but line breaks and tabs. */
const harmless = (text: string): string => (process.stdout.isTTY ? text.replace(/(?![\n\t])\p{Cc}/gu, '') : text);
