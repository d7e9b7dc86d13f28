/** `longformer tag`: labels of the tokens of a text. */
import { Command, Option } from 'commander';
import type { Aggregation } from '../../runtime/tasks/token-classification.ts';
import {
  addTextFlags,
  oneLine,
  openPipeline,
  percent,
  print,
  readTexts,
  type TextFlags,
  wholeNumber,
  withProgress,
} from '../text-options.ts';

export function tagCommand(): Command {
  return addTextFlags(
    new Command('tag')
      .description('Label the tokens of a text: names, places, whatever the checkpoint was trained for.')
      .argument('[texts...]', 'texts; - or nothing: standard input'),
  )
    .addOption(
      new Option('--aggregation <how>', 'how tokens become groups')
        .choices(['none', 'simple', 'first', 'average', 'max'])
        .default('simple'),
    )
    .option('--ignore <labels>', 'labels left out, separated by commas', (value: string) => value.split(','), ['O'])
    .option('--stride <tokens>', 'read a text that is too long in windows that share so many tokens', wholeNumber)
    .addHelpText(
      'after',
      `
Examples:
  longformer tag --model my-ner "Ada Lovelace lived in London."
  longformer tag --model my-ner --file report.txt --stride 128 --json`,
    )
    .action(
      async (given: string[], flags: TextFlags & { aggregation: Aggregation; ignore: string[]; stride?: number }) => {
        const texts = await readTexts('tag', given, flags);
        await using tag = await openPipeline('token-classification', flags);
        const { aggregation, ignore: ignoreLabels, stride, truncate: truncation } = flags;
        const results = await withProgress(onProgress =>
          tag(
            texts.map(({ text }) => text),
            { aggregation, ignoreLabels, stride, truncation, onProgress },
          ),
        );
        print(flags, results, (entities, i) => [
          ...(texts.length > 1 ? [`${texts[i]!.name}:`] : []),
          ...entities.map(entity => {
            const label = 'entity' in entity ? entity.entity : entity.entity_group;
            const { score, start, end } = entity;
            return `${percent(score)}  ${label.padEnd(12)} ${oneLine(texts[i]!.text.slice(start, end))}  (characters ${start}–${end})`;
          }),
        ]);
      },
    );
}
