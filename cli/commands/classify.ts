/** `longformer classify`: which label a text has. */
import { Command } from 'commander';
import {
  addTextFlags,
  openPipeline,
  percent,
  print,
  readTexts,
  type TextFlags,
  wholeNumber,
  withProgress,
} from '../text-options.ts';

export function classifyCommand(): Command {
  return addTextFlags(
    new Command('classify')
      .description('Say which label a text has.')
      .argument('[texts...]', 'texts; - or nothing: standard input'),
  )
    .option('--top-k <count>', 'labels shown', wholeNumber, 1)
    .addHelpText(
      'after',
      `
Examples:
  longformer classify --model my-classifier "A long review …"
  longformer classify --model my-classifier --file a.txt --file b.txt --top-k 3`,
    )
    .action(async (given: string[], flags: TextFlags & { topK: number }) => {
      const texts = await readTexts('classify', given, flags);
      await using classify = await openPipeline('text-classification', flags);
      const { topK, truncate: truncation } = flags;
      const results = await withProgress(onProgress =>
        classify(
          texts.map(({ text }) => text),
          { topK, truncation, onProgress },
        ),
      );
      print(flags, results, (labels, i) => [
        ...(texts.length > 1 ? [`${texts[i]!.name}:`] : []),
        ...labels.map(({ label, score }) => `${percent(score)}  ${label}`),
      ]);
    });
}
