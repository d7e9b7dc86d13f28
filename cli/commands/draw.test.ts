import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { draw as drawPattern, full, longformerPattern } from '../../reference/2-patterns.ts';
import { coarsePattern, patternSvg } from '../pattern-svg.ts';
import { drawCommand } from './draw.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'longformer-draw-'));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(directory, { recursive: true });
});

/** What the command prints. */
async function draw(...args: string[]): Promise<string> {
  let printed = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation(text => {
    printed += text;
    return true;
  });
  try {
    const command = drawCommand()
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    await command.parseAsync(args, { from: 'user' });
  } finally {
    write.mockRestore();
  }
  return printed;
}

/** The lines of squares in what the command prints. */
const squares = (printed: string): string[] => printed.split('\n').filter(line => /^[■●·]+$/.test(line));

function modelWith(config: object): string {
  const small = { model_type: 'longformer', num_hidden_layers: 2, num_attention_heads: 2, hidden_size: 4 };
  writeFileSync(join(directory, 'config.json'), JSON.stringify({ ...small, ...config }));
  return directory;
}

describe('longformer draw', () => {
  it('draws what the options describe', async () => {
    const printed = await draw('--length', '5', '--one-sided-window', '1', '--global', '0', '--padding', '1');
    expect(printed).toBe(
      [
        '1 key on each side, 1 global, 1 padding',
        '',
        '■●●●·',
        '●■●··',
        '●●■●·',
        '●·●■·',
        '·····',
        '',
        'query i ↓  key j →  5 tokens.  ■ the token itself  ● a key it sees  · a key it does not',
        '',
      ].join('\n'),
    );
  });

  it.each([
    ['full', '■●●●●●●●●●●●●●●●●●'],
    ['sliding', '■●●●··············'],
    ['dilated', '■·●·●·●···········'],
    ['global', '■●●●●●●●●●●●●●●●●●'],
  ])('--pattern %s begins with %s', async (preset, firstRow) => {
    expect(squares(await draw('--pattern', preset))[0]).toBe(firstRow);
  });

  it('lets options refine a preset', async () => {
    const rows = squares(await draw('--pattern', 'dilated', '--dilation', '3', '--one-sided-window', '1', '--causal'));
    expect(rows[5]).toBe('··●··■············');
  });

  it('takes window, dilation and causal of a layer and head from a config.json', async () => {
    const model = modelWith({ attention_window: [2, 4], attention_dilation: [1, [1, 2]], autoregressive: true });
    const printed = await draw('--model', model, '--layer', '1', '--head', '1', '--length', '6');
    expect(printed).toContain('layer 1, head 1: 2 keys before, dilation 2, reach 4, causal');
    expect(squares(printed)).toEqual(['■·····', '·■····', '●·■···', '·●·■··', '●·●·■·', '·●·●·■']);
  });

  it('draws four windows of a model when no length is given, seen from afar', async () => {
    const model = modelWith({ attention_window: 64, max_position_embeddings: 514 });
    const printed = await draw('--model', model);
    expect(squares(printed)).toHaveLength(64);
    expect(printed).toContain('256 tokens.');
    expect(printed).toContain('A sign stands for 4 × 4 tokens');
  });

  it('draws Figure 2 as text and as a picture', async () => {
    const file = join(directory, 'figure-2.svg');
    const printed = await draw('--figure2', '--length', '5', '--one-sided-window', '1', '--global', '2', '--svg', file);
    const gap = ' '.repeat(15);
    expect(printed).toContain(
      [
        '(a) full n²         (b) sliding window  (c) dilated         (d) global +',
        'attention                               sliding window      sliding window',
        '',
        ['■●●●●', '■●···', '■·●··', '■●●··'].join(gap),
        ['●■●●●', '●■●··', '·■·●·', '●■●··'].join(gap),
        ['●●■●●', '·●■●·', '●·■·●', '●●■●●'].join(gap),
      ].join('\n'),
    );
    const svg = readFileSync(file, 'utf8');
    expect(svg.match(/\([a-d]\) [^<:]*/g)).toEqual(
      expect.arrayContaining(['(a) full n² attention', '(d) global + sliding window']),
    );
  });

  it.each([
    [['--length', '0'], 'draw: "--length" expected a whole number in 1..4096, got "0".'],
    [['--length', '1e3'], 'draw: "--length" expected a whole number in 1..4096, got "1e3".'],
    [['--one-sided-window', '-1'], 'draw: "--one-sided-window" expected a whole number in 1..4096, got "-1".'],
    [['--dilation', '0'], 'draw: "--dilation" expected a whole number in 1..4096, got "0".'],
    [['--global', '3,x'], 'draw: "--global" expected a whole number in 0..17, got "x".'],
    [['--global', '18'], 'draw: "--global" expected a whole number in 0..17, got "18".'],
    [
      ['--global', '17', '--padding', '1'],
      'draw: "globalIndices[0]" expected a real token, got row 17, which is padding.',
    ],
    [['--padding', '18'], 'draw: "--padding" expected a whole number in 0..17, got "18".'],
    [['--cell', '0'], 'draw: "--cell" expected a whole number in 1..18, got "0".'],
    [
      ['--head', '1'],
      'draw: "--head" expected to come with --model, got no --model.\n' +
        '  Hint: without a model there is one layer with one head; give its --dilation.',
    ],
    [
      ['--model', 'nowhere'],
      `draw: "${join('nowhere', 'config.json')}" expected a config.json that can be read, got ENOENT.\n` +
        '  Hint: give the directory of a checkpoint, or describe the pattern with --one-sided-window.',
    ],
    [
      ['--svg', join('nowhere', 'x.svg')],
      `draw: "${join('nowhere', 'x.svg')}" expected a file that can be written, got ENOENT.`,
    ],
  ])('refuses %j', async (args, message) => {
    await expect(draw(...args)).rejects.toThrow(expect.objectContaining({ message }));
  });

  it('refuses a layer the model does not have, and options that contradict a model', async () => {
    const model = modelWith({});
    await expect(draw('--model', model, '--layer', '2')).rejects.toThrow('"--layer" expected a whole number in 0..1');
    await expect(draw('--model', model, '--dilation', '2')).rejects.toThrow('cannot be used with option');
    await expect(draw('--figure2', '--head', '1')).rejects.toThrow('cannot be used with option');
  });

  it.each([
    ['figure-2.svg', ['--figure2']],
    ['global-and-padding.svg', '--one-sided-window 2 --global 0,9 --padding 3 --length 20'.split(' ')],
  ])('docs/images/%s is what it draws', async (name, args) => {
    const file = join(directory, name);
    await draw(...args, '--svg', file);
    const shipped = new URL(`../../docs/images/${name}`, import.meta.url);
    expect(readFileSync(file, 'utf8')).toBe(readFileSync(shipped, 'utf8'));
  });

  it('says in its help how to use it', () => {
    expect(drawCommand().helpInformation()).toContain('--one-sided-window <keys>');
  });
});

describe('patternSvg', () => {
  const roles = { attentionMask: [1, 1, 1, 0], globalIndices: [0] };
  const pattern = longformerPattern({ heads: 1, oneSidedWindow: 1, dilation: [1], causal: false }, roles);
  const panel = { title: 'a < b & c', sequenceLength: 4, tokensPerCell: 1, pattern, head: 0, roles };

  it('merges equal squares and tells global rows, global columns and padding apart', () => {
    const svg = patternSvg('title', 'description', [panel]);
    const paths = [...svg.matchAll(/<path fill="[^"]*" d="([^"]*)"/g)].map(match => match[1]);
    expect(paths).toEqual([
      'M0 0h1v1h-1zM1 1h1v1h-1zM2 2h1v1h-1z', // itself
      'M1 0h2v1h-2z', // the row of token 0
      'M0 1h1v2h-1z', // its column
      'M2 1h1v1h-1zM1 2h1v1h-1z', // neighbours; everything else is seen, so nothing is unseen
      'M3 0h1v3h-1zM0 3h4v1h-4z', // padding
    ]);
  });

  it('speaks to those who cannot see it, and keeps its angle brackets', () => {
    const svg = patternSvg('a "title"', 'x < y', [panel]);
    expect(svg).toContain('role="img" aria-labelledby="title description"');
    expect(svg).toContain('<title id="title">a &#34;title&#34;</title>');
    expect(svg).toContain('<desc id="description">x &#60; y</desc>');
    expect(svg).toContain('a &#60; b &#38; c</text>');
  });

  it('stays small: 256 squares on a side in less than 16 kB', () => {
    const ones = { attentionMask: new Array<number>(256).fill(1), globalIndices: [] };
    const wide = { ...panel, sequenceLength: 256, roles: ones, pattern: full() };
    expect(patternSvg('t', 'd', [wide]).length).toBeLessThan(16_000);
  });
});

describe('coarsePattern', () => {
  it('sees a square when one of its pairs is seen, also in a last square that is cut off', () => {
    const onlyLast = (i: number, j: number): boolean => i === 4 && j === 1;
    expect(drawPattern(coarsePattern(onlyLast, 2, 5), 3)).toBe('···\n···\n●··');
  });
});
