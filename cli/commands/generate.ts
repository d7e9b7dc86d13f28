/** `longformer generate`: token ids in, token ids out. Text: summarize.ts. */
import { Command } from 'commander';
import { temporaryPath } from '../../runtime/checkpoint/safetensors-writer-node.ts';
import type { AskedOptions } from '../../runtime/generation/options.ts';
import { addGenerationFlags, generationOptionsOf } from '../generation-flags.ts';
import { modelFlagsOf } from '../load-led.ts';
import { createProgress } from '../progress.ts';
import { runInWorker } from '../run-in-worker.ts';
import { addModelFlags, type ModelFlags } from '../text-options.ts';

export interface GenerateJob extends ModelFlags {
  readonly inputs: string;
  readonly outputs: string;
  /** Where the outputs are written until they are complete. */
  readonly temporary: string;
  readonly generation: AskedOptions;
}

interface Options extends Omit<GenerateJob, 'temporary' | 'generation'> {
  readonly json?: boolean;
}

export function generateCommand(): Command {
  const command = addModelFlags(
    new Command('generate').description(
      'Write token ids with an LED: greedy, by beam search or drawn, as Hugging Face does.',
    ),
  )
    .requiredOption(
      '--inputs <file>',
      'safetensors with input_ids, attention_mask, global_attention_mask, … [batch, n]',
    )
    .requiredOption('--outputs <file>', 'safetensors to write: sequences, and sequences_scores of beams')
    .option('--json', 'print a line of JSON with the file and the seconds it took');
  return addGenerationFlags(command)
    .addHelpText(
      'after',
      `
Inputs are named as in Hugging Face: input_ids, attention_mask, global_attention_mask (I64 or I32), inputs_embeds (float), and
decoder_input_ids as the prompt. Without attention_mask every token counts, padding too.

Examples:
  longformer generate --model my-led --inputs in.safetensors --outputs out.safetensors --num-beams 4 --max-length 256
  longformer generate --model my-led --inputs in.safetensors --outputs out.safetensors --do-sample --top-p 0.9 --seed 7`,
    )
    .action(async (options: Options) => {
      const begin = performance.now();
      const { inputs, outputs } = options;
      const temporary = temporaryPath(outputs);
      const generation = generationOptionsOf(options as unknown as Record<string, unknown>);
      const job: GenerateJob = { ...modelFlagsOf(options), inputs, outputs, temporary, generation };
      const progress = createProgress('the work');
      await runInWorker({ where: 'generate', module: 'generate-worker', job, progress, temporary }).finally(() =>
        progress.stop(),
      );
      const seconds = (performance.now() - begin) / 1000;
      process.stdout.write(
        options.json ? `${JSON.stringify({ outputs, seconds })}\n` : `${outputs} written in ${seconds.toFixed(1)} s\n`,
      );
    });
}
