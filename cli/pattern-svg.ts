/**
 * Attention patterns as SVG text: one square for each pair of a query (row) and a key (column), many panels side by side.
 *
 * Knows nothing of files, options or configs. Equal neighbours are merged into rectangles and each colour is one path, so
 * that a picture of 1000 tokens stays small. What a pattern is: reference/2-patterns.ts.
 */
import type { Pattern, TokenRoles } from '../reference/2-patterns.ts';

/** What a square shows. The order is that of the legend, and of precedence where a square stands for many pairs. */
const cellKinds = ['self', 'globalRow', 'globalColumn', 'seen', 'unseen', 'padding'] as const;
export type CellKind = (typeof cellKinds)[number];

/** Blue against orange: told apart by people who see no red or green; darkness differs too, for print. */
const looks: Record<CellKind, { readonly fill: string; readonly label: string }> = {
  self: { fill: '#12395b', label: 'the token itself' },
  globalRow: { fill: '#d9730d', label: 'row of a global token' },
  globalColumn: { fill: '#f7bd7f', label: 'column of a global token' },
  seen: { fill: '#5fa2d3', label: 'a key it sees' },
  unseen: { fill: '#edf0f3', label: 'a key it does not see' },
  padding: { fill: '#c3c8cd', label: 'padding' },
};

export interface PatternPanel {
  readonly title: string;
  /** T. */
  readonly sequenceLength: number;
  /** Tokens on each side of a square; 1 shows every pair. */
  readonly tokensPerCell: number;
  readonly pattern: Pattern;
  readonly head: number;
  readonly roles: TokenRoles;
}

/** A pattern seen from afar: a square of tokens counts as seen when at least one pair in it is. */
export function coarsePattern(pattern: Pattern, tokensPerCell: number, sequenceLength: number): Pattern {
  if (tokensPerCell === 1) return pattern;
  return (row, column, head) => somePair(row, column, tokensPerCell, sequenceLength, (i, j) => pattern(i, j, head));
}

/**
 * One SVG document with all panels.
 *
 * title, description: for people who hear the picture instead of seeing it.
 */
export function patternSvg(title: string, description: string, panels: readonly PatternPanel[]): string {
  const margin = { left: 34, top: 46, right: 10, bottom: 10 };
  const used = new Set<CellKind>();
  const parts: string[] = [];
  let left = 0;
  let lowest = 0;
  for (const panel of panels) {
    const cells = Math.ceil(panel.sequenceLength / panel.tokensPerCell);
    const pixels = Math.max(1, Math.floor((panels.length > 1 ? 200 : 400) / cells)); // whole, so that edges are sharp
    const side = cells * pixels;
    const kinds = panelKinds(panel, cells);
    for (const kind of kinds.flat()) used.add(kind);
    parts.push(
      `<g transform="translate(${left + margin.left} ${margin.top})">`,
      ...panelLabels(panel, side),
      `<g transform="scale(${pixels})" shape-rendering="crispEdges">`,
      ...cellKinds.flatMap(kind => {
        const path = pathOfKind(kinds, kind);
        return path === '' ? [] : [`<path fill="${looks[kind].fill}" d="${path}"/>`];
      }),
      '</g>',
      ...(pixels >= 6 ? [gridLines(cells, pixels)] : []),
      '</g>',
    );
    left += margin.left + side + margin.right;
    lowest = Math.max(lowest, margin.top + side);
  }
  // A single panel may be narrower than its title; 7.5 pixels a letter is an estimate, fonts differ.
  if (panels.length === 1) left = Math.max(left, margin.left + margin.right + Math.ceil(7.5 * panels[0]!.title.length));
  const legend = legendLines(
    cellKinds.filter(kind => used.has(kind)),
    margin.left,
    lowest + 24,
    left,
  );
  const height = legend.bottom + margin.bottom;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${left} ${height}" width="${left}" height="${height}" ` +
      `role="img" aria-labelledby="title description" font-family="system-ui, DejaVu Sans, sans-serif" font-size="11" fill="#222">`,
    `<title id="title">${escapeXml(title)}</title>`,
    `<desc id="description">${escapeXml(description)}</desc>`,
    `<rect width="${left}" height="${height}" fill="#fff"/>`,
    ...parts,
    ...legend.lines,
    '</svg>',
    '',
  ].join('\n');
}

/** The kind of every square, row by row. */
function panelKinds(panel: PatternPanel, cells: number): CellKind[][] {
  const { pattern, head, roles, tokensPerCell, sequenceLength } = panel;
  const isGlobal = new Set(roles.globalIndices);
  const kindOfPair = (i: number, j: number): CellKind => {
    if (pattern(i, j, head)) {
      if (i === j) return 'self';
      if (isGlobal.has(i)) return 'globalRow';
      return isGlobal.has(j) ? 'globalColumn' : 'seen';
    }
    return roles.attentionMask[i] === 1 && roles.attentionMask[j] === 1 ? 'unseen' : 'padding';
  };
  return Array.from({ length: cells }, (_, row) =>
    Array.from({ length: cells }, (_, column) => {
      let first: number = cellKinds.length - 1;
      somePair(row, column, tokensPerCell, sequenceLength, (i, j) => {
        first = Math.min(first, cellKinds.indexOf(kindOfPair(i, j)));
        return first === 0;
      });
      return cellKinds[first]!;
    }),
  );
}

/** Whether `holds` is true for at least one pair of tokens in a square. */
function somePair(
  row: number,
  column: number,
  tokensPerCell: number,
  sequenceLength: number,
  holds: (i: number, j: number) => boolean,
): boolean {
  const end = (cell: number): number => Math.min((cell + 1) * tokensPerCell, sequenceLength);
  for (let i = row * tokensPerCell; i < end(row); i++) {
    for (let j = column * tokensPerCell; j < end(column); j++) {
      if (holds(i, j)) return true;
    }
  }
  return false;
}

/** All squares of one kind as rectangles: runs in a row, and equal runs in following rows taken together. */
function pathOfKind(kinds: readonly (readonly CellKind[])[], kind: CellKind): string {
  let path = '';
  let open = new Map<string, { start: number; end: number; top: number }>();
  const close = ({ start, end, top }: { start: number; end: number; top: number }, bottom: number): void => {
    path += `M${start} ${top}h${end - start}v${bottom - top}h${start - end}z`;
  };
  for (let row = 0; row <= kinds.length; row++) {
    const runs = row < kinds.length ? runsOf(kinds[row]!, kind) : [];
    const stillOpen: typeof open = new Map();
    for (const { start, end } of runs) {
      const key = `${start} ${end}`;
      stillOpen.set(key, open.get(key) ?? { start, end, top: row });
    }
    for (const [key, rectangle] of open) if (!stillOpen.has(key)) close(rectangle, row);
    open = stillOpen;
  }
  return path;
}

function runsOf(row: readonly CellKind[], kind: CellKind): { start: number; end: number }[] {
  const runs: { start: number; end: number }[] = [];
  row.forEach((cell, column) => {
    if (cell !== kind) return;
    if (runs.at(-1)?.end === column) runs.at(-1)!.end = column + 1;
    else runs.push({ start: column, end: column + 1 });
  });
  return runs;
}

function panelLabels({ title, sequenceLength }: PatternPanel, side: number): string[] {
  const last = sequenceLength - 1;
  const number = (x: number, y: number, anchor: string, value: number): string =>
    `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="#666" font-size="9">${value}</text>`;
  return [
    `<text y="-32" font-size="12" font-weight="600">${escapeXml(title)}</text>`,
    `<text x="${side / 2}" y="-6" text-anchor="middle">key j →</text>`,
    `<text transform="translate(-8 ${side / 2}) rotate(-90)" text-anchor="middle">← query i</text>`,
    number(0, -6, 'start', 0),
    number(side, -6, 'end', last),
    number(-5, 8, 'end', 0),
    number(-5, side, 'end', last),
  ];
}

function gridLines(cells: number, pixels: number): string {
  const side = cells * pixels;
  const lines = Array.from({ length: cells - 1 }, (_, line) => (line + 1) * pixels);
  const path = lines.map(at => `M${at} 0v${side}M0 ${at}h${side}`).join('');
  return `<path stroke="#fff" d="${path}"/>`;
}

/** Swatches with words, in as many lines as the width asks for. */
function legendLines(
  kinds: readonly CellKind[],
  left: number,
  top: number,
  width: number,
): { lines: string[]; bottom: number } {
  const lines: string[] = [];
  let x = left;
  let y = top;
  for (const kind of kinds) {
    const { fill, label } = looks[kind];
    const itemWidth = 16 + label.length * 6.4 + 18; // an estimate; fonts differ
    if (x > left && x + itemWidth > width) {
      x = left;
      y += 18;
    }
    lines.push(`<rect x="${x}" y="${y - 9}" width="11" height="11" fill="${fill}"/>`);
    lines.push(`<text x="${x + 16}" y="${y}">${label}</text>`);
    x = Math.round(x + itemWidth);
  }
  return { lines, bottom: y };
}

const escapeXml = (text: string): string => text.replace(/[&<>"]/g, character => `&#${character.codePointAt(0)};`);
