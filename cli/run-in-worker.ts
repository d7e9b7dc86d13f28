/**
 * Work in a thread of its own: the main thread stays free for progress and Ctrl-C, whatever the backend is busy with.
 *
 * The worker is a file of commands/ that calls `workInWorker`. Errors of ours cross as their parts and are typed again on this side.
 */
import { rm } from 'node:fs/promises';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { AbortedError, type Complaint, type ErrorCode, LongformerError } from '../contract/errors.ts';
import type { Progress } from './progress.ts';

type Message<Note> =
  | { readonly kind: 'progress'; readonly done: number; readonly label: string }
  | { readonly kind: 'note'; readonly note: Note }
  | {
      readonly kind: 'error';
      readonly code: ErrorCode;
      readonly reason?: string;
      readonly complaint: Complaint;
    }
  | { readonly kind: 'done' };

export interface WorkerRun<Note> {
  /** Name of the command, for messages. */
  readonly where: string;
  /** A module of commands/ without its extension, such as `forward-worker`. */
  readonly module: string;
  readonly job: object;
  readonly progress: Progress;
  /** What the worker says besides progress. */
  readonly onNote?: (note: Note) => void;
  /** A half-written file that must go when the work is abandoned. */
  readonly temporary?: string;
}

/**
 * Runs a job to its end; Ctrl-C ends the worker and removes its half-written file.
 *
 * @throws AbortedError after Ctrl-C; what the worker threw
 */
export function runInWorker<Note = never>(run: WorkerRun<Note>): Promise<void> {
  const { where, module, job, progress, onNote, temporary } = run;
  // Built files are .js, sources .ts; the worker stands in commands/ either way.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(new URL(`./commands/${module}.${extension}`, import.meta.url), { workerData: job });
  let interrupt = (): void => {};
  return new Promise<void>((resolve, reject) => {
    let cause: unknown; // the first one: the end of the worker that it brings about is no news
    const abandon = (error: unknown): void => {
      cause ??= error;
      void worker
        .terminate()
        .then(() => (temporary === undefined ? undefined : rm(temporary, { force: true })))
        .then(() => reject(cause), reject);
    };
    interrupt = () =>
      abandon(
        new AbortedError({
          where,
          name: 'signal',
          expected: 'to finish',
          got: temporary === undefined ? 'Ctrl-C' : 'Ctrl-C; nothing was written',
        }),
      );
    process.once('SIGINT', interrupt);
    process.once('SIGTERM', interrupt);
    worker.on('message', (message: Message<Note>) => {
      if (message.kind === 'progress') progress.update(message.done, message.label);
      else if (message.kind === 'note') onNote?.(message.note);
      else if (message.kind === 'done') resolve();
      else reject(new WorkerError(message.code, message.complaint, message.reason));
    });
    worker.on('error', abandon); // not one of ours: out of memory, or a bug
    worker.on('exit', code => abandon(new Error(`the worker of ${where} ended with code ${code}`)));
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

/** What a worker may say while it works. */
export interface Report<Note> {
  progress(done: number, label: string): void;
  note(note: Note): void;
}

/** The whole of a worker module: does `work` on the job it was started with and says how it went. */
export async function workInWorker<Job, Note = never>(
  work: (job: Job, report: Report<Note>) => Promise<void>,
): Promise<void> {
  const post = (message: Message<Note>): void => parentPort!.postMessage(message);
  try {
    await work(workerData as Job, {
      progress: (done, label) => post({ kind: 'progress', done, label }),
      note: note => post({ kind: 'note', note }),
    });
    post({ kind: 'done' });
  } catch (error) {
    if (!(error instanceof LongformerError)) throw error;
    const { code, where, subject, expected, got, hint } = error;
    const reason = 'reason' in error ? (error.reason as string) : undefined;
    post({ kind: 'error', code, reason, complaint: { where, name: subject, expected, got, ...(hint && { hint }) } });
  }
}
