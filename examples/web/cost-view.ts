/** Section 4: time and memory of one head against the length, on this machine, now. The paper's Figure 1 in miniature. */
import type { Kernels } from '../../contract/kernels.ts';
import { createWasmKernels } from '../../wasm/index.ts';
import { colour } from '../controls.ts';

const lengths = [256, 512, 1024, 2048, 4096];
const headDim = 64;
const oneSidedWindow = 32;
const roundsEach = 3;

interface Row {
  readonly tokens: number;
  readonly fullMs: number;
  readonly windowMs: number;
}

export function startCostView(section: Element): void {
  const form = section.querySelector('form')!;
  const button = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Measure' });
  form.append(button);
  const panels = section.querySelector('.panels')!;
  const spoken = section.querySelector(':scope > output')!;
  let rows: Row[] = [];
  const show = (): void => {
    if (rows.length > 0) panels.replaceChildren(chartsOf(rows), tableOf(rows));
  };
  button.addEventListener('click', async () => {
    button.disabled = true;
    rows = [];
    try {
      const kernels = await createWasmKernels();
      for (const tokens of lengths) {
        spoken.textContent = `${tokens} tokens …`;
        await new Promise(resolve => setTimeout(resolve, 30)); // so that the page can be used meanwhile
        rows.push({
          tokens,
          fullMs: measure(kernels, tokens, tokens),
          windowMs: measure(kernels, tokens, oneSidedWindow),
        });
        show();
      }
      kernels.dispose();
      const [first, last] = [rows[0]!, rows.at(-1)!];
      const times = last.tokens / first.tokens;
      spoken.textContent =
        `${times} times the tokens: full attention took ${(last.fullMs / first.fullMs).toFixed(0)} times as long, ` +
        `the window ${(last.windowMs / first.windowMs).toFixed(0)} times.`;
    } catch (error) {
      spoken.innerHTML = '<span class="error"></span>';
      spoken.firstElementChild!.textContent = (error as Error).message;
    }
    button.disabled = false;
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', show);
}

/** Best of a few rounds, in milliseconds. A window as wide as the document is full attention. */
function measure(kernels: Kernels, tokens: number, window_: number): number {
  const band = { heads: 1, oneSidedWindow: window_, dilation: [1], causal: false };
  const sequence = kernels.loadSequence({
    documentStarts: Int32Array.of(0),
    attentionMask: new Uint8Array(tokens).fill(1),
    globalIndices: new Int32Array(0),
  });
  const rows = Array.from({ length: 4 }, () => kernels.allocate(tokens, headDim)); // out, query, key, value
  for (const each of rows)
    kernels.write(
      each,
      Float32Array.from({ length: tokens * headDim }, (_, i) => Math.sin(i)),
    );
  const [out, query, key, value] = rows as [(typeof rows)[0], (typeof rows)[0], (typeof rows)[0], (typeof rows)[0]];
  let best = Infinity;
  for (let round = 0; round < roundsEach; round++) {
    const before = performance.now();
    kernels.slidingWindowAttention(out, query, key, value, sequence, band);
    best = Math.min(best, performance.now() - before);
  }
  kernels.free(sequence, ...rows);
  return Math.max(best, 0.005); // a browser's clock may be coarse
}

/** Numbers a head keeps when it stores its scores: T × T, or T × (2w + 1). */
const scores = (tokens: number, window_: number): number => tokens * Math.min(tokens, 2 * window_ + 1);
const megabytes = (numbers: number): string => ((4 * numbers) / 1e6).toFixed(1);

function tableOf(rows: readonly Row[]): Element {
  const table = document.createElement('table');
  table.innerHTML =
    '<thead><tr><th scope="col">tokens</th><th scope="col">full, ms</th><th scope="col">window, ms</th>' +
    '<th scope="col">scores full, MB</th><th scope="col">scores window, MB</th></tr></thead>';
  const body = table.createTBody();
  for (const { tokens, fullMs, windowMs } of rows) {
    const row = body.insertRow();
    for (const text of [
      String(tokens),
      fullMs.toFixed(2),
      windowMs.toFixed(2),
      megabytes(scores(tokens, tokens)),
      megabytes(scores(tokens, oneSidedWindow)),
    ]) {
      row.insertCell().textContent = text;
    }
  }
  return table;
}

/** Time and memory side by side. */
function chartsOf(rows: readonly Row[]): Element {
  const charts = document.createElement('div');
  charts.className = 'charts';
  const memory = (tokens: number, window_: number): number => (4 * scores(tokens, window_)) / 1e6;
  charts.append(
    chartOf(
      'Milliseconds',
      'ms',
      rows.map(({ tokens, fullMs, windowMs }) => ({ tokens, full: fullMs, windowed: windowMs })),
    ),
    chartOf(
      'Megabytes of scores',
      'MB of scores',
      rows.map(({ tokens }) => ({
        tokens,
        full: memory(tokens, tokens),
        windowed: memory(tokens, oneSidedWindow),
      })),
    ),
  );
  return charts;
}

interface Point {
  readonly tokens: number;
  readonly full: number;
  readonly windowed: number;
}

/** Both axes linear: a straight line is linear growth, a curve is not. */
function chartOf(what: string, unit: string, points: readonly Point[]): Element {
  const [width, height, margin] = [480, 260, 40];
  const most = Math.max(...points.map(point => point.full));
  const x = (tokens: number): number => margin + ((width - 2 * margin) * tokens) / lengths.at(-1)!;
  const y = (value: number): number => height - margin + 10 - ((height - 2 * margin) * value) / most;
  const line = (of: (point: Point) => number): string =>
    points.map((point, i) => `${i === 0 ? 'M' : 'L'}${x(point.tokens).toFixed(1)} ${y(of(point)).toFixed(1)}`).join('');
  const last = points.at(-1)!;
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `${what} against tokens; the numbers are in the table below`);
  const [full, windowed, quiet] = [colour('--global-row'), colour('--seen'), colour('--quiet')];
  const tick = ({ tokens }: Point): string =>
    `<text x="${x(tokens)}" y="${height - 10}" text-anchor="middle">${tokens}</text>`;
  svg.innerHTML =
    `<path d="M${margin} ${y(0)}H${width - margin}M${margin} ${y(0)}V${y(most)}" stroke="${quiet}" fill="none"/>` +
    `<path d="${line(point => point.full)}" stroke="${full}" stroke-width="3" fill="none"/>` +
    `<path d="${line(point => point.windowed)}" stroke="${windowed}" stroke-width="3" fill="none"/>` +
    `<g fill="${quiet}" font-size="14" font-family="system-ui, sans-serif">` +
    points
      .filter(({ tokens }) => tokens >= 1024 || tokens === last.tokens)
      .map(tick)
      .join('') +
    `<text x="${margin}" y="${y(most) - 10}">${most.toFixed(1)} ${unit}</text>` +
    `<text x="${x(last.tokens) - 40}" y="${y(last.full) + 12}" text-anchor="end" fill="${full}">every key</text>` +
    `<text x="${x(last.tokens) - 8}" y="${y(last.windowed) - 8}" text-anchor="end" fill="${windowed}">window</text></g>`;
  return svg;
}
