/** The results of figure-1.bench.ts as a picture: two charts side by side, both axes logarithmic. */

export interface Measurement {
  readonly implementation: string;
  /** T. */
  readonly sequenceLength: number;
  readonly medianMs: number;
  readonly fastestMs: number;
  readonly runs: number;
  /** Numbers in the largest tensor of scores: counted, not measured. */
  readonly scoreNumbers: number;
}

export interface Figure1 {
  readonly benchmark: 'figure-1';
  readonly date: string;
  /** In general words, such as 2-core-x86-64. */
  readonly machine: string;
  readonly node: string;
  readonly headDim: number;
  readonly oneSidedWindow: number;
  readonly measurements: readonly Measurement[];
}

/** Colour and dashes both tell the lines apart. */
const looks = [
  { stroke: '#12395b', dashes: 'none' },
  { stroke: '#d9730d', dashes: '2 3' },
  { stroke: '#3d8b5f', dashes: '8 3' },
  { stroke: '#5fa2d3', dashes: 'none' },
  { stroke: '#8e5bb5', dashes: '8 3' },
  { stroke: '#b03a5b', dashes: 'none' },
] as const;

const chart = { width: 270, height: 190, left: 56, top: 44, gap: 66 };

export function figure1Svg({ measurements, machine, date, headDim, oneSidedWindow }: Figure1): string {
  const names = [...new Set(measurements.map(({ implementation }) => implementation))];
  const width = 2 * (chart.left + chart.width) + chart.gap - chart.left + 20;
  const height = chart.top + chart.height + 76;
  const legend = names.flatMap((name, index) => {
    const x = chart.left + index * 104;
    const y = chart.top + chart.height + 50;
    return [`<path d="M${x} ${y - 4}h26" ${strokeOf(index)}/>`, `<text x="${x + 32}" y="${y}">${name}</text>`];
  });
  const note = `reference in float64, wasm in float32, one head of ${headDim}, ${oneSidedWindow} keys on each side; ${machine}, ${date}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
      `role="img" aria-labelledby="title description" font-family="system-ui, DejaVu Sans, sans-serif" font-size="11" fill="#222">`,
    '<title id="title">Time and memory of six implementations of attention against the length of the document</title>',
    '<desc id="description">Two charts with logarithmic axes. Full attention grows four times with each doubling of the ' +
      'length, in the reference and, lower, in WebAssembly; the implementations of the sliding window grow two times. The scores ' +
      'that the kernel in WebAssembly holds for its window do not grow at all.</desc>',
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...oneChart('milliseconds a call', chart.left, names, measurements, ({ medianMs }) => medianMs),
    ...oneChart(
      'numbers in the largest tensor of scores',
      chart.left + chart.width + chart.gap,
      names,
      measurements,
      ({ scoreNumbers }) => scoreNumbers,
    ),
    ...legend,
    `<text x="${chart.left}" y="${height - 8}" fill="#666" font-size="9">${note}</text>`,
    '</svg>',
    '',
  ].join('\n');
}

function oneChart(
  title: string,
  left: number,
  names: readonly string[],
  measurements: readonly Measurement[],
  amountOf: (measurement: Measurement) => number,
): string[] {
  const lengths = [...new Set(measurements.map(({ sequenceLength }) => sequenceLength))].sort((a, b) => a - b);
  const values = measurements.map(amountOf);
  const lowest = Math.floor(Math.log10(Math.min(...values)));
  const highest = Math.ceil(Math.log10(Math.max(...values)));
  const across = Math.log2(lengths.at(-1)! / lengths[0]!) || 1;
  const x = (length: number): number => px((Math.log2(length / lengths[0]!) / across) * chart.width);
  const y = (value: number): number =>
    px(((highest - Math.log10(value)) / Math.max(1, highest - lowest)) * chart.height);
  const powers = Array.from({ length: highest - lowest + 1 }, (_, step) => 10 ** (lowest + step));
  return [
    `<g transform="translate(${left} ${chart.top})">`,
    `<text y="-20" font-size="12" font-weight="600">${title}</text>`,
    `<path stroke="#d5dade" fill="none" d="${powers.map(power => `M0 ${y(power)}h${chart.width}`).join('')}"/>`,
    ...powers.map(
      power => `<text x="-6" y="${y(power) + 4}" text-anchor="end" fill="#666" font-size="9">${words(power)}</text>`,
    ),
    ...lengths.map(
      length =>
        `<text x="${x(length)}" y="${chart.height + 14}" text-anchor="middle" fill="#666" font-size="9">${length}</text>`,
    ),
    `<text x="${chart.width / 2}" y="${chart.height + 28}" text-anchor="middle">tokens T</text>`,
    // The last is drawn first: where lines coincide, the dashes of the earlier lie on top.
    ...[...names.entries()].reverse().map(([index, name]) => {
      const points = measurements
        .filter(({ implementation }) => implementation === name)
        .map(measurement => `${x(measurement.sequenceLength)},${y(amountOf(measurement))}`);
      return `<polyline points="${points.join(' ')}" ${strokeOf(index)}/>`;
    }),
    '</g>',
  ];
}

const strokeOf = (index: number): string => {
  const { stroke, dashes } = looks[index % looks.length]!;
  return `fill="none" stroke="${stroke}" stroke-width="2.5" stroke-dasharray="${dashes}"`;
};

const px = (value: number): number => Math.round(value * 10) / 10;

/** 10000000 → 10M; 0.1 → 0.1. */
function words(power: number): string {
  if (power >= 1e6) return `${power / 1e6}M`;
  return power >= 1e3 ? `${power / 1e3}k` : String(Number(power.toPrecision(1)));
}
