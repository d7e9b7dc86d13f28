/** `longformer forward`: tensors in, tensors out, by Hugging Face's names. */
import { Command, Option } from 'commander';
import { temporaryPath } from '../../runtime/checkpoint/safetensors-writer-node.ts';
import { backendNames } from '../backends.ts';
import { createProgress } from '../progress.ts';
import { runInWorker } from '../run-in-worker.ts';

export interface ForwardJob {
  readonly model: string;
  readonly inputs: string;
  readonly outputs: string;
  /** Where the outputs are written until they are complete. */
  readonly temporary: string;
  readonly backend: string;
  readonly threads: number;
  readonly precision: 'float64' | 'float32';
  readonly want: 'head' | 'all';
}

export function forwardCommand(): Command {
  return new Command('forward')
    .description('Run a checkpoint on tensors from a file and write its outputs to a file.')
    .requiredOption(
      '--model <directory>',
      'config.json and model.safetensors (or its shards); architectures chooses the head',
    )
    .requiredOption('--inputs <file>', 'safetensors with input_ids or inputs_embeds, attention_mask, … [batch, n]')
    .requiredOption(
      '--outputs <file>',
      'safetensors to write: last_hidden_state, logits, hidden_states.0, attentions.0, …; LED: encoder_…, decoder_…, cross_…',
    )
    .option('--backend <name>', backendNames.join(' or '), 'reference')
    .option('--threads <count>', 'wasm only', Number, 1)
    .addOption(
      new Option('--precision <dtype>', 'of the written file').choices(['float64', 'float32']).default('float64'),
    )
    .addOption(
      new Option(
        '--want <outputs>',
        'head: what the head gives and last_hidden_state; all: hidden states and attentions too',
      )
        .choices(['head', 'all'])
        .default('head'),
    )
    .option('--json', 'print a line of JSON with the file and the seconds it took')
    .addHelpText(
      'after',
      `
Inputs are named as in Hugging Face: input_ids, attention_mask, global_attention_mask, token_type_ids, position_ids
(I64 or I32) and inputs_embeds (float). LED takes input_ids, attention_mask, global_attention_mask, decoder_input_ids,
decoder_attention_mask, inputs_embeds and decoder_inputs_embeds; its last_hidden_state is the decoder's. The reference computes in float64 whatever the precision of the file, wasm in float32.

Examples:
  longformer forward --model my-longformer --inputs in.safetensors --outputs out.safetensors
  longformer forward --model my-longformer --inputs in.safetensors --outputs out.safetensors --want all --precision float32`,
    )
    .action(async (options: Omit<ForwardJob, 'temporary'> & { readonly json?: boolean }) => {
      const begin = performance.now();
      const progress = createProgress('the work');
      const { model, inputs, outputs, backend, threads, precision, want } = options;
      const job: ForwardJob = {
        model,
        inputs,
        outputs,
        backend,
        threads,
        precision,
        want,
        temporary: temporaryPath(outputs),
      };
      const { temporary } = job;
      await runInWorker({ where: 'forward', module: 'forward-worker', job, progress, temporary }).finally(() =>
        progress.stop(),
      );
      const seconds = (performance.now() - begin) / 1000;
      process.stdout.write(
        options.json ? `${JSON.stringify({ outputs, seconds })}\n` : `${outputs} written in ${seconds.toFixed(1)} s\n`,
      );
    });
}
