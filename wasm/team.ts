/** Who computes: one thread, or several that take chunks of the same job from one counter. */
import { AbortedError, LongformerError } from '../contract/errors.ts';
import type { LinearMemory } from './arena.ts';
import { mostWork } from './chunks.ts';
import type { CompiledModule, KernelExports } from './instantiate.ts';
import { type JobName, jobNumber, jobOf } from './jobs.ts';

/** Where scratch regions are, one for each thread, `stride` bytes apart, and what they are sized for. */
export interface Scratch {
  readonly address: number;
  readonly stride: number;
  readonly tokens: number;
  readonly globals: number;
  readonly features: number;
}

export interface JobDetails {
  /** Argument index and value of what is not an integer. */
  readonly floats?: readonly (readonly [number, number])[];
  /** Multiply-adds of the largest chunk. Default: mostWork. */
  readonly work?: number;
}

export interface Team {
  readonly threads: number;
  setScratch(scratch: Scratch): void;
  /** Returns when all chunks are done. @throws AbortedError, LongformerError (E_ABORTED) */
  run(job: JobName, values: readonly number[], chunks: number, details?: JobDetails): void;
  dispose(): void;
}

/**
 * (1) of shared memory. What another thread stores there, if it is not 0, ends the call that is running and every later one, until it
 * is 0 again: an AbortSignal cannot fire while its own thread computes.
 */
export type AbortFlag = Int32Array;

const isSet = (flag: AbortFlag | null): boolean => flag !== null && Atomics.load(flag, 0) !== 0;

const aborted = (): AbortedError =>
  new AbortedError({ where: 'wasm', name: 'abortFlag', expected: 'to finish', got: 'an abort by another thread' });

/** The calling thread alone. */
export class Alone implements Team {
  readonly threads = 1;
  readonly #exports: KernelExports;
  readonly #abortFlag: AbortFlag | null;
  readonly #values = new Int32Array(argumentsLength);
  readonly #floats = new Float32Array(this.#values.buffer);

  constructor(exports: KernelExports, abortFlag: AbortFlag | null = null) {
    this.#exports = exports;
    this.#abortFlag = abortFlag;
  }

  setScratch({ address, tokens, globals, features }: Scratch): void {
    this.#exports.setScratch(address, tokens, globals, features);
  }

  run(job: JobName, values: readonly number[], chunks: number, { floats = [] }: JobDetails = {}): void {
    this.#values.set(values);
    for (const [index, value] of floats) this.#floats[index] = value;
    const run = jobOf(jobNumber(job));
    for (let chunk = 0; chunk < chunks; chunk++) {
      if (isSet(this.#abortFlag)) throw aborted();
      run(this.#exports, this.#values, this.#floats, chunk);
    }
  }

  dispose(): void {}
}

// ---- what threads share: an Int32Array ----

/** Number of the job, counted up; workers sleep on it. */
const GENERATION = 0;
/** Tag of the job in the upper 16 bits, next chunk in the lower 16. The tag keeps a late worker out of the next job. */
const TICKET = 1;
const DONE = 2;
const STOP = 3;
const JOB = 4;
const CHUNKS = 5;
/** address, stride, tokens, globals, features */
const SCRATCH = 6;
const ARGUMENTS = 16;
const argumentsLength = 4096;
const sharedLength = ARGUMENTS + argumentsLength;
/** No chunk has this number: the job is not open yet. Jobs have far fewer chunks. */
const closed = 0xffff;
/** Looks at the generation before a worker goes to sleep: some 50 µs, longer than the engine takes between two calls. */
const looks = 20_000;
/** A thread that does not finish a chunk of mostWork, some 20 ms, in this time, while nobody else finishes one either, is lost. */
const patienceMs = 900;
/** For larger chunks: multiply-adds in a millisecond of a thread that gets a hundredth of a core. */
const slowestPerMs = 2e5;

/** What a worker is started with. Everything in it can be posted. */
export interface WorkerStart {
  readonly module: CompiledModule;
  readonly memory: LinearMemory;
  readonly shared: Int32Array;
  readonly index: number;
  readonly abortFlag: AbortFlag | null;
}

/** A worker as the pool sees it, in Node or in a browser. */
export interface WorkerHandle {
  /** Settles when the worker is ready or has failed. */
  readonly ready: Promise<void>;
  terminate(): void;
}

export type StartWorker = (start: WorkerStart, onEnd: (cause: unknown) => void) => WorkerHandle;

const tagOf = (generation: number): number => generation & 0xffff;

/** Takes chunks of the job with this tag until there are none, or the flag is set. */
function takeChunks(
  { shared, abortFlag }: Pick<WorkerStart, 'shared' | 'abortFlag'>,
  tag: number,
  run: (chunk: number) => void,
): void {
  const chunks = shared[CHUNKS]!;
  while (!isSet(abortFlag)) {
    const ticket = Atomics.load(shared, TICKET);
    const chunk = ticket & 0xffff;
    if (ticket >>> 16 !== tag || chunk >= chunks) return;
    if (Atomics.compareExchange(shared, TICKET, ticket, ticket + 1) !== ticket) continue;
    run(chunk);
    Atomics.add(shared, DONE, 1);
  }
}

/** The calling thread and `threads - 1` workers over one memory. */
export class Pool implements Team {
  readonly threads: number;
  readonly #exports: KernelExports;
  readonly #start: Omit<WorkerStart, 'shared' | 'index'>;
  readonly #startWorker: StartWorker;
  #shared!: Int32Array;
  #values!: Int32Array;
  #floats!: Float32Array;
  #workers: WorkerHandle[] = [];
  #scratch: readonly number[] = [];
  #lost: { readonly cause: unknown } | null = null;

  constructor(
    start: Omit<WorkerStart, 'shared' | 'index'>,
    exports: KernelExports,
    threads: number,
    startWorker: StartWorker,
  ) {
    this.#start = start;
    this.#exports = exports;
    this.threads = threads;
    this.#startWorker = startWorker;
    this.#startWorkers();
  }

  /** Settles when every worker is ready. */
  async ready(): Promise<void> {
    await Promise.all(this.#workers.map(worker => worker.ready));
  }

  get workers(): readonly WorkerHandle[] {
    return this.#workers;
  }

  setScratch({ address, stride, tokens, globals, features }: Scratch): void {
    this.#exports.setScratch(address, tokens, globals, features);
    this.#scratch = [address, stride, tokens, globals, features];
  }

  run(job: JobName, values: readonly number[], chunks: number, details: JobDetails = {}): void {
    const { floats = [], work = mostWork } = details;
    if (this.#lost) this.#replaceWorkers(this.#lost.cause);
    const shared = this.#shared;
    const generation = Atomics.load(shared, GENERATION) + 1;
    const tag = tagOf(generation);
    // From here until the ticket opens no worker can take anything: one that is late sees a tag that is not its own.
    Atomics.store(shared, TICKET, (tag << 16) | closed);
    shared[JOB] = jobNumber(job);
    shared[CHUNKS] = chunks;
    shared.set(this.#scratch, SCRATCH);
    this.#values.set(values);
    for (const [index, value] of floats) this.#floats[index] = value;
    Atomics.store(shared, DONE, 0);
    Atomics.store(shared, TICKET, tag << 16);
    Atomics.store(shared, GENERATION, generation);
    if (chunks > 1) Atomics.notify(shared, GENERATION);

    const run = jobOf(shared[JOB]!);
    const { abortFlag } = this.#start;
    takeChunks({ shared, abortFlag }, tag, chunk => run(this.#exports, this.#values, this.#floats, chunk));
    // From here on nobody takes a chunk: all are taken, or the flag is set. What was taken must end before the caller may free anything.
    const taken = Atomics.exchange(shared, TICKET, (tag << 16) | closed) & 0xffff;
    this.#awaitOthers(taken, patienceMs + Math.max(0, work - mostWork) / slowestPerMs);
    if (taken < chunks) throw aborted();
  }

  /** Waits by looking: a page's main thread must not sleep, and the rest of a chunk is short. */
  #awaitOthers(chunks: number, patience: number): void {
    let done = Atomics.load(this.#shared, DONE);
    let deadline = performance.now() + patience;
    for (let look = 1; done < chunks; look++) {
      const now = Atomics.load(this.#shared, DONE);
      if (now !== done) {
        done = now;
        deadline = performance.now() + patience;
      } else if (look % 1024 === 0 && performance.now() > deadline) {
        this.#replaceWorkers(new Error(`no chunk was finished in ${Math.round(patience)} ms`));
      }
    }
  }

  /** Starts new workers with a counter of their own, so that an old one that still lives takes nothing more. @throws always */
  #replaceWorkers(cause: unknown): never {
    this.#lost = null;
    this.#stopWorkers();
    this.#startWorkers();
    throw new LongformerError('E_ABORTED', {
      where: 'wasm threads',
      name: 'worker',
      expected: `${this.threads - 1} running`,
      got: 'one that ended',
      hint: 'The result of this call is lost; new workers are there for the next one.',
      cause,
    });
  }

  #startWorkers(): void {
    const shared = new Int32Array(new SharedArrayBuffer(4 * sharedLength));
    this.#shared = shared;
    this.#values = shared.subarray(ARGUMENTS);
    this.#floats = new Float32Array(shared.buffer, 4 * ARGUMENTS);
    this.#workers = Array.from({ length: this.threads - 1 }, (_, i) =>
      this.#startWorker({ ...this.#start, shared, index: i + 1 }, cause => {
        // The end of a worker that was replaced, or of a pool that was disposed of, is no news.
        if (this.#shared === shared && Atomics.load(shared, STOP) === 0) this.#lost = { cause };
      }),
    );
  }

  #stopWorkers(): void {
    Atomics.store(this.#shared, STOP, 1);
    Atomics.add(this.#shared, GENERATION, 1);
    Atomics.notify(this.#shared, GENERATION);
    for (const worker of this.#workers) worker.terminate();
  }

  dispose(): void {
    this.#stopWorkers();
  }
}

/** What a worker does all its life. Returns when it is told to stop. */
export function work({ shared, index, abortFlag }: WorkerStart, exports: KernelExports): void {
  const values = shared.subarray(ARGUMENTS);
  const floats = new Float32Array(shared.buffer, 4 * ARGUMENTS);
  let seen = 0;
  let scratch = '';
  for (;;) {
    for (let look = 0; look < looks && Atomics.load(shared, GENERATION) === seen; look++);
    Atomics.wait(shared, GENERATION, seen);
    if (Atomics.load(shared, STOP) !== 0) return;
    seen = Atomics.load(shared, GENERATION);
    takeChunks({ shared, abortFlag }, tagOf(seen), chunk => {
      // Now the job is known to be open, and what it says stays until this chunk is done.
      const [address, stride, tokens, globals, features] = shared.subarray(SCRATCH) as unknown as [
        number,
        number,
        number,
        number,
        number,
      ];
      const wanted = `${address} ${stride} ${tokens} ${globals} ${features}`;
      if (wanted !== scratch) exports.setScratch(address + index * stride, tokens, globals, features);
      scratch = wanted;
      jobOf(shared[JOB]!)(exports, values, floats, chunk);
    });
  }
}
