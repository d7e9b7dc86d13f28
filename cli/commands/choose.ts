/** `longformer choose`: which continuation fits. */
import { Command } from 'commander';
import { ValueRangeError } from '../../contract/errors.ts';
import { readText } from '../read-text.ts';
import {
  addModelFlags,
  type ModelFlags,
  oneLine,
  openPipeline,
  percent,
  print,
  withProgress,
} from '../text-options.ts';

interface Flags extends ModelFlags {
  readonly file?: string;
  readonly json?: boolean;
  readonly truncate?: boolean;
}

export function chooseCommand(): Command {
  return addModelFlags(
    new Command('choose')
      .description('Rank several continuations of a text.')
      .argument('<texts...>', 'the text (- is standard input), then two or more choices; with --file only the choices'),
  )
    .option('--file <file>', 'read the text from this file')
    .option('--truncate', 'cut the end of what is too long, instead of refusing it')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  longformer choose --model my-multiple-choice "It rained all night." "The street is wet." "The sun burnt the grass."
  longformer choose --model my-multiple-choice --file story.txt "She forgives him." "She leaves." --json`,
    )
    .action(async (given: string[], flags: Flags) => {
      const { prompt, choices } = await readQuestion(given, flags.file);
      await using choose = await openPipeline('multiple-choice', flags);
      const result = await withProgress(onProgress =>
        choose({ prompt, choices }, { truncation: flags.truncate, onProgress }),
      );
      print(flags, [result], ranked => ranked.map(({ choice, score }) => `${percent(score)}  ${oneLine(choice)}`));
    });
}

/** @throws IoError, ValueRangeError for blanks and for less than two choices */
async function readQuestion(given: readonly string[], file: string | undefined) {
  const choices = file === undefined ? given.slice(1) : given;
  const complain = (name: string, expected: string, got: string): never => {
    throw new ValueRangeError({ where: 'choose', name, expected, got });
  };
  if (choices.length < 2) complain('choices', 'two or more', String(choices.length));
  const blank = choices.findIndex(choice => choice.trim() === '');
  if (blank >= 0) complain(`choice ${blank + 1}`, 'some text', 'none');
  const prompt = file === undefined && given[0] !== '-' ? given[0]! : await readText('choose', file);
  if (prompt.trim() === '') complain(file ?? 'text', 'some text', 'none');
  return { prompt, choices };
}
