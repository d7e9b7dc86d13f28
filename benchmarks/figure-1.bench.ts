/**
 * The paper's Figure 1 in miniature: how time and memory grow with the length of the document.
 *
 * One head of 16 features, 16 keys on each side. What counts is the shape of the curves. The paper's figure shows four
 * implementations on a GPU; ours shows what stands in reference/, in float64 and not fast, and the kernel of wasm/, in float32:
 *
 *     full           3-dense-attention.ts             all T² pairs
 *     loop           6a-loop.ts                       the band, one diagonal after the other
 *     chunks         6b-sliding-chunks.ts             the band by products of overlapping chunks
 *     banded         4-sliding-window-attention.ts    the band, one query after the other
 *     wasm full      slidingWindowAttention           with a window as wide as the document
 *     wasm banded    slidingWindowAttention           the band, a few queries at a time
 *
 * Memory is counted, not measured: the numbers in the largest tensor of scores. An implementation whose result is further from the
 * definition than its number format explains is not timed, and the run ends with exit code 1.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { Bench } from 'tinybench';
import type { Kernels } from '../contract/kernels.ts';
import type { Tensor64 } from '../contract/tensor.ts';
import { type Band, full, type Pattern, slidingWindow, type TokenRoles } from '../reference/2-patterns.ts';
import { denseAttention } from '../reference/3-dense-attention.ts';
import { slidingWindowAttention } from '../reference/4-sliding-window-attention.ts';
import { attentionByProducts } from '../reference/6-banded-products.ts';
import { loop } from '../reference/6a-loop.ts';
import { chunk, slidingChunks } from '../reference/6b-sliding-chunks.ts';
import { randomTensor, seededRandom } from '../reference/random.ts';
import { createWasmKernels } from '../wasm/index.ts';
import { type Figure1, figure1Svg, type Measurement } from './figure-1-svg.ts';

const headDim = 16;
const oneSidedWindow = 16;
const band: Band = { heads: 1, oneSidedWindow, dilation: [1], causal: false };
/** From the definition, by number format: values are around 1. */
const allowedDifference = { float64: 1e-12, float32: 1e-5 };

interface Inputs {
  readonly query: Tensor64;
  readonly key: Tensor64;
  readonly value: Tensor64;
  readonly roles: TokenRoles;
}

interface Implementation {
  readonly name: string;
  /** What the result must equal, by the definition. */
  readonly pattern: Pattern;
  readonly precision: keyof typeof allowedDifference;
  /** Everything that is not to be timed: () → result. */
  prepare(inputs: Inputs): { run(): unknown; result(): Promise<Tensor64> };
  /** Numbers in the largest tensor of scores. */
  scoreNumbers(inputs: Inputs): number;
}

const lengthOf = ({ query }: Inputs): number => query.shape[0]!;

const bandNumbers = (inputs: Inputs): number => lengthOf(inputs) * (2 * oneSidedWindow + 1);

function onReference(
  name: string,
  pattern: Pattern,
  attend: (inputs: Inputs) => Tensor64,
  scoreNumbers: Implementation['scoreNumbers'],
): Implementation {
  return {
    name,
    pattern,
    precision: 'float64',
    prepare: inputs => ({ run: () => attend(inputs), result: async () => attend(inputs) }),
    scoreNumbers,
  };
}

/** The kernel does six queries at a time, against keys in panels of eight. */
const tileNumbers = (keys: number): number => 6 * 8 * Math.ceil(keys / 8);

function onWasm(
  kernels: Kernels,
  name: string,
  pattern: Pattern,
  windowOf: (sequenceLength: number) => number,
): Implementation {
  return {
    name,
    pattern,
    precision: 'float32',
    prepare(inputs) {
      const sequenceLength = lengthOf(inputs);
      const [query, key, value] = [inputs.query, inputs.key, inputs.value].map(({ data }) => {
        const rows = kernels.allocate(sequenceLength, headDim);
        kernels.write(rows, data);
        return rows;
      });
      const sequence = kernels.loadSequence({
        documentStarts: Int32Array.of(0),
        attentionMask: new Uint8Array(sequenceLength).fill(1),
        globalIndices: new Int32Array(),
      });
      const out = kernels.allocate(sequenceLength, headDim);
      const ofKernel = { ...band, oneSidedWindow: windowOf(sequenceLength) };
      const run = (): void => kernels.slidingWindowAttention(out, query!, key!, value!, sequence, ofKernel);
      return {
        run,
        async result() {
          run();
          const data = Float64Array.from(await kernels.read(out, 0, sequenceLength));
          return { shape: [sequenceLength, headDim], data };
        },
      };
    },
    scoreNumbers(inputs) {
      const sequenceLength = lengthOf(inputs);
      return tileNumbers(Math.min(sequenceLength, 2 * windowOf(sequenceLength) + 6));
    },
  };
}

const kernels = await createWasmKernels();

const implementations: readonly Implementation[] = [
  onReference(
    'full',
    full(),
    ({ query, key, value }) => denseAttention(query, key, value, 1, full()).attended,
    inputs => lengthOf(inputs) ** 2,
  ),
  onReference(
    'loop',
    slidingWindow(oneSidedWindow),
    ({ query, key, value, roles }) => attentionByProducts(query, key, value, roles, loop(band)).attended,
    bandNumbers,
  ),
  onReference(
    'chunks',
    slidingWindow(oneSidedWindow),
    ({ query, key, value, roles }) =>
      attentionByProducts(query, key, value, roles, slidingChunks(1, oneSidedWindow)).attended,
    // All pairs of a chunk, after the skew that makes each row one longer.
    ({ query }) => chunk(query, oneSidedWindow).shape[0]! * 2 * oneSidedWindow * (2 * oneSidedWindow + 1),
  ),
  onReference(
    'banded',
    slidingWindow(oneSidedWindow),
    ({ query, key, value, roles }) => slidingWindowAttention(query, key, value, roles, band).attended,
    bandNumbers,
  ),
  onWasm(kernels, 'wasm full', full(), sequenceLength => sequenceLength),
  onWasm(kernels, 'wasm banded', slidingWindow(oneSidedWindow), () => oneSidedWindow),
];

function inputsOf(sequenceLength: number): Inputs {
  const random = seededRandom(sequenceLength);
  const tensor = (): Tensor64 => randomTensor(random, [sequenceLength, headDim]);
  const attentionMask = new Array<number>(sequenceLength).fill(1);
  return { query: tensor(), key: tensor(), value: tensor(), roles: { attentionMask, globalIndices: [] } };
}

function worstDifference(a: Tensor64, b: Tensor64): number {
  // Math.max keeps NaN, so that a result that is no number is not taken for a good one.
  return a.data.reduce((worst, value, at) => Math.max(worst, Math.abs(value - b.data[at]!)), 0);
}

async function measure(lengths: readonly number[], milliseconds: number): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const sequenceLength of lengths) {
    const inputs = inputsOf(sequenceLength);
    const { query, key, value } = inputs;
    const bench = new Bench({ time: milliseconds, iterations: 3, warmupTime: milliseconds / 4, warmupIterations: 1 });
    const scoreNumbers = new Map<string, number>();
    for (const { name, pattern, precision, prepare, scoreNumbers: count } of implementations) {
      const { run, result } = prepare(inputs);
      const difference = worstDifference(await result(), denseAttention(query, key, value, 1, pattern).attended);
      if (!(difference <= allowedDifference[precision])) {
        process.stderr.write(
          `${name}, T ${sequenceLength}: not timed, its result is ${difference} off the definition\n`,
        );
        process.exitCode = 1;
        continue;
      }
      scoreNumbers.set(name, count(inputs));
      bench.add(name, run);
    }
    for (const { name, result } of await bench.run()) {
      if (!('latency' in result)) continue;
      const { p50, min, samplesCount } = result.latency;
      measurements.push({
        implementation: name,
        sequenceLength,
        medianMs: round(p50),
        fastestMs: round(min),
        runs: samplesCount,
        scoreNumbers: scoreNumbers.get(name)!,
      });
    }
  }
  return measurements;
}

/** Four digits: more would be noise. */
const round = (value: number): number => Number(value.toPrecision(4));

/** Lengths down, implementations across: median milliseconds, and thousands of numbers. */
function table(measurements: readonly Measurement[]): string {
  const names = [...new Set(measurements.map(({ implementation }) => implementation))];
  const cell = (text: string): string => text.padStart(13);
  const line = (first: string, cells: readonly string[]): string => first.padStart(6) + cells.map(cell).join('');
  const block = (title: string, value: (measurement: Measurement) => string): string[] => [
    title,
    line('T', names),
    ...[...new Set(measurements.map(({ sequenceLength }) => sequenceLength))].map(length =>
      line(
        String(length),
        names.map(name => {
          const found = measurements.find(m => m.implementation === name && m.sequenceLength === length);
          return found ? value(found) : '-';
        }),
      ),
    ),
    '',
  ];
  return [
    ...block('Milliseconds a call (median)', ({ medianMs }) => String(medianMs)),
    ...block('Numbers in the largest tensor of scores', ({ scoreNumbers }) => String(scoreNumbers)),
  ].join('\n');
}

function writeResult(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    svg: { type: 'string' },
    lengths: { type: 'string', default: '128,256,512,1024,2048' },
    milliseconds: { type: 'string', default: '500' },
    help: { type: 'boolean', default: false },
  },
});

if (options.help) {
  process.stdout.write(`npm run bench -- [--json file] [--svg file] [--lengths 128,256] [--milliseconds 500]
Lengths must be multiples of ${2 * oneSidedWindow}, for the sake of the chunks.
`);
} else {
  const architecture = process.arch === 'x64' ? 'x86-64' : process.arch;
  const figure: Figure1 = {
    benchmark: 'figure-1',
    date: new Date().toISOString().slice(0, 10),
    machine: `${availableParallelism()}-core-${architecture}`,
    node: process.version,
    headDim,
    oneSidedWindow,
    measurements: await measure(options.lengths.split(',').map(Number), Number(options.milliseconds)),
  };
  process.stdout.write(table(figure.measurements));
  if (options.json) writeResult(options.json, JSON.stringify(figure, null, 2) + '\n');
  if (options.svg) writeResult(options.svg, figure1Svg(figure));
}
