/**
 * Contestants measured in turn on one core: each is a process that measures when asked and answers in lines of JSON.
 *
 * In turn, because a machine does not run equally fast all day: one pass of ours, one of theirs, again and again, so that
 * whatever slows one slows the other. While one measures the others wait for their next line and use nothing but memory.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';

export interface Contestant<Request, Ready, Answer> {
  readonly name: string;
  /** What it said when it was ready. */
  readonly ready: Ready;
  ask(request: Request): Promise<Answer>;
  /** Ends the process and waits until it has gone. */
  stop(): Promise<void>;
}

/** Whether processes can be bound to a core here. */
export const canPin: boolean = spawnSync('taskset', ['--version']).status === 0;

/** The core everything runs on: the last one, which a system tends to use last. */
export const measuringCore = availableParallelism() - 1;

/**
 * `pinned`: on the measuring core, like everybody; a contestant with several threads needs several cores.
 * @throws Error with the end of its stderr when the process ends before it is ready.
 */
export async function startContestant<Request, Ready, Answer>(
  name: string,
  command: readonly string[],
  pinned = true,
): Promise<Contestant<Request, Ready, Answer>> {
  const [program, ...args] = pinned && canPin ? ['taskset', '-c', String(measuringCore), ...command] : command;
  // One thread, whatever a library would choose; a contestant of ours with more says so in its command.
  const env = { ...process.env, OMP_NUM_THREADS: '1', MKL_NUM_THREADS: '1' };
  const child = spawn(program!, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
  const nextLine = linesOf(name, child);
  const ready = JSON.parse(await nextLine()) as Ready;
  return {
    name,
    ready,
    async ask(request) {
      child.stdin!.write(JSON.stringify(request) + '\n');
      return JSON.parse(await nextLine()) as Answer;
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise(resolve => child.once('exit', resolve));
      child.stdin!.end();
      await gone;
    },
  };
}

/** Lines of stdout one by one; rejects when the process ends instead. */
function linesOf(name: string, child: ChildProcess): () => Promise<string> {
  let errors = '';
  child.stderr!.on('data', chunk => {
    errors = (errors + String(chunk)).slice(-2000);
  });
  child.stdin!.on('error', () => {}); // a process that has died says so by its exit
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  failed.catch(() => {});
  return async () => {
    const { value, done } = await Promise.race([lines.next(), failed]);
    if (done) throw new Error(`${name} ended early (${child.exitCode ?? child.signalCode}):\n${errors}`);
    return value;
  };
}

export interface Rounds {
  /** At least this many, after one that is not counted. */
  readonly least: number;
  readonly most: number;
  /** Between the two: until this much time has gone. */
  readonly seconds: number;
}

/** Asks every contestant the same, round after round. First: the answer of the round that is not counted. */
export async function inTurn<Request, Ready, Answer>(
  contestants: readonly Contestant<Request, Ready, Answer>[],
  request: Request,
  { least, most, seconds }: Rounds,
): Promise<{ first: Answer; counted: Answer[] }[]> {
  const all: { first: Answer; counted: Answer[] }[] = [];
  for (const contestant of contestants) all.push({ first: await contestant.ask(request), counted: [] });
  const begin = performance.now();
  for (let round = 0; round < most; round++) {
    if (round >= least && performance.now() - begin > 1000 * seconds) break;
    for (const [index, contestant] of contestants.entries()) {
      all[index]!.counted.push(await contestant.ask(request));
    }
  }
  return all;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Digits that are more than noise. */
export const rounded = (value: number, digits = 4): number => Number(value.toPrecision(digits));

/** The machine in general words, such as 2-core-x86-64. */
export function machine(): string {
  const architecture = process.arch === 'x64' ? 'x86-64' : process.arch;
  return `${availableParallelism()}-core-${architecture}`;
}

/** How the processes were bound, in words for people. */
export const pinning: string = canPin
  ? `every process on core ${measuringCore}, one thread each`
  : 'one thread each, NOT bound to a core: taskset is missing';

export const today = (): string => new Date().toISOString().slice(0, 10);

/** Rows as Markdown, so that what is printed can be pasted; the first row is the header. */
export function markdownTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padStart(widths[column]!)).join(' | ')} |`;
  const rule = `| ${widths.map(width => '-'.repeat(width - 1) + ':').join(' | ')} |`;
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join('\n') + '\n';
}

export function writeResult(path: string, result: object): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(result, null, 2) + '\n');
}
