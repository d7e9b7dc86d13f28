/**
 * Writing with LED against Hugging Face on the same core: the encoder, a decoding step, the whole; memory beside them.
 *
 *     node benchmarks/generation.bench.ts --checkpoint DIR --peer-python PYTHON
 *
 * For each source length new processes are started, so that peak memory belongs to that length; then texts are written in turn (compare.ts).
 * A backend that fails a conformance case of generation is not timed. Nothing here is a test: ratios depend on the machine.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type BackendName, backendNames, failures } from './backends.ts';
import * as compare from './compare.ts';
import type { GenerateAnswer, GenerateRequest } from './generate.ts';

const help = `node benchmarks/generation.bench.ts --checkpoint DIR [options]

  --checkpoint DIR      an LED, as conformance/generate/make_checkpoint.py --size led-base makes it
  --peer-python PYTHON  a Python with benchmarks/peers/huggingface/requirements.txt; without it only ours is measured
  --tokens 1024,4096    lengths of the source
  --alone 16384         lengths at which only ours is measured
  --new-tokens 64       tokens that are written
  --beams 4
  --backend wasm        ${backendNames.join(', ')}
  --rounds 2            counted rounds
  --json FILE           writes the result
`;

const { values: options } = parseArgs({
  options: {
    checkpoint: { type: 'string' },
    'peer-python': { type: 'string' },
    tokens: { type: 'string', default: '1024,4096' },
    alone: { type: 'string', default: '16384' },
    'new-tokens': { type: 'string', default: '64' },
    beams: { type: 'string', default: '4' },
    backend: { type: 'string', default: 'wasm' },
    rounds: { type: 'string', default: '2' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

interface Ready {
  readonly importSeconds: number;
  readonly loadSeconds: number;
}
type Contestant = compare.Contestant<GenerateRequest, Ready, GenerateAnswer>;

interface Measurement {
  readonly contestant: string;
  readonly sourceTokens: number;
  readonly medianSeconds: number;
  readonly medianEncodeSeconds: number;
  /** Everything after the encoder, per token written. */
  readonly medianStepSeconds: number;
  readonly fastestStepSeconds: number;
  readonly medianCpuSeconds: number;
  readonly rounds: number;
  readonly peakBytes: number;
  readonly loadSeconds: number;
  readonly score: number;
  /** Whether the best beam is Hugging Face's; null: nobody computed that. */
  readonly sameIds: boolean | null;
}

const backend = options.backend as BackendName;
const python = options['peer-python'];
const newTokens = Number(options['new-tokens']);
const beams = Number(options.beams);
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const startOurs = (): Promise<Contestant> =>
  compare.startContestant(backend, [
    process.execPath,
    here('generate.ts'),
    ...['--checkpoint', options.checkpoint!, '--backend', backend],
  ]);
const startPeer = (): Promise<Contestant> =>
  compare.startContestant('hf-f32', [
    python!,
    here('peers/huggingface/generate.py'),
    ...['--checkpoint', options.checkpoint!],
  ]);

async function measureLength(sourceTokens: number, alone: boolean): Promise<Measurement[]> {
  const request: GenerateRequest = { sourceTokens, newTokens, beams };
  const contestants: Contestant[] = [];
  try {
    contestants.push(await startOurs());
    if (python && !alone) contestants.push(await startPeer());
    const least = alone ? 1 : Number(options.rounds);
    const runs = await compare.inTurn(contestants, request, { least, most: least, seconds: 0 });
    const truth = runs[1]?.first.ids.join();
    return contestants.map(({ name, ready }, i) => {
      const answers = runs[i]!.counted;
      const steps = answers.map(answer => (answer.seconds - answer.encodeSeconds) / newTokens);
      return {
        contestant: name,
        sourceTokens,
        medianSeconds: compare.rounded(compare.median(answers.map(answer => answer.seconds))),
        medianEncodeSeconds: compare.rounded(compare.median(answers.map(answer => answer.encodeSeconds))),
        medianStepSeconds: compare.rounded(compare.median(steps)),
        fastestStepSeconds: compare.rounded(Math.min(...steps)),
        medianCpuSeconds: compare.rounded(compare.median(answers.map(answer => answer.cpuSeconds))),
        rounds: answers.length,
        peakBytes: answers.at(-1)!.peakBytes,
        loadSeconds: compare.rounded(ready.loadSeconds),
        score: compare.rounded(answers[0]!.score, 7),
        sameIds: truth === undefined ? null : answers.every(({ ids }) => ids.join() === truth),
      };
    });
  } finally {
    for (const contestant of contestants) await contestant.stop();
  }
}

const seconds = (value: number): string => value.toFixed(value < 1 ? 3 : 1);
const megabytes = (bytes: number): string => String(Math.round(bytes / 1e6));

const header = [
  ...['source', 'ours s', 'peer s', 'ratio', 'by CPU time', 'encode s', 'peer', 'step s', 'peer', 'ratio'],
  ...['ours MB', 'peer MB', 'same ids'],
];

function rowOf([ours, peer]: readonly Measurement[]): string[] {
  const of = (pick: (m: Measurement) => number): string => (peer ? (pick(ours!) / pick(peer)).toFixed(3) : '-');
  return [
    String(ours!.sourceTokens),
    seconds(ours!.medianSeconds),
    peer ? seconds(peer.medianSeconds) : '-',
    of(m => m.medianSeconds),
    of(m => m.medianCpuSeconds),
    seconds(ours!.medianEncodeSeconds),
    peer ? seconds(peer.medianEncodeSeconds) : '-',
    seconds(ours!.medianStepSeconds),
    peer ? seconds(peer.medianStepSeconds) : '-',
    of(m => m.medianStepSeconds),
    megabytes(ours!.peakBytes),
    peer ? megabytes(peer.peakBytes) : '-',
    String(ours!.sameIds ?? '-'),
  ];
}

async function main(): Promise<void> {
  const failed = await failures(backend, 'generation');
  if (failed) {
    process.stderr.write(`${backend} is not timed, it fails its conformance cases:\n${failed}\n`);
    process.exitCode = 1;
    return;
  }
  process.stdout.write(`${compare.pinning}; ${newTokens} tokens, ${beams} beams, ${options.rounds} rounds\n\n`);
  const lengthsOf = (list: string): number[] => (list === '' ? [] : list.split(',').map(Number));
  const measurements: Measurement[] = [];
  const rows: string[][] = [];
  for (const [length, alone] of [
    ...lengthsOf(options.tokens).map(length => [length, false] as const),
    ...lengthsOf(options.alone).map(length => [length, true] as const),
  ]) {
    const ofLength = await measureLength(length, alone);
    process.stderr.write(`${length} tokens done\n`);
    measurements.push(...ofLength);
    rows.push(rowOf(ofLength));
  }
  process.stdout.write(compare.markdownTable([header, ...rows]));
  if (options.json) compare.writeResult(options.json, result(measurements));
}

function result(measurements: readonly Measurement[]): object {
  const checkpoint = options.checkpoint!;
  const config = JSON.parse(readFileSync(join(checkpoint, 'config.json'), 'utf8')) as Record<string, number>;
  return {
    benchmark: 'generation',
    date: compare.today(),
    machine: compare.machine(),
    pinned: compare.canPin,
    node: process.version,
    backend,
    newTokens,
    beams,
    model: {
      encoderLayers: config.encoder_layers,
      decoderLayers: config.decoder_layers,
      hiddenSize: config.d_model,
      bytes: statSync(join(checkpoint, 'model.safetensors')).size,
    },
    measurements,
  };
}

if (options.help) process.stdout.write(help);
else if (!options.checkpoint) {
  process.stderr.write(help);
  process.exitCode = 2;
} else await main();
