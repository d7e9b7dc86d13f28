/** `longformer embed`: vectors of many texts, packed by length, into a file. */
import { Readable } from 'node:stream';
import { pipeline as writeStream } from 'node:stream/promises';
import { Command, Option } from 'commander';
import { ValueRangeError } from '../../contract/errors.ts';
import { createFileSink, createSafetensorsFile } from '../../runtime/checkpoint/safetensors-writer-node.ts';
import { createProgress } from '../progress.ts';
import { readText } from '../read-text.ts';
import { addTextFlags, openPipeline, readTexts, type TextFlags } from '../text-options.ts';

interface Flags extends TextFlags {
  readonly out?: string;
  readonly jsonl?: string;
  readonly field: string;
  readonly pooling: 'auto' | 'cls' | 'mean';
  readonly normalize?: boolean;
}

export function embedCommand(): Command {
  return addTextFlags(
    new Command('embed')
      .description('Turn texts into vectors: one JSON line for each, or a safetensors file with all of them.')
      .argument('[texts...]', 'texts; - or nothing: standard input'),
  )
    .option('--jsonl <file>', 'a text from each line of a JSONL file; - is standard input')
    .option('--field <name>', 'where the text stands in a JSON line', 'text')
    .option(
      '--out <file>',
      'FILE.safetensors (tensor "embeddings", one row for each text) or FILE.jsonl; default: lines on stdout',
    )
    .addOption(
      new Option('--pooling <how>', 'which vector stands for a text; auto: what 1_Pooling/config.json says, else mean')
        .choices(['auto', 'cls', 'mean'])
        .default('auto'),
    )
    .option('--normalize', 'divide each vector by its length')
    .addHelpText(
      'after',
      `
Examples:
  longformer embed --model models/documentation-mlm "A text." "Another one." --normalize
  longformer embed --model my-model --file a.txt --file b.txt --out vectors.safetensors
  longformer embed --model my-model --jsonl articles.jsonl --field body --out vectors.jsonl`,
    )
    .action(async (given: string[], flags: Flags) => {
      if (flags.out !== undefined && !/\.(safetensors|jsonl)$/.test(flags.out)) {
        const expected = 'a name that ends in .safetensors or .jsonl';
        throw new ValueRangeError({ where: 'embed', name: '--out', expected, got: flags.out });
      }
      const texts = await readAll(given, flags);
      const abort = new AbortController();
      const interrupt = (): void => abort.abort();
      process.once('SIGINT', interrupt);
      process.once('SIGTERM', interrupt);
      const progress = createProgress(`${texts.length} texts`);
      try {
        await using embed = await openPipeline('feature-extraction', flags);
        const { pooling, normalize, truncate: truncation } = flags;
        const vectors = await embed(
          texts.map(({ text }) => text),
          {
            ...{ pooling, normalize, truncation, signal: abort.signal },
            onProgress: done => progress.update(done, ''),
          },
        );
        progress.stop();
        const rows = vectors.map(({ data }) => Float32Array.from(data));
        await writeVectors(flags.out, texts, rows);
      } finally {
        progress.stop();
        process.off('SIGINT', interrupt);
        process.off('SIGTERM', interrupt);
      }
    });
}

/** Nothing is left behind when it fails, and an old file stays until the new one is whole. */
async function writeVectors(
  out: string | undefined,
  texts: readonly { name: string }[],
  vectors: readonly Float32Array[],
): Promise<void> {
  function* lines(): Generator<string> {
    for (const [i, { name }] of texts.entries()) yield `${JSON.stringify({ name, embedding: [...vectors[i]!] })}\n`;
  }
  if (out === undefined) return writeStream(Readable.from(lines()), process.stdout, { end: false });
  if (out.endsWith('.jsonl')) return writeLines(out, lines());
  const hiddenSize = vectors[0]!.length;
  const tensor = { name: 'embeddings', dtype: 'F32', shape: [vectors.length, hiddenSize] };
  const writer = await createSafetensorsFile(out, [tensor]);
  for (const [row, vector] of vectors.entries()) await writer.write('embeddings', row * hiddenSize, vector);
  await writer.finish();
}

async function writeLines(out: string, lines: Iterable<string>): Promise<void> {
  const sink = await createFileSink(out);
  try {
    let position = 0;
    for (const line of lines) {
      const bytes = new TextEncoder().encode(line);
      await sink.write(position, bytes);
      position += bytes.length;
    }
    await sink.commit();
  } catch (error) {
    await sink.discard();
    throw error;
  }
}

/** @throws ValueRangeError when texts come from two places at once, or from none */
async function readAll(given: readonly string[], flags: Flags): Promise<{ name: string; text: string }[]> {
  const { jsonl, field, file } = flags;
  if (jsonl === undefined) return readTexts('embed', given, flags);
  if (given.length > 0 || file !== undefined) {
    const expected = 'to be alone';
    throw new ValueRangeError({ where: 'embed', name: '--jsonl', expected, got: 'other texts beside it' });
  }
  const texts = await readLines(jsonl, field);
  if (texts.length > 0) return texts;
  throw new ValueRangeError({ where: 'embed', name: jsonl, expected: 'at least one line with a text', got: 'none' });
}

/** @throws ValueRangeError naming the line that has no text */
async function readLines(file: string, field: string): Promise<{ name: string; text: string }[]> {
  const lines = (await readText('embed', file)).split('\n').map((line, i) => ({ line, number: i + 1 }));
  return lines
    .filter(({ line }) => line.trim() !== '')
    .map(({ line, number }) => {
      const name = `${file}:${number}`;
      let text: unknown;
      try {
        text = (JSON.parse(line) as Record<string, unknown> | null)?.[field];
      } catch {
        text = undefined;
      }
      if (typeof text === 'string' && text.trim() !== '') return { name, text };
      throw new ValueRangeError({
        where: 'embed',
        name,
        expected: `a JSON object with a text in ${JSON.stringify(field)}`,
        got: line.slice(0, 60),
      });
    });
}
