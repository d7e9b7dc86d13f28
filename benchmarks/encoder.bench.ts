/**
 * A whole encoder against Hugging Face on the same core: seconds, memory, and from load to first answer.
 *
 *     node benchmarks/encoder.bench.ts --checkpoint DIR --peer-python PYTHON
 *
 * For each length new processes are started, so that peak memory belongs to that length; then passes are taken in turn (compare.ts). A
 * backend that fails a conformance case of the encoder is not timed, and neither is an answer that differs from the peer's.
 * Nothing here is a test: ratios depend on the machine.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type BackendName, backendNames, failures } from './backends.ts';
import * as compare from './compare.ts';
import type { ForwardAnswer, ForwardRequest, Wanted } from './forward.ts';

const help = `node benchmarks/encoder.bench.ts --checkpoint DIR [options]

  --checkpoint DIR      config.json and model.safetensors, as conformance/generate/make_checkpoint.py makes them
  --peer-python PYTHON  a Python with benchmarks/peers/huggingface/requirements.txt; without it only ours is measured
  --peers f32           Hugging Face in f32, bf16, int8; its exported graph as ort-web, ort-node: a list
  --graphs DIR          for ort-*: T.onnx for each length T, from peers/huggingface/export_onnx.py; needs --last or --head
  --tokens 20,128,…     lengths
  --head                only the output of the head, not the hidden states of every layer
  --last                only the hidden states of the last layer
  --packed              instead of lengths: 64 texts of 20 to 300 tokens, packed, one by one, and as the peer would
  --threads 2           ours with so many threads too, not bound to a core: its row's ratio is how many times faster it is
  --backend wasm        ${backendNames.join(', ')}
  --rounds 3            at least so many counted rounds; short ones are repeated for ten seconds
  --json FILE           writes the result
`;

const { values: options } = parseArgs({
  options: {
    checkpoint: { type: 'string' },
    'peer-python': { type: 'string' },
    peers: { type: 'string', default: 'f32' },
    graphs: { type: 'string' },
    tokens: { type: 'string', default: '20,128,512,600,1024,2048,4096' },
    head: { type: 'boolean', default: false },
    last: { type: 'boolean', default: false },
    packed: { type: 'boolean', default: false },
    threads: { type: 'string', default: '1' },
    backend: { type: 'string', default: 'wasm' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

interface Ready {
  /** From the start of the process until its libraries are there. */
  readonly importSeconds: number;
  /** From there until the model is. */
  readonly loadSeconds: number;
  readonly loadCpuSeconds: number;
}
type Contestant = compare.Contestant<ForwardRequest, Ready, ForwardAnswer>;

/** What is written for one contestant. */
interface Measurement {
  readonly contestant: string;
  readonly documents: number;
  /** All documents together. */
  readonly tokens: number;
  readonly batch: number;
  readonly medianSeconds: number;
  readonly fastestSeconds: number;
  readonly medianCpuSeconds: number;
  readonly rounds: number;
  readonly peakBytes: number;
  readonly importSeconds: number;
  readonly loadSeconds: number;
  /** From the beginning of loading, libraries imported, to the end of the first pass. */
  readonly firstAnswerSeconds: number;
  readonly firstAnswerCpuSeconds: number;
  /** Worst difference from Hugging Face's float32 answer, relative to its largest value; null: nobody computed that. */
  readonly difference: number | null;
}

/** Above that, two float32 models are not the same model. Hugging Face's own error is some 1e-6. */
const sameModel = 1e-3;

const backend = options.backend as BackendName;
const want: Wanted = options.head ? 'head' : options.last ? 'last' : 'all';
const python = options['peer-python'];
const peers = python ? options.peers.split(',') : [];
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const threads = Number(options.threads);

const startOurs = (threads = 1): Promise<Contestant> =>
  compare.startContestant(
    threads === 1 ? backend : `${backend}-${threads}-threads`,
    [
      process.execPath,
      here('forward.ts'),
      ...['--checkpoint', options.checkpoint!, '--backend', backend, '--threads', String(threads)],
    ],
    threads === 1,
  );
/** Hugging Face's graph of this length in ONNX Runtime, not optimised: that does not load (README). */
const startGraph = (runtime: string, tokens: number): Promise<Contestant> =>
  compare.startContestant(runtime, [
    process.execPath,
    here('peers/javascript/onnx-graph.mjs'),
    ...['--runtime', runtime.slice('ort-'.length), '--graph', join(options.graphs!, `${tokens}.onnx`)],
  ]);
const startPeer = (dtype: string): Promise<Contestant> =>
  compare.startContestant(`hf-${dtype}`, [
    python!,
    here('peers/huggingface/forward.py'),
    ...['--checkpoint', options.checkpoint!, '--dtype', dtype],
  ]);

/** Starts contestants one after the other, lets them work, and ends them whatever happens. */
async function withContestants<T>(
  starts: readonly (() => Promise<Contestant>)[],
  work: (contestants: readonly Contestant[]) => Promise<T>,
): Promise<T> {
  const contestants: Contestant[] = [];
  try {
    for (const start of starts) contestants.push(await start());
    return await work(contestants);
  } finally {
    for (const contestant of contestants) await contestant.stop();
  }
}

function measurementOf(
  { name, ready }: Contestant,
  request: ForwardRequest,
  { first, counted }: { first: ForwardAnswer; counted: readonly ForwardAnswer[] },
  truth: ForwardAnswer | undefined,
): Measurement {
  const seconds = counted.map(answer => answer.seconds);
  return {
    contestant: name,
    documents: request.tokens.length,
    tokens: request.tokens.reduce((sum, length) => sum + length, 0),
    batch: request.batch,
    medianSeconds: compare.rounded(compare.median(seconds)),
    fastestSeconds: compare.rounded(Math.min(...seconds)),
    medianCpuSeconds: compare.rounded(compare.median(counted.map(answer => answer.cpuSeconds))),
    rounds: counted.length,
    peakBytes: counted.at(-1)!.peakBytes,
    importSeconds: compare.rounded(ready.importSeconds),
    loadSeconds: compare.rounded(ready.loadSeconds),
    firstAnswerSeconds: compare.rounded(ready.loadSeconds + first.seconds),
    firstAnswerCpuSeconds: compare.rounded(ready.loadCpuSeconds + first.cpuSeconds),
    difference: truth ? compare.rounded(differenceOf(counted[0]!.probe, truth.probe), 2) : null,
  };
}

function differenceOf(probe: readonly number[], truth: readonly number[]): number {
  const largest = Math.max(...truth.map(Math.abs));
  // Math.max keeps NaN, so that a result that is no number is not taken for a good one.
  return truth.reduce((worst, value, i) => Math.max(worst, Math.abs(value - probe[i]!)), 0) / largest;
}

async function measureLength(length: number): Promise<Measurement[]> {
  const request: ForwardRequest = { tokens: [length], batch: 1, want };
  const startNamed = (peer: string): Promise<Contestant> =>
    peer.startsWith('ort-') ? startGraph(peer, length) : startPeer(peer);
  const starts = [() => startOurs(), ...peers.map(peer => () => startNamed(peer))];
  if (threads > 1) starts.push(() => startOurs(threads));
  return await withContestants(starts, async contestants => {
    const rounds = { least: Number(options.rounds), most: 20, seconds: 10 };
    const runs = await compare.inTurn(contestants, request, rounds);
    const truth = runs[contestants.findIndex(({ name }) => name === 'hf-f32')]?.counted[0];
    return contestants.map((contestant, i) => measurementOf(contestant, request, runs[i]!, truth));
  });
}

/** 64 lengths from 20 to 300, evenly spread and mixed up. */
const shortTexts = Array.from({ length: 64 }, (_, i) => 20 + Math.round((280 * ((37 * i) % 64)) / 63));

/** Ours packed and one by one, then the peer one by one and in padded batches of eight. */
async function measurePacked(): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  let truth: ForwardAnswer | undefined;
  const plan: [() => Promise<Contestant>, number][] = peers.flatMap(dtype => [
    [() => startPeer(dtype), 8],
    [() => startPeer(dtype), 1],
  ]);
  plan.push([() => startOurs(), shortTexts.length], [() => startOurs(), 1]);
  for (const [start, batch] of plan) {
    const request: ForwardRequest = { tokens: shortTexts, batch, want };
    await withContestants([start], async ([contestant]) => {
      // One text warms up; 64 of them once are long enough not to need a second round.
      const first = await contestant!.ask({ ...request, tokens: [300] });
      const counted = [await contestant!.ask(request)];
      if (contestant!.name === 'hf-f32') truth ??= counted[0];
      measurements.push(measurementOf(contestant!, request, { first, counted }, truth));
    });
    process.stderr.write(`batches of ${batch} done\n`);
  }
  return measurements;
}

const megabytes = (bytes: number): string => String(Math.round(bytes / 1e6));
const seconds = (value: number): string => (value < 10 ? value.toFixed(3) : value.toFixed(1));

/** One row for each length and peer, ours beside it. */
function lengthRows(measurements: readonly Measurement[]): string[][] {
  const [ours, ...others] = measurements as [Measurement, ...Measurement[]];
  const compared = others.length > 0 ? others : [undefined];
  return compared.map(peer => [
    String(ours.tokens),
    seconds(ours.medianSeconds),
    peer?.contestant ?? '-',
    peer ? seconds(peer.medianSeconds) : '-',
    peer ? (ours.medianSeconds / peer.medianSeconds).toFixed(3) : '-',
    peer ? (ours.medianCpuSeconds / peer.medianCpuSeconds).toFixed(3) : '-',
    megabytes(ours.peakBytes),
    peer ? megabytes(peer.peakBytes) : '-',
    seconds(ours.firstAnswerSeconds),
    peer ? seconds(peer.firstAnswerSeconds) : '-',
    peer ? (ours.firstAnswerCpuSeconds / peer.firstAnswerCpuSeconds).toFixed(3) : '-',
    ours.difference?.toExponential(1) ?? '-',
  ]);
}

const lengthHeader = [
  ...['T', 'ours s', 'peer', 'peer s', 'ratio', 'by CPU time', 'ours MB', 'peer MB'],
  ...['ours first s', 'peer first s', 'first by CPU', 'difference'],
];

function packedRows(measurements: readonly Measurement[]): string[][] {
  return measurements.map(m => [
    m.contestant,
    m.batch === 1 ? 'one by one' : m.batch === m.documents ? 'all packed' : `batches of ${m.batch}`,
    seconds(m.medianSeconds),
    (m.tokens / m.medianSeconds).toFixed(0),
    megabytes(m.peakBytes),
    m.difference?.toExponential(1) ?? '-',
  ]);
}

/** False, with a word on stderr, when ours and a float32 peer do not agree. */
function agree(measurements: readonly Measurement[]): boolean {
  const wrong = measurements.filter(
    m => !m.contestant.match(/bf16|int8/) && m.difference !== null && !(m.difference <= sameModel),
  );
  for (const { contestant, tokens, difference } of wrong) {
    process.stderr.write(`${contestant}, ${tokens} tokens: not counted, its answer is ${difference} off the peer's\n`);
    process.exitCode = 1;
  }
  return wrong.length === 0;
}

async function main(): Promise<void> {
  const failed =
    (await failures(backend, 'encoder')) ?? (threads > 1 ? await failures(backend, 'encoder', threads) : null);
  if (failed) {
    process.stderr.write(`${backend} is not timed, it fails its conformance cases:\n${failed}\n`);
    process.exitCode = 1;
    return;
  }
  const rounds = options.packed ? 'one round' : `median of at least ${options.rounds} rounds`;
  process.stdout.write(`${compare.pinning}; ${rounds}; want: ${want}\n\n`);
  const measurements: Measurement[] = [];
  const rows: string[][] = [];
  if (options.packed) {
    measurements.push(...(await measurePacked()));
    if (agree(measurements)) rows.push(...packedRows(measurements));
  } else {
    for (const length of options.tokens.split(',').map(Number)) {
      const ofLength = await measureLength(length);
      process.stderr.write(`${length} tokens done\n`);
      if (!agree(ofLength)) continue;
      measurements.push(...ofLength);
      rows.push(...lengthRows(ofLength));
    }
  }
  const packedHeader = ['contestant', 'documents', 'seconds', 'tokens/s', 'peak MB', 'difference'];
  process.stdout.write(compare.markdownTable([options.packed ? packedHeader : lengthHeader, ...rows]));
  if (options.json) compare.writeResult(options.json, result(measurements));
}

function result(measurements: readonly Measurement[]): object {
  const checkpoint = options.checkpoint!;
  const config = JSON.parse(readFileSync(join(checkpoint, 'config.json'), 'utf8')) as Record<string, number>;
  return {
    benchmark: options.packed ? 'encoder-packed' : 'encoder',
    date: compare.today(),
    machine: compare.machine(),
    pinned: compare.canPin,
    node: process.version,
    backend,
    want,
    model: {
      layers: config.num_hidden_layers,
      hiddenSize: config.hidden_size,
      bytes: statSync(join(checkpoint, 'model.safetensors')).size,
    },
    measurements,
  };
}

if (options.help) process.stdout.write(help);
else if (
  !options.checkpoint ||
  (peers.some(peer => peer.startsWith('ort-')) && (!options.graphs || options.packed || want === 'all'))
) {
  process.stderr.write(help);
  process.exitCode = 2;
} else await main();
