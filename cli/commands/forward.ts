/** `longformer forward`: tensors in, tensors out, by Hugging Face's names. */
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Command, Option } from 'commander';
import { AbortedError, type Complaint, type ErrorCode, LongformerError } from '../../contract/errors.ts';
import { temporaryPath } from '../../runtime/checkpoint/safetensors-writer-node.ts';
import { backendNames } from '../backends.ts';
import { createProgress, type Progress } from '../progress.ts';

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

export type ForwardMessage =
  | { readonly kind: 'progress'; readonly done: number; readonly label: string }
  | {
      readonly kind: 'error';
      readonly code: ErrorCode;
      readonly reason?: string;
      readonly complaint: Complaint;
      readonly message: string;
    }
  | { readonly kind: 'done' };

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
      'safetensors to write: last_hidden_state, logits, hidden_states.0, attentions.0, …',
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
(I64 or I32) and inputs_embeds (float). The reference computes in float64 whatever the precision of the file, wasm in float32.

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
      await runInWorker(job, progress).finally(() => progress.stop());
      const seconds = (performance.now() - begin) / 1000;
      process.stdout.write(
        options.json ? `${JSON.stringify({ outputs, seconds })}\n` : `${outputs} written in ${seconds.toFixed(1)} s\n`,
      );
    });
}

/** Ends the worker and removes the half-written file on Ctrl-C. */
function runInWorker(job: ForwardJob, progress: Progress): Promise<void> {
  // Built files are .js, sources .ts; the worker stands beside this file either way.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(new URL(`./forward-worker.${extension}`, import.meta.url), { workerData: job });
  let interrupt = (): void => {};
  return new Promise<void>((resolve, reject) => {
    let cause: unknown; // the first one: the end of the worker that it brings about is no news
    const abandon = (error: unknown): void => {
      cause ??= error;
      void worker
        .terminate()
        .then(() => rm(job.temporary, { force: true }))
        .then(() => reject(cause), reject);
    };
    interrupt = () =>
      abandon(
        new AbortedError({
          where: 'forward',
          name: 'signal',
          expected: 'to finish',
          got: 'Ctrl-C; nothing was written',
        }),
      );
    process.once('SIGINT', interrupt);
    process.once('SIGTERM', interrupt);
    worker.on('message', (message: ForwardMessage) => {
      if (message.kind === 'progress') progress.update(message.done, message.label);
      else if (message.kind === 'done') resolve();
      else reject(new WorkerError(message.code, message.complaint, message.reason));
    });
    worker.on('error', abandon); // not one of ours: out of memory, or a bug
    worker.on('exit', code => abandon(new Error(`the worker for ${dirname(job.outputs)} ended with code ${code}`)));
  }).finally(() => {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  });
}

/** A typed error that crossed the thread boundary. */
class WorkerError extends LongformerError {
  readonly reason: string | undefined;
  constructor(code: ErrorCode, complaint: Complaint, reason?: string) {
    super(code, complaint);
    this.reason = reason;
  }
}
