/** `longformer tokenize`: text in, tokens, ids and spans out. */
import { readFile, stat } from 'node:fs/promises';
import { text as readStream } from 'node:stream/consumers';
import { Command, InvalidArgumentError, Option } from 'commander';
import { IoError, printable } from '../../contract/errors.ts';
import type { EncodeOptions, Encoding, Tokenizer } from '../../runtime/tokenizer/index.ts';
import { loadTokenizerFromDirectory } from '../../runtime/tokenizer/load-node.ts';

interface Options {
  readonly model: string;
  readonly pair?: string;
  readonly text?: boolean;
  readonly specialTokens: boolean;
  readonly splitSpecialTokens?: boolean;
  readonly maxLength?: number;
  readonly truncation?: NonNullable<EncodeOptions['truncation']>;
  readonly stride?: number;
  readonly json?: boolean;
}

/** One window as --json prints it: one entry per token. */
interface Window {
  readonly ids: readonly number[];
  readonly tokens: readonly string[];
  /** Start and end in UTF-16 code units of the token's own text; special tokens 0, 0. */
  readonly offsets: readonly (readonly [number, number])[];
  /** The same in code points, as Python counts. */
  readonly codePointOffsets: readonly (readonly [number, number])[];
  /** 0 = text, 1 = pair, null = special token. */
  readonly sequenceIds: readonly (number | null)[];
}

export function tokenizeCommand(): Command {
  return new Command('tokenize')
    .description('Show the tokens of a text, their ids, and where they lie in it.')
    .argument('[input]', 'a text, a file, or - for standard input (the default)')
    .requiredOption('--model <directory>', 'tokenizer.json, or vocab.json and merges.txt')
    .option('--pair <text>', 'second text: <s> input </s></s> pair </s>')
    .option('--text', 'take the input for a text even if there is a file of that name')
    .option('--no-special-tokens', 'add no tokens around the text')
    .option('--split-special-tokens', 'take special tokens written in the text for ordinary text')
    .option('--max-length <tokens>', 'cut to so many tokens; what does not fit follows as further windows', wholeNumber)
    .addOption(
      new Option('--truncation <strategy>', 'which text is cut').choices([
        'longest_first',
        'only_first',
        'only_second',
      ]),
    )
    .option('--stride <tokens>', 'tokens that neighbouring windows share', wholeNumber)
    .option('--json', 'print one JSON object: { windows: [{ ids, tokens, offsets, codePointOffsets, sequenceIds }] }')
    .addHelpText(
      'after',
      `
Offsets count UTF-16 code units, as JavaScript strings do; --json has code points too.

Examples:
  longformer tokenize --model my-longformer "Paris is the <mask> of France."
  longformer tokenize --model my-longformer article.txt --max-length 4096 --stride 128 --json`,
    )
    .action(async (input: string | undefined, options: Options) => {
      const tokenizer = await loadTokenizerFromDirectory(options.model);
      const text = options.text && input !== undefined ? input : await readInput(input);
      const encoding = tokenizer.encode(text, {
        ...(options.pair === undefined ? {} : { textPair: options.pair }),
        ...(options.maxLength === undefined ? {} : { maxLength: options.maxLength }),
        ...(options.truncation === undefined ? {} : { truncation: options.truncation }),
        ...(options.stride === undefined ? {} : { stride: options.stride }),
        addSpecialTokens: options.specialTokens,
        splitSpecialTokens: options.splitSpecialTokens ?? false,
        returnOverflowing: true,
      });
      const windows = [encoding, ...encoding.overflowing].map(window => describeWindow(tokenizer, window));
      const report = options.json
        ? `${JSON.stringify({ windows })}\n`
        : windows.map(window => table(window, [text, options.pair ?? ''])).join('\n');
      process.stdout.write(report);
    });
}

function wholeNumber(value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw new InvalidArgumentError('Not a whole number.');
  return Number(value);
}

/** @throws IoError for a file that cannot be read or is no UTF-8 */
async function readInput(input: string | undefined): Promise<string> {
  if (input === undefined || input === '-') return readStream(process.stdin);
  const isFile = await stat(input).then(
    stats => stats.isFile(),
    () => false,
  );
  if (!isFile) return input;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(input));
  } catch (cause) {
    const got = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new IoError({ where: 'tokenize', name: input, expected: 'a readable UTF-8 file', got, cause });
  }
}

function describeWindow(tokenizer: Tokenizer, encoding: Encoding): Window {
  const ids = Array.from(encoding.inputIds);
  return {
    ids,
    tokens: ids.map(id => tokenizer.idToToken(id)!),
    offsets: pairsOf(encoding.offsets),
    codePointOffsets: pairsOf(encoding.codePointOffsets),
    sequenceIds: Array.from(encoding.sequenceIds, id => (id < 0 ? null : id)),
  };
}

function pairsOf(values: Int32Array): [number, number][] {
  return Array.from({ length: values.length / 2 }, (_, row) => [values[2 * row]!, values[2 * row + 1]!]);
}

/** One line per token: id, token, span and the text there, which is quoted so that control characters stay harmless. */
function table(window: Window, texts: readonly string[]): string {
  const lines = window.ids.map((id, row) => {
    const sequence = window.sequenceIds[row];
    const [start, end] = window.offsets[row]!;
    const token = printable(window.tokens[row]!).padEnd(20);
    const place =
      sequence === null ? '' : `${start}..${end}`.padEnd(14) + printable(texts[sequence!]!.slice(start, end));
    return `${String(id).padStart(8)}  ${token}  ${place}`.trimEnd();
  });
  return `${lines.join('\n')}\n`;
}
