/**
 * What run.sh measured → one table in Markdown, ours beside the peers', and what was to be reached.
 *
 * node benchmarks/gpu/table.ts RESULTS [--peak TFLOPS]   RESULTS: the folder with webgpu-*.json, decoding-*.json, peers.json
 *
 * Files that are missing are columns that are missing. --peak: float32 outside tensor cores; known for some cards.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Timing } from '../../gpu/webgpu/index.ts';

interface Timed {
  readonly tokens: number;
  readonly best: number;
}

interface Ours {
  readonly adapter: string;
  readonly options: { readonly size: string };
  readonly encoder: readonly Timed[];
  readonly packed: Timed & { readonly documents: number };
  readonly kernels: readonly Timing[];
}

interface Decoded {
  readonly name?: string;
  readonly beams: number;
  readonly stepSeconds: number;
}

/** A peer's row; without `best` the card could not hold it. */
interface Row {
  readonly name: string;
  readonly tokens: number;
  readonly best?: number;
}

interface Peers {
  readonly device: string;
  readonly torch: string;
  readonly transformers: string;
  readonly encoder: readonly Row[];
  readonly flexAttention: readonly Row[];
  readonly decoding?: readonly Decoded[];
}

/** TFLOP/s of float32 outside tensor cores, from the vendor's data sheets. */
const peaks: readonly (readonly [RegExp, number])[] = [
  [/H100 PCIe/i, 51],
  [/H[12]00/i, 67],
  [/A100/i, 19.5],
  [/\bL4\b/i, 30.3],
  [/L40S/i, 91.6],
  [/RTX 4090/i, 82.6],
];

const layersOf: Record<string, number> = { tiny: 2, base: 12, large: 24 };

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { peak: { type: 'string' } },
});
const folder = positionals[0] ?? 'results';
const read = <File>(name: string): File | null => {
  const path = join(folder, name);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as File) : null;
};
const ours = { f32: read<Ours>('webgpu-float32.json'), f16: read<Ours>('webgpu-float16.json') };
const decoded = {
  f32: read<{ decoded: Decoded[] }>('decoding-float32.json'),
  f16: read<{ decoded: Decoded[] }>('decoding-float16.json'),
};
const peers = read<Peers>('peers.json');
if (!ours.f32) throw new Error(`${folder}/webgpu-float32.json is missing: the encoder did not finish`);
const ourPrecisions = ['f32', 'f16'] as const;
const theirPrecisions = ['hf f32', 'hf f32 tf32', 'hf bf16'] as const;
const columns = [...ourPrecisions.map(name => `webgpu ${name}`), ...theirPrecisions];

const lines = [
  `Adapter: ${ours.f32.adapter}.`,
  peers
    ? `Peers: ${peers.device}, torch ${peers.torch}, transformers ${peers.transformers}.`
    : 'The peers were not run.',
  '',
  `Encoder (${ours.f32.options.size}), one document, first token global, seconds:`,
  '',
  ...table(
    'tokens',
    ours.f32.encoder.map(({ tokens }) => [
      String(tokens),
      ...ourPrecisions.map(name => ours[name]?.encoder.find(row => row.tokens === tokens)?.best),
      ...theirPrecisions.map(name => theirs(name, tokens)),
    ]),
    4,
  ),
  '',
  `${ours.f32.packed.documents} documents of 128 tokens, documents per second:`,
  '',
  ...table('', [['packed; a batch', ...packedRates()]], 1),
  '',
  'LED, milliseconds a step:',
  '',
  ...table(
    'beams',
    (decoded.f32?.decoded ?? []).map(({ beams }) => [
      String(beams),
      ...ourPrecisions.map(name => milliseconds(decoded[name]?.decoded, beams)),
      ...theirPrecisions.map(name =>
        milliseconds(
          peers?.decoding?.filter(row => row.name === name),
          beams,
        ),
      ),
    ]),
    2,
  ),
  '',
  ...attentionLines(ours.f32),
  ...reachedLines(ours.f32),
];
process.stdout.write(`${lines.join('\n')}\n`);

function theirs(name: string, tokens: number): number | undefined {
  return peers?.encoder.find(row => row.name === name && row.tokens === tokens)?.best;
}

function packedRates(): (number | undefined)[] {
  const rate = (count: number | undefined, seconds: number | undefined) =>
    count !== undefined && seconds !== undefined ? count / seconds : undefined;
  return [
    ...ourPrecisions.map(name => rate(ours[name]?.packed.documents, ours[name]?.packed.best)),
    ...theirPrecisions.map(name => {
      const row = peers?.encoder.find(each => each.name.startsWith(`${name}, `));
      return rate(row && row.tokens / 128, row?.best);
    }),
  ];
}

function milliseconds(rows: readonly Decoded[] | undefined, beams: number): number | undefined {
  const row = rows?.find(each => each.beams === beams);
  return row && 1000 * row.stepSeconds;
}

/** One layer's local and global attention, ours by device timestamps, beside compiled FlexAttention. */
function attentionLines({ kernels, encoder, options: { size } }: Ours): string[] {
  const own = kernels.filter(({ name }) => /^(slidingWindowAttention|attend|combine|fold|unfold)/.test(name));
  if (own.length === 0) return [];
  const lengths = encoder.map(row => row.tokens);
  const tokens = Math.max(...lengths.filter(count => count <= 4096), Math.min(...lengths)); // as encoder.ts chooses
  const ms = own.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0) / layersOf[size]! / 1e6;
  const flex = (name: string): string => {
    const best = peers?.flexAttention.find(row => row.name === name && row.tokens === tokens)?.best;
    return best === undefined ? 'not measured' : `${(1000 * best).toFixed(3)} ms`;
  };
  return [
    `Attention of one layer at ${tokens} tokens: webgpu f32 ${ms.toFixed(3)} ms, FlexAttention f32 ${flex('flex f32')}, bf16 ${flex('flex bf16')}.`,
    '',
  ];
}

/** What issue and README promise of a data-centre GPU, and whether it was so. */
function reachedLines({ adapter, encoder, packed, kernels }: Ours): string[] {
  const linear = kernels.filter(({ name }) => name.startsWith('linear'));
  const [flops, nanoseconds] = [linear, linear].map((all, i) =>
    all.reduce((sum, kernel) => sum + (i === 0 ? kernel.flops : kernel.nanoseconds), 0),
  ) as [number, number];
  const named = peaks.find(([pattern]) => pattern.test(`${adapter} ${peers?.device ?? ''}`))?.[1];
  const peak = options.peak ? Number(options.peak) : named;
  const teraflops = flops / nanoseconds / 1e3;
  const long = encoder.find(row => row.tokens === 4096)?.best;
  const [hfLong, hfPacked] = [theirs('hf f32', 4096), packedRates()[ourPrecisions.length]];
  const verdict = (name: string, value: number | undefined, isReached: (value: number) => boolean, unit: string) =>
    `| ${name} | ${value === undefined ? 'not measured' : `${value.toFixed(2)} ${unit}`} | ${value === undefined ? '–' : isReached(value) ? 'yes' : 'no'} |`;
  const ratio = (a: number | undefined, b: number | undefined) =>
    a !== undefined && b !== undefined ? a / b : undefined;
  return [
    '| to be reached | measured | reached |',
    '|---|---|---|',
    verdict(
      '4,096 tokens, float32: no slower than Hugging Face eager without TF32',
      ratio(long, hfLong),
      x => x <= 1,
      'of its time',
    ),
    verdict(
      'packed documents: above its batches',
      ratio(packed.documents / packed.best, hfPacked),
      x => x > 1,
      'of its rate',
    ),
    verdict(
      'linear kernels: 35 % of the peak of float32',
      peak && linear.length > 0 ? (100 * teraflops) / peak : undefined,
      x => x >= 35,
      `% of ${peak} TFLOP/s`,
    ),
    verdict('16,384 tokens run', encoder.find(row => row.tokens === 16_384)?.best, () => true, 's'),
  ];
}

/** Rows of a label and numbers → Markdown; numbers that are missing are dashes. */
function table(label: string, rows: readonly (readonly (string | number | undefined)[])[], digits: number): string[] {
  const cell = (value: string | number | undefined): string =>
    typeof value === 'number' ? value.toFixed(digits) : (value ?? '–');
  return [
    `| ${[label, ...columns].join(' | ')} |`,
    `|${'---|'.repeat(columns.length + 1)}`,
    ...rows.map(row => `| ${row.map(cell).join(' | ')} |`),
  ];
}
