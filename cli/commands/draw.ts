/** `longformer draw`: who attends to whom, as text and as a picture. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import type { LongformerConfig } from '../../contract/config.ts';
import { IoError, ValueRangeError } from '../../contract/errors.ts';
import { type Band, draw, expectBandAndRoles, longformerPattern, type TokenRoles } from '../../reference/2-patterns.ts';
import { bandOfLayer } from '../../reference/7-longformer.ts';
import { parseConfig } from '../../runtime/checkpoint/parse-config.ts';
import { coarsePattern, type PatternPanel, patternSvg } from '../pattern-svg.ts';

/** Every pair is asked; more tokens than a base model takes would only cost patience. */
const longestDrawing = 4096;

/** Squares on a side when --cell is not given: what fits a terminal, and what a picture can show. */
const mostCells = { text: 64, svg: 256, figure2: 18 };

const presets = {
  full: { oneSidedWindow: undefined, dilation: 1, global: [] },
  sliding: { oneSidedWindow: 3, dilation: 1, global: [] },
  dilated: { oneSidedWindow: 3, dilation: 2, global: [] },
  global: { oneSidedWindow: 3, dilation: 1, global: [0, 11] },
} as const;
type Preset = keyof typeof presets;

const defaultLength = 18;

export function drawCommand(): Command {
  return new Command('draw')
    .description('Draw an attention pattern: a row for each query, a column for each key.')
    .option('--svg <file>', 'write a picture to this file too')
    .option(
      '--length <tokens>',
      `tokens in the document, padding included (default: ${defaultLength}, or four windows)`,
    )
    .option('--cell <tokens>', 'tokens on each side of one square (default: 1, more when there is not enough room)')
    .option('--global <rows>', 'comma-separated rows of global tokens, such as 0,5')
    .option('--padding <tokens>', 'this many tokens at the end are padding')
    .option('--one-sided-window <keys>', 'keys on each side of the query; Hugging Face’s attention_window / 2')
    .option('--dilation <distance>', 'distance between neighbouring keys; 1 = no gaps')
    .option('--causal', 'keys after the query are not seen')
    .addOption(
      new Option('--pattern <name>', 'begin with one of the paper’s patterns; other options refine it').choices(
        Object.keys(presets),
      ),
    )
    .addOption(
      new Option('--model <directory>', 'take window, dilation and causal from its config.json').conflicts([
        'oneSidedWindow',
        'dilation',
        'causal',
        'pattern',
        'figure2',
      ]),
    )
    .option('--layer <number>', 'layer of the model, from 0 (default: 0)')
    .option('--head <number>', 'head of the layer, from 0 (default: 0)')
    .addOption(
      new Option('--figure2', 'all four patterns of the paper’s Figure 2, side by side').conflicts([
        'causal',
        'padding',
        'pattern',
        'layer',
        'head',
      ]),
    )
    .addHelpText(
      'after',
      `
Examples:
  longformer draw --one-sided-window 2 --dilation 3 --global 0
  longformer draw --pattern global --causal --padding 3
  longformer draw --figure2 --svg figure-2.svg
  longformer draw --model ./longformer-base-4096 --layer 11 --global 0 --svg layer-11.svg`,
    )
    .action((options: DrawOptions) => {
      const figure = options.figure2 ? figure2(options) : singleFigure(options);
      if (options.svg !== undefined) writeText(options.svg, svgOf(figure, options.cell));
      process.stdout.write(textOf(figure, options.cell) + '\n');
    });
}

interface DrawOptions {
  readonly svg?: string;
  readonly length?: string;
  readonly cell?: string;
  readonly global?: string;
  readonly padding?: string;
  readonly oneSidedWindow?: string;
  readonly dilation?: string;
  readonly causal?: boolean;
  readonly pattern?: Preset;
  readonly model?: string;
  readonly layer?: string;
  readonly head?: string;
  readonly figure2?: boolean;
}

/** What is drawn, before anyone has decided how. */
interface Figure {
  readonly title: string;
  readonly sequenceLength: number;
  readonly panels: readonly {
    readonly title: string;
    readonly band: Band;
    readonly head: number;
    readonly roles: TokenRoles;
  }[];
}

function singleFigure(options: DrawOptions): Figure {
  const { band, head, source, length } = options.model === undefined ? bandOfOptions(options) : bandOfModel(options);
  const sequenceLength = options.length === undefined ? length : lengthOf(options);
  const roles = rolesOf(options, presets[options.pattern ?? 'sliding'].global, sequenceLength);
  expectBandAndRoles('draw', band, roles, sequenceLength);
  const title = source + describeBand(band, head, roles, sequenceLength);
  return { title, sequenceLength, panels: [{ title, band, head, roles }] };
}

function bandOfOptions(options: DrawOptions): { band: Band; head: number; source: string; length: number } {
  for (const name of ['layer', 'head'] as const) {
    if (options[name] === undefined) continue;
    const hint = 'without a model there is one layer with one head; give its --dilation.';
    throw new ValueRangeError({
      where: 'draw',
      name: `--${name}`,
      expected: 'to come with --model',
      got: 'no --model',
      hint,
    });
  }
  const length = lengthOf(options);
  return { band: presetBand(options.pattern ?? 'sliding', options, length), head: 0, source: '', length };
}

/** A preset, with what the options say instead. A window of T - 1 keys on each side is full attention. */
function presetBand(name: Preset, options: DrawOptions, sequenceLength: number): Band {
  const preset = presets[name];
  const presetWindow = preset.oneSidedWindow ?? Math.max(1, sequenceLength - 1);
  const oneSidedWindow = integerOf('--one-sided-window', options.oneSidedWindow, 1, longestDrawing) ?? presetWindow;
  const dilation = integerOf('--dilation', options.dilation, 1, longestDrawing) ?? preset.dilation;
  return { heads: 1, oneSidedWindow, dilation: [dilation], causal: options.causal ?? false };
}

function bandOfModel(options: DrawOptions): { band: Band; head: number; source: string; length: number } {
  const config = readConfig(options.model!);
  const layer = integerOf('--layer', options.layer, 0, config.layers - 1) ?? 0;
  const head = integerOf('--head', options.head, 0, config.heads - 1) ?? 0;
  const band = bandOfLayer(config, layer);
  const longestDocument = config.maxPositionEmbeddings - config.padTokenId - 1;
  const length = Math.min(8 * band.oneSidedWindow, longestDocument, longestDrawing);
  return { band, head, source: `layer ${layer}, head ${head}: `, length };
}

/** The paper's Figure 2. The window, the dilation and the global tokens are options; their places are ours. */
function figure2(options: DrawOptions): Figure {
  const sequenceLength = lengthOf(options);
  const titles: Record<Preset, string> = {
    full: '(a) full n² attention',
    sliding: '(b) sliding window',
    dilated: '(c) dilated sliding window',
    global: '(d) global + sliding window',
  };
  const panels = (Object.keys(presets) as Preset[]).map(name => {
    const refined: DrawOptions = {
      ...(name !== 'full' && options.oneSidedWindow !== undefined && { oneSidedWindow: options.oneSidedWindow }),
      ...(name === 'dilated' && options.dilation !== undefined && { dilation: options.dilation }),
      ...(name === 'global' && options.global !== undefined && { global: options.global }),
    };
    const band = presetBand(name, refined, sequenceLength);
    const roles = rolesOf(refined, presets[name].global, sequenceLength);
    expectBandAndRoles('draw', band, roles, sequenceLength);
    return { title: titles[name], band, head: 0, roles };
  });
  return { title: 'The attention patterns of the Longformer paper, Figure 2', sequenceLength, panels };
}

function rolesOf(options: DrawOptions, presetGlobals: readonly number[], sequenceLength: number): TokenRoles {
  const padding = integerOf('--padding', options.padding, 0, sequenceLength - 1) ?? 0;
  const attentionMask = Array.from({ length: sequenceLength }, (_, t) => (t < sequenceLength - padding ? 1 : 0));
  if (options.global === undefined) {
    // A preset's token that does not fit a short document is left out; one that was asked for is an error.
    return { attentionMask, globalIndices: presetGlobals.filter(t => attentionMask[t] === 1) };
  }
  const rows = options.global.split(',').map(text => integerOf('--global', text, 0, sequenceLength - 1)!);
  return { attentionMask, globalIndices: [...new Set(rows)].sort((a, b) => a - b) };
}

/** `3 keys on each side, dilation 2, reach 6, 2 global`. */
function describeBand(band: Band, head: number, roles: TokenRoles, sequenceLength: number): string {
  const { oneSidedWindow, causal } = band;
  const dilation = band.dilation[head]!;
  const globals = roles.globalIndices.length;
  const padding = sequenceLength - Array.from(roles.attentionMask).filter(real => real === 1).length;
  const everyone = dilation === 1 && oneSidedWindow >= sequenceLength - 1;
  const sides = `${oneSidedWindow} ${oneSidedWindow === 1 ? 'key' : 'keys'} ${causal ? 'before' : 'on each side'}`;
  return [
    everyone ? (causal ? 'all keys before' : 'full attention') : sides,
    ...(dilation > 1 ? [`dilation ${dilation}, reach ${oneSidedWindow * dilation}`] : []),
    ...(causal ? ['causal'] : []),
    ...(globals > 0 ? [`${globals} global`] : []),
    ...(padding > 0 ? [`${padding} padding`] : []),
  ].join(', ');
}

function textOf({ title, sequenceLength, panels }: Figure, cell: string | undefined): string {
  const tokensPerCell = tokensPerCellOf(cell, sequenceLength, panels.length > 1 ? mostCells.figure2 : mostCells.text);
  const cells = Math.ceil(sequenceLength / tokensPerCell);
  const width = Math.max(cells, mostCells.figure2); // of a panel; narrower ones would not hold their titles
  const columns = panels.map(panel => {
    const pattern = coarsePattern(longformerPattern(panel.band, panel.roles), tokensPerCell, sequenceLength);
    const heading = panels.length === 1 ? [] : [...wrapTitle(panel.title, width), ''];
    return [...heading, ...draw(pattern, cells, panel.head).split('\n')];
  });
  const rows = columns[0]!.map((_, row) =>
    columns
      .map(column => column[row]!.padEnd(width))
      .join('  ')
      .trimEnd(),
  );
  const tokens = `${sequenceLength} ${sequenceLength === 1 ? 'token' : 'tokens'}`;
  const scale = `A sign stands for ${tokensPerCell} × ${tokensPerCell} tokens; ● when at least one pair in it is seen.`;
  return [
    title,
    '',
    ...rows,
    '',
    `query i ↓  key j →  ${tokens}.  ■ the token itself  ● a key it sees  · a key it does not`,
    ...(tokensPerCell === 1 ? [] : [scale]),
  ].join('\n');
}

/** A title over a narrow drawing, in two lines. */
function wrapTitle(title: string, width: number): [string, string] {
  const words = title.split(' ');
  let first = '';
  while (words.length > 0 && `${first} ${words[0]}`.trim().length <= width) first = `${first} ${words.shift()}`.trim();
  return [first, words.join(' ')];
}

function svgOf({ title, sequenceLength, panels }: Figure, cell: string | undefined): string {
  const tokensPerCell = tokensPerCellOf(cell, sequenceLength, mostCells.svg);
  const drawn: PatternPanel[] = panels.map(({ title, band, head, roles }) => {
    return { title, sequenceLength, tokensPerCell, head, roles, pattern: longformerPattern(band, roles) };
  });
  const words = panels.map(({ title, band, head, roles }) => {
    const what = describeBand(band, head, roles, sequenceLength);
    return title.endsWith(what) ? `${title}.` : `${title}: ${what}.`;
  });
  const scale = tokensPerCell === 1 ? '' : ` A square stands for ${tokensPerCell} by ${tokensPerCell} tokens.`;
  const description = `Rows are queries, columns are keys, ${sequenceLength} tokens. ${words.join(' ')}${scale}`;
  return patternSvg(title, description, drawn);
}

const lengthOf = (options: DrawOptions): number =>
  integerOf('--length', options.length, 1, longestDrawing) ?? defaultLength;

const tokensPerCellOf = (cell: string | undefined, sequenceLength: number, mostCells: number): number =>
  integerOf('--cell', cell, Math.ceil(sequenceLength / 2000), sequenceLength) ?? Math.ceil(sequenceLength / mostCells);

/** @throws ValueRangeError unless the text is a whole number in [lowest, highest]; undefined when there is no text. */
function integerOf(name: string, text: string | undefined, lowest: number, highest: number): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (value >= lowest && value <= highest) return value;
  throw new ValueRangeError({
    where: 'draw',
    name,
    expected: `a whole number in ${lowest}..${highest}`,
    got: JSON.stringify(text),
  });
}

function readConfig(directory: string): LongformerConfig {
  const path = join(directory, 'config.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new IoError({
      where: 'draw',
      name: path,
      expected: 'a config.json that can be read',
      got: String((cause as NodeJS.ErrnoException).code ?? cause),
      hint: 'give the directory of a checkpoint, or describe the pattern with --one-sided-window.',
      cause,
    });
  }
  return parseConfig(text);
}

function writeText(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (cause) {
    const got = String((cause as NodeJS.ErrnoException).code ?? cause);
    throw new IoError({ where: 'draw', name: path, expected: 'a file that can be written', got, cause });
  }
}
