#!/usr/bin/env node
/** Argument parsing and exit codes only. Exit codes: 0 done, 1 a typed error or a failed check, 2 wrong usage, 130 Ctrl-C. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { LongformerError } from '../contract/errors.ts';
import { answerCommand } from './commands/answer.ts';
import { benchCommand } from './commands/bench.ts';
import { cacheCommand } from './commands/cache.ts';
import { chooseCommand } from './commands/choose.ts';
import { classifyCommand } from './commands/classify.ts';
import { completionCommand } from './commands/completion.ts';
import { conformanceCommand } from './commands/conformance.ts';
import { downloadCommand } from './commands/download.ts';
import { drawCommand } from './commands/draw.ts';
import { embedCommand } from './commands/embed.ts';
import { fillMaskCommand } from './commands/fill-mask.ts';
import { forwardCommand } from './commands/forward.ts';
import { generateCommand } from './commands/generate.ts';
import { inspectCommand } from './commands/inspect.ts';
import { summarizeCommand } from './commands/summarize.ts';
import { tagCommand } from './commands/tag.ts';
import { tokenizeCommand } from './commands/tokenize.ts';

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
  .version(packageVersion())
  .showHelpAfterError('(add --help for the options)')
  .addCommand(answerCommand())
  .addCommand(classifyCommand())
  .addCommand(tagCommand())
  .addCommand(fillMaskCommand())
  .addCommand(chooseCommand())
  .addCommand(embedCommand())
  .addCommand(downloadCommand())
  .addCommand(cacheCommand())
  .addCommand(forwardCommand())
  .addCommand(generateCommand())
  .addCommand(summarizeCommand())
  .addCommand(inspectCommand())
  .addCommand(tokenizeCommand())
  .addCommand(conformanceCommand())
  .addCommand(drawCommand())
  .addCommand(benchCommand())
  .addCommand(completionCommand(() => program));
for (const command of [program, ...program.commands, ...program.commands.flatMap(({ commands }) => commands)]) {
  command.exitOverride();
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
