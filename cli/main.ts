#!/usr/bin/env node
/** Argument parsing and exit codes only. Exit codes: 0 done, 1 a typed error or a failed check, 2 wrong usage, 130 Ctrl-C. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { LongformerError } from '../contract/errors.ts';

/** In the order of --help. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  answer: async () => (await import('./commands/answer.ts')).answerCommand(),
  classify: async () => (await import('./commands/classify.ts')).classifyCommand(),
  tag: async () => (await import('./commands/tag.ts')).tagCommand(),
  'fill-mask': async () => (await import('./commands/fill-mask.ts')).fillMaskCommand(),
  choose: async () => (await import('./commands/choose.ts')).chooseCommand(),
  embed: async () => (await import('./commands/embed.ts')).embedCommand(),
  download: async () => (await import('./commands/download.ts')).downloadCommand(),
  cache: async () => (await import('./commands/cache.ts')).cacheCommand(),
  convert: async () => (await import('./commands/convert.ts')).convertCommand(),
  forward: async () => (await import('./commands/forward.ts')).forwardCommand(),
  generate: async () => (await import('./commands/generate.ts')).generateCommand(),
  summarize: async () => (await import('./commands/summarize.ts')).summarizeCommand(),
  inspect: async () => (await import('./commands/inspect.ts')).inspectCommand(),
  tokenize: async () => (await import('./commands/tokenize.ts')).tokenizeCommand(),
  conformance: async () => (await import('./commands/conformance.ts')).conformanceCommand(),
  draw: async () => (await import('./commands/draw.ts')).drawCommand(),
  bench: async () => (await import('./commands/bench.ts')).benchCommand(),
  completion: async () => (await import('./commands/completion.ts')).completionCommand(() => program),
};

/** package.json stands one folder up from the sources and two from the built files. */
function packageVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }).version;
    } catch {
      // try the next place
    }
  }
  return 'unknown';
}

const program: Command = new Command('longformer')
  .description(
    'Longformer in TypeScript: run checkpoints, look into them, and hold implementations against Hugging Face.',
  )
  .version(packageVersion());
// A reader that has seen enough (`| head`) is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

// A command that is asked for by name is imported alone: a fifth of a second less until the first answer.
const asked = process.argv[2] ?? '';
const alone = asked !== 'completion' && Object.hasOwn(commands, asked);
for (const name of alone ? [asked] : Object.keys(commands)) program.addCommand(await commands[name]!());
for (const command of [program, ...program.commands, ...program.commands.flatMap(({ commands }) => commands)]) {
  command.exitOverride().showHelpAfterError('(add --help for the options)');
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else if (error instanceof LongformerError) {
    const reason = 'reason' in error && error.reason ? ` ${error.reason}` : '';
    process.stderr.write(`${error.code}${reason}: ${error.message}\n`);
    process.exitCode = error.code === 'E_ABORTED' ? 130 : 1;
  } else throw error;
}
