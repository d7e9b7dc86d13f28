/** What all commands on texts share: where the texts come from, which model reads them, and how results are shown. */
import { type Command, InvalidArgumentError } from 'commander';
import { deviceNames } from '../api/devices.ts';
import { type Pipeline, pipeline, type TaskName } from '../api/index.ts';
import { ValueRangeError } from '../contract/errors.ts';
import { createProgress } from './progress.ts';
import { readText } from './read-text.ts';

export interface ModelFlags {
  readonly model: string;
  readonly backend: string;
  readonly threads: number;
  readonly revision?: string;
  readonly cacheDir?: string;
  readonly offline?: boolean;
}

export interface TextFlags extends ModelFlags {
  readonly file?: readonly string[];
  readonly truncate?: boolean;
  readonly json?: boolean;
}

export const wholeNumber = (value: string): number => {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError('Not a whole number.');
  return Number(value);
};

const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];

/** --model and what belongs to it. */
export function addModelFlags(command: Command): Command {
  return command
    .requiredOption(
      '--model <directory|id>',
      'a checkpoint with its tokenizer: a directory, a hub id (owner/name@revision) or an address',
    )
    .option('--backend <name>', deviceNames.join(', '), 'wasm')
    .option('--threads <count>', 'wasm only', wholeNumber, 1)
    .option('--revision <name>', 'branch, tag or commit on the hub')
    .option('--cache-dir <directory>', 'where downloads are kept; default: that of Hugging Face')
    .option('--offline', 'download nothing');
}

/** Texts as arguments, files or standard input, and --json. */
export function addTextFlags(command: Command): Command {
  return addModelFlags(command)
    .option('--file <file>', 'read a text from this file; may be given several times', collect)
    .option('--truncate', 'cut the end of a text that is too long, instead of refusing it')
    .option('--json', 'print JSON');
}

/** The texts of a call with their names; a single text needs none. */
export async function readTexts(
  where: string,
  given: readonly string[],
  { file = [] }: Pick<TextFlags, 'file'>,
): Promise<{ name: string; text: string }[]> {
  const texts = given.filter(text => text !== '-').map((text, i) => ({ name: `text ${i + 1}`, text }));
  for (const name of file) texts.push({ name, text: await readText(where, name) });
  if (texts.length === 0 || given.includes('-')) texts.push({ name: '-', text: await readText(where, undefined) });
  const empty = texts.find(({ text }) => text.trim() === '');
  if (empty) throw new ValueRangeError({ where, name: empty.name, expected: 'some text', got: 'none' });
  return texts;
}

/** A loaded pipeline, with progress of downloads on stderr. */
export async function openPipeline<Task extends TaskName>(task: Task, flags: ModelFlags): Promise<Pipeline<Task>> {
  const progress = createProgress('the download');
  try {
    return await pipeline(task, flags.model, {
      device: flags.backend,
      threads: flags.threads,
      ...(flags.revision === undefined ? {} : { revision: flags.revision }),
      ...(flags.cacheDir === undefined ? {} : { cacheDir: flags.cacheDir }),
      ...(flags.offline ? { localFilesOnly: true } : {}),
      onFile: ({ status, file, progress: percent = 0 }) => {
        if (status === 'progress') progress.update(percent / 100, file);
      },
    });
  } finally {
    progress.stop();
  }
}

/** Runs `work` with a progress bar of the reading. */
export async function withProgress<Result>(
  work: (onProgress: (done: number) => void) => Promise<Result>,
): Promise<Result> {
  const progress = createProgress('the text');
  try {
    return await work(done => progress.update(done, ''));
  } finally {
    progress.stop();
  }
}

/** What a result is printed as: JSON of one result or of all, or lines. */
export function print<Result>(
  flags: Pick<TextFlags, 'json'>,
  results: readonly Result[],
  lines: (result: Result, index: number) => readonly string[],
): void {
  const text = flags.json
    ? JSON.stringify(results.length === 1 ? results[0] : results, null, 2)
    : results.flatMap(lines).join('\n');
  process.stdout.write(`${text}\n`);
}

/** Colours only for people: not into files or pipes, and not when NO_COLOR is set. */
export function highlight(text: string): string {
  const coloured = process.stdout.isTTY && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  return coloured ? `\u001b[1;30;43m${text}\u001b[0m` : text;
}

/** Text of others on one line, without what would move a cursor. */
export const oneLine = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ');

export const percent = (score: number): string => `${(100 * score).toFixed(1).padStart(5)} %`;
