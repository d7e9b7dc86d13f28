/** `longformer choose`: which continuation fits. */
import { Command } from 'commander';
import {
  addModelFlags,
  type ModelFlags,
  oneLine,
  openPipeline,
  percent,
  print,
  withProgress,
} from '../text-options.ts';

export function chooseCommand(): Command {
  return addModelFlags(
    new Command('choose')
      .description('Rank several continuations of a text.')
      .argument('<prompt>')
      .argument('<choices...>', 'two or more'),
  )
    .option('--truncate', 'cut the end of choices that are too long, instead of refusing them')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Example:
  longformer choose --model my-multiple-choice "It rained all night." "The street is wet." "The sun burnt the grass."`,
    )
    .action(async (prompt: string, choices: string[], flags: ModelFlags & { json?: boolean; truncate?: boolean }) => {
      await using choose = await openPipeline('multiple-choice', flags);
      const result = await withProgress(onProgress =>
        choose({ prompt, choices }, { truncation: flags.truncate, onProgress }),
      );
      print(flags, [result], ranked => ranked.map(({ choice, score }) => `${percent(score)}  ${oneLine(choice)}`));
    });
}
