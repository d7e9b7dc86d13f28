/** `longformer fill-mask`: what stands behind the mask. */
import { Command } from 'commander';
import type { Filling } from '../../runtime/tasks/fill-mask.ts';
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

export function fillMaskCommand(): Command {
  return addTextFlags(
    new Command('fill-mask')
      .description('Fill the <mask> in a text.')
      .argument('[texts...]', 'texts with <mask>; - or nothing: standard input'),
  )
    .option('--top-k <count>', 'fillings shown', wholeNumber, 5)
    .option('--targets <tokens>', 'only these, separated by commas; Ġ is a blank: Ġfile,Ġstring', (value: string) =>
      value.split(','),
    )
    .addHelpText(
      'after',
      `
Examples:
  longformer fill-mask --model models/documentation-mlm "The function returns a <mask>."
  longformer fill-mask --model allenai/longformer-base-4096 --file article.txt --json`,
    )
    .action(async (given: string[], flags: TextFlags & { topK: number; targets?: string[] }) => {
      const texts = await readTexts('fill-mask', given, flags);
      await using fill = await openPipeline('fill-mask', flags);
      const { topK, targets, truncate: truncation } = flags;
      const results = await withProgress(onProgress =>
        fill(
          texts.map(({ text }) => text),
          { topK, targets, truncation, onProgress },
        ),
      );
      for (const target of targets ?? []) {
        if (fill.tokenizer.tokenToId(target) !== undefined) continue;
        process.stderr.write(`${JSON.stringify(target)} is no token; its first one is taken, as Hugging Face does.\n`);
      }
      print(flags, results, (result, i) => {
        const masks = Array.isArray(result[0]) ? (result as Filling[][]) : [result as Filling[]];
        return masks.flatMap((fillings, mask) => [
          ...(texts.length > 1 && mask === 0 ? [`${texts[i]!.name}:`] : []),
          ...(masks.length > 1 ? [`mask ${mask + 1}`] : []),
          ...fillings.map(({ score, token_str }) => `${percent(score)}  ${oneLine(token_str).trim()}`),
        ]);
      });
    });
}
