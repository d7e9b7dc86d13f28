/** `longformer convert`: checkpoints of other formats and layouts as Hugging Face's safetensors. */
import { Command, Option } from 'commander';
import { openSource } from '../../api/model-source.ts';
import { ValueRangeError } from '../../contract/errors.ts';
import {
  asHuggingFaces,
  bartToLed,
  type ConversionOptions,
  robertaToLongformer,
} from '../../runtime/checkpoint/conversions/conversions.ts';
import type { CheckpointParts, Layout } from '../../runtime/checkpoint/conversions/layout.ts';
import { writeCheckpoint } from '../../runtime/checkpoint/conversions/write-checkpoint-node.ts';
import { openTensorFiles } from '../../runtime/checkpoint/open.ts';
import { createProgress } from '../progress.ts';
import { wholeNumber } from '../text-options.ts';

interface Flags {
  readonly to?: 'longformer' | 'led';
  readonly layout?: Layout;
  readonly attentionWindow?: number;
  readonly maxPositions?: number;
  readonly force?: boolean;
  readonly json?: boolean;
}

export function convertCommand(): Command {
  return new Command('convert')
    .description('Write a checkpoint as safetensors; turn RoBERTa into Longformer and BART into LED.')
    .argument('<from>', 'a directory or hub id: safetensors or pytorch_model.bin, in one file or in shards')
    .argument('<to>', 'a new directory')
    .addOption(
      new Option(
        '--to <model>',
        'longformer: from RoBERTa; led: from BART. Positions are tiled, global projections copied',
      ).choices(['longformer', 'led']),
    )
    .addOption(
      new Option('--layout <whose>', 'of <from>, where its files do not make it clear').choices([
        'huggingface',
        'authors',
      ]),
    )
    .option(
      '--attention-window <keys>',
      'on both sides together (default: 512 for Longformer, 1024 for LED)',
      wholeNumber,
    )
    .option('--max-positions <tokens>', 'longest document (default: 4096 for Longformer, 16384 for LED)', wholeNumber)
    .option('--force', 'replace a directory that is there')
    .option('--json', 'print a summary as JSON')
    .addHelpText(
      'after',
      `
Without --to the checkpoint stays what it is. The authors' own Longformer and LED are recognised by what they hold and become Hugging
Face's: windows of one side are doubled, names changed, unused positions dropped. A converted model reads texts up to one window as
before; longer ones want some training.

Examples:
  longformer convert old-model new-model
  longformer convert roberta-base my-longformer --to longformer --attention-window 512 --max-positions 4096
  longformer convert facebook/bart-base my-led --to led`,
    )
    .action(convert);
}

async function convert(from: string, to: string, flags: Flags): Promise<void> {
  expectUsed(flags);
  const abort = new AbortController();
  const interrupt = (): void => abort.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const progress = createProgress('the tensors');
  const files = await openSource(from, { signal: abort.signal });
  const parts = await openTensorFiles(files, { allowNonFinite: true });
  try {
    const converted = convertParts(parts, flags);
    const written = await writeCheckpoint(to, converted, files, {
      overwrite: flags.force,
      modelMaxLength: flags.to === 'longformer' ? (flags.maxPositions ?? 4096) : undefined,
      signal: abort.signal,
      onProgress: (done, tensor) => progress.update(done, tensor),
    });
    progress.stop();
    const lines = [
      `${written.tensors} tensors, ${written.bytes} bytes: ${to}`,
      ...written.tied.map(name => `left out, a second name of another tensor: ${name}`),
      ...converted.file.remarks,
    ];
    process.stdout.write(`${flags.json ? JSON.stringify({ directory: to, ...written }, null, 2) : lines.join('\n')}\n`);
  } finally {
    progress.stop();
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
    await parts.file.close();
  }
}

/** A flag that would do nothing is a misunderstanding. @throws ValueRangeError */
function expectUsed({ to, layout, attentionWindow, maxPositions }: Flags): void {
  const idle = to === undefined ? { attentionWindow, maxPositions } : { layout };
  for (const [name, value] of Object.entries(idle)) {
    if (value === undefined) continue;
    const flag = `--${name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`;
    const expected = to === undefined ? '--to beside it' : `nothing beside --to ${to}`;
    throw new ValueRangeError({ where: 'convert', name: flag, expected, got: String(value) });
  }
}

function convertParts(parts: CheckpointParts, { to, layout, attentionWindow, maxPositions }: Flags): CheckpointParts {
  const options: ConversionOptions = { attentionWindow, maxPositions };
  if (to === 'longformer') return robertaToLongformer(parts, options);
  if (to === 'led') return bartToLed(parts, options);
  return asHuggingFaces(parts, layout);
}
