/** Section 1: the four patterns of the paper's Figure 2, and the keys of one token. */
import {
  causal,
  dilatedSlidingWindow,
  full,
  globalTokens,
  intersection,
  type Pattern,
  slidingWindow,
  union,
} from '../../reference/2-patterns.ts';
import { colour, slider, tickBox } from '../controls.ts';
import { paintGrid } from './grid-canvas.ts';

const sequenceLength = 32;

export function startPatternView(section: Element): void {
  const form = section.querySelector('form')!;
  const window_ = slider(form, { label: 'keys on each side', min: 1, max: 12, value: 3 });
  const dilation = slider(form, { label: 'dilation', min: 1, max: 4, value: 2 });
  const globals = slider(form, { label: 'global tokens', min: 0, max: 4, value: 2 });
  const isCausal = tickBox(form, 'causal: no later keys');
  const panels = section.querySelector('.panels')!;
  const spoken = section.querySelector(':scope > output')!;
  let chosen = 12;

  const panelOf = (title: string) => {
    const figure = document.createElement('figure');
    const canvas = document.createElement('canvas');
    const caption = document.createElement('figcaption');
    figure.append(canvas, caption);
    panels.append(figure);
    return { title, canvas, caption };
  };
  const figures = ['Full, n²', 'Sliding window', 'Dilated sliding window', 'Global and sliding window'].map(panelOf);

  const draw = (): void => {
    const count = globals();
    const globalIndices = Array.from({ length: count }, (_, g) => Math.floor((g * sequenceLength) / count));
    const local = slidingWindow(window_());
    const patterns: Pattern[] = [
      full(),
      local,
      dilatedSlidingWindow(window_(), [dilation()]),
      union(local, globalTokens(globalIndices)),
    ].map(pattern => (isCausal() ? intersection(causal(), pattern) : pattern));
    const sentences: string[] = [];
    for (const [index, { title, canvas, caption }] of figures.entries()) {
      const pattern = patterns[index]!;
      const isGlobal = new Set(index === 3 ? globalIndices : []);
      const [self, seen, unseen, globalRow, globalColumn] = [
        '--self',
        '--seen',
        '--unseen',
        '--global-row',
        '--global-column',
      ].map(colour) as [string, string, string, string, string];
      paintGrid(canvas, {
        label: `${title}: row ${chosen} is chosen`,
        rows: sequenceLength,
        columns: sequenceLength,
        chosenRow: chosen,
        chosenColour: colour('--chosen'),
        fill: (i, j) => {
          if (!pattern(i, j, 0)) return unseen;
          if (i === j) return self;
          if (isGlobal.has(i)) return globalRow;
          return isGlobal.has(j) ? globalColumn : seen;
        },
        onChoose: row => {
          chosen = row;
          draw();
        },
      });
      const keys = keysOf(pattern, chosen);
      const pairs = Array.from({ length: sequenceLength }, (_, i) => keysOf(pattern, i).length);
      const share = pairs.reduce((sum, n) => sum + n, 0) / sequenceLength ** 2;
      caption.innerHTML = `<b>${title}</b><br>${Math.round(100 * share)} % of all pairs`;
      sentences.push(`${title}: ${keys.length} keys, ${ranges(keys)}`);
    }
    spoken.textContent = `Token ${chosen} sees — ${sentences.join('; ')}.`;
  };
  form.addEventListener('input', draw);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  draw();
}

const keysOf = (pattern: Pattern, i: number): number[] =>
  Array.from({ length: sequenceLength }, (_, j) => j).filter(j => pattern(i, j, 0));

/** 1,2,3,7 → "1–3, 7". */
export function ranges(numbers: readonly number[]): string {
  const parts: string[] = [];
  for (let at = 0; at < numbers.length; ) {
    let end = at;
    while (numbers[end + 1] === numbers[end]! + 1) end++;
    parts.push(end === at ? String(numbers[at]) : `${numbers[at]}–${numbers[end]}`);
    at = end + 1;
  }
  return parts.join(', ');
}
