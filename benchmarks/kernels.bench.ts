/**
 * Kernels at the shapes of real layers: GFLOP/s, the share of what the core can do with such vectors, and other people's matrix
 * products in turn with ours on the same core.
 *
 *     node benchmarks/kernels.bench.ts [--peers onnxruntime-web,onnxruntime-node,tfjs-wasm]
 *
 * The peers need `npm ci` in benchmarks/peers/javascript first. A backend that fails a conformance case of attention is not timed, and a
 * product that differs from the peer's is not counted.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type BackendName, backendNames, failures } from './backends.ts';
import * as compare from './compare.ts';
import type { KernelAnswer, KernelRequest } from './kernels.ts';

const help = `node benchmarks/kernels.bench.ts [options]

  --backend wasm       ${backendNames.join(', ')}
  --peers LIST         of onnxruntime-web, onnxruntime-node, tfjs-wasm; none when absent
  --rounds 10          counted rounds of each shape
  --json FILE          writes the result
`;

const { values: options } = parseArgs({
  options: {
    backend: { type: 'string', default: 'wasm' },
    peers: { type: 'string', default: '' },
    rounds: { type: 'string', default: '10' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

type Contestant = compare.Contestant<KernelRequest, { library: string }, KernelAnswer>;

interface Measurement {
  readonly contestant: string;
  readonly request: KernelRequest;
  readonly gflop: number;
  readonly medianCpuSeconds: number;
  readonly fastestSeconds: number;
  /** By the median of the CPU time. */
  readonly gflopsPerSecond: number;
  /** Of the peak loop's, measured in the same rounds. */
  readonly shareOfPeak: number;
}

const rows = 4096;
/** Of the base and of the large model: attention's projections, and the two halves of the feed-forward layer. */
const linears: readonly KernelRequest[] = [
  [768, 768],
  [768, 3072],
  [3072, 768],
  [1024, 1024],
  [1024, 4096],
  [4096, 1024],
].map(([inFeatures, outFeatures]) => ({ kernel: 'linear', rows, inFeatures: inFeatures!, outFeatures: outFeatures! }));
const attentions: readonly KernelRequest[] = [4096, 8192, 16384].map(tokens => ({
  kernel: 'attention',
  tokens,
  heads: 12,
  headDim: 64,
  oneSidedWindow: 256,
}));

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const backend = options.backend as BackendName;

/** Multiplications and additions of one call: for attention those of scores and values, of keys that exist. */
function gflopOf(request: KernelRequest): number {
  if (request.kernel === 'peak') return 1;
  if (request.kernel === 'linear') return (2 * request.rows * request.inFeatures * request.outFeatures) / 1e9;
  const { tokens, heads, headDim, oneSidedWindow: w } = request;
  const pairs = tokens * (2 * w + 1) - w * (w + 1);
  return (2 * 2 * heads * headDim * pairs) / 1e9;
}

const words = (request: KernelRequest): string =>
  request.kernel === 'linear'
    ? `linear ${request.inFeatures} → ${request.outFeatures}`
    : request.kernel === 'attention'
      ? `attention, ${request.tokens} tokens`
      : 'peak';

const worstDifference = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0) / Math.max(...b.map(Math.abs));

async function measure(contestants: readonly Contestant[], request: KernelRequest): Promise<Measurement[]> {
  const ours = contestants[0]!;
  const rounds = Number(options.rounds);
  const peak: number[] = [];
  // The peak in every round too: a core that runs slower for a while does so for both.
  const withPeak: Contestant[] = contestants.map(contestant => ({ ...contestant }));
  withPeak[0] = {
    ...ours,
    async ask(asked) {
      peak.push(1 / (await ours.ask({ kernel: 'peak' })).seconds);
      return await ours.ask(asked);
    },
  };
  const warmUp = { least: 2, most: 2, seconds: 0 };
  await compare.inTurn(withPeak, request, warmUp); // until every engine has its fast code
  const runs = await compare.inTurn(withPeak, request, { least: rounds, most: rounds, seconds: 0 });
  const truth = runs[0]!.first.probe;
  return contestants.flatMap(({ name }, i) => {
    const difference = worstDifference(runs[i]!.first.probe, truth);
    if (!(difference < 1e-4)) {
      process.stderr.write(`${name}, ${words(request)}: not counted, its result is ${difference} off ours\n`);
      process.exitCode = 1;
      return [];
    }
    const medianCpuSeconds = compare.median(runs[i]!.counted.map(answer => answer.cpuSeconds));
    const gflop = gflopOf(request);
    return {
      contestant: name,
      request,
      gflop: compare.rounded(gflop),
      medianCpuSeconds: compare.rounded(medianCpuSeconds),
      fastestSeconds: compare.rounded(Math.min(...runs[i]!.counted.map(answer => answer.seconds))),
      gflopsPerSecond: compare.rounded(gflop / medianCpuSeconds),
      shareOfPeak: compare.rounded(gflop / medianCpuSeconds / compare.median(peak), 3),
    };
  });
}

async function main(): Promise<void> {
  const failed = await failures(backend, 'attention');
  if (failed) {
    process.stderr.write(`${backend} is not timed, it fails its conformance cases:\n${failed}\n`);
    process.exitCode = 1;
    return;
  }
  const peers = options.peers.split(',').filter(name => name);
  const contestants: Contestant[] = [];
  const measurements: Measurement[] = [];
  try {
    contestants.push(
      await compare.startContestant(backend, [process.execPath, here('kernels.ts'), '--backend', backend]),
    );
    for (const peer of peers) {
      const command = [process.execPath, here('peers/javascript/gemm.mjs'), '--library', peer];
      contestants.push(await compare.startContestant(peer, command));
    }
    for (const request of linears) measurements.push(...(await measure(contestants, request)));
    for (const request of attentions) measurements.push(...(await measure(contestants.slice(0, 1), request)));
  } finally {
    for (const contestant of contestants) await contestant.stop();
  }
  process.stdout.write(`${compare.pinning}; GFLOP/s by CPU time, median of ${options.rounds} rounds\n\n`);
  process.stdout.write(
    compare.markdownTable([header(peers), ...[...linears, ...attentions].map(row(measurements, peers))]),
  );
  if (!options.json) return;
  compare.writeResult(options.json, {
    benchmark: 'kernels',
    date: compare.today(),
    machine: compare.machine(),
    pinned: compare.canPin,
    node: process.version,
    measurements,
  });
}

const header = (peers: readonly string[]): string[] => [
  'kernel',
  backend,
  'of peak',
  'ms',
  ...peers.flatMap(peer => [peer, 'ours / theirs']),
];

const row =
  (measurements: readonly Measurement[], peers: readonly string[]) =>
  (request: KernelRequest): string[] => {
    const of = (name: string): Measurement | undefined =>
      measurements.find(m => m.contestant === name && m.request === request);
    const ours = of(backend);
    return [
      words(request),
      ours ? ours.gflopsPerSecond.toFixed(1) : '-',
      ours ? `${(100 * ours.shareOfPeak).toFixed(0)} %` : '-',
      ours ? (1000 * ours.medianCpuSeconds).toFixed(1) : '-',
      ...peers.flatMap(peer => {
        const theirs = of(peer);
        if (!ours || !theirs) return ['-', '-'];
        return [theirs.gflopsPerSecond.toFixed(1), (ours.gflopsPerSecond / theirs.gflopsPerSecond).toFixed(2)];
      }),
    ];
  };

if (options.help) process.stdout.write(help);
else await main();
