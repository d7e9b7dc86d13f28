/** `longformer bench`: how fast a checkpoint runs here, for users. benchmarks/ compares with others. */
import { Command } from 'commander';
import { expectRange } from '../../contract/errors.ts';
import { openCheckpoint } from '../../runtime/checkpoint/open-node.ts';
import { backendNames, createBackendNamed } from '../backends.ts';
import { createProgress } from '../progress.ts';

interface BenchOptions {
  readonly model: string;
  readonly backend: string;
  readonly threads: string;
  readonly tokens: string;
  readonly runs: string;
  readonly json?: boolean;
}

interface Timing {
  readonly tokens: number;
  /** Seconds of each run, in order. */
  readonly seconds: readonly number[];
  readonly best: number;
  readonly tokensPerSecond: number;
}

export function benchCommand(): Command {
  return new Command('bench')
    .description('Time a checkpoint on documents of given lengths: one document at a time, its first token global.')
    .requiredOption('--model <directory>', 'config.json and model.safetensors')
    .option('--backend <name>', backendNames.join(' or '), 'wasm')
    .option('--threads <count>', 'wasm only', '1')
    .option('--tokens <lengths>', 'comma-separated', '512')
    .option('--runs <count>', 'of each length, after one that is not counted', '3')
    .option('--json', 'print the figures as JSON')
    .addHelpText(
      'after',
      `
Every row of the last layer is computed, and the logits of a masked LM are not. Times are of this machine in this minute; compare
ratios, not seconds.

Examples:
  longformer bench --model my-longformer --tokens 20,512,4096
  longformer bench --model my-longformer --tokens 4096 --runs 1 --json`,
    )
    .action(async (options: BenchOptions) => {
      const tokens = options.tokens.split(',').map(Number);
      const runs = Number(options.runs);
      expectRange('bench', '--runs', [runs], 1, 1000);
      const progress = createProgress('the runs');
      try {
        const backend = await createBackendNamed(options.backend, { threads: Number(options.threads) });
        const begin = performance.now();
        const checkpoint = await openCheckpoint(options.model);
        const { maxPositionEmbeddings, padTokenId, vocabSize } = checkpoint.config;
        expectRange('bench', '--tokens', tokens, 1, maxPositionEmbeddings - padTokenId - 1);
        const model = await backend.loadLongformer(checkpoint, {
          onProgress: done => progress.update(0, `loading weights, ${Math.round(100 * done)} %`),
        });
        await checkpoint.close();
        const loadSeconds = (performance.now() - begin) / 1000;

        const timings: Timing[] = [];
        for (const [index, length] of tokens.entries()) {
          const inputIds = Int32Array.from(
            { length },
            (_, t) => (padTokenId + 1 + ((7919 * t) % (vocabSize - 1))) % vocabSize,
          );
          const globalAttentionMask = Int32Array.from({ length }, (_, t) => Number(t === 0));
          const seconds: number[] = [];
          for (let run = 0; run <= runs; run++) {
            const from = performance.now();
            const want = { lastHiddenState: true, logitRows: [new Int32Array(0)] };
            await model.forward([{ inputIds, globalAttentionMask }], { want });
            if (run > 0) seconds.push((performance.now() - from) / 1000); // the first one warms up
            progress.update((index + (run + 1) / (runs + 1)) / tokens.length, `${length} tokens`);
          }
          const best = Math.min(...seconds);
          timings.push({ tokens: length, seconds, best, tokensPerSecond: length / best });
        }
        model.dispose();
        backend.dispose();
        const peakBytes = process.resourceUsage().maxRSS * 1024;
        progress.stop();
        process.stdout.write(
          options.json
            ? `${JSON.stringify({ backend: backend.name, loadSeconds, peakBytes, timings })}\n`
            : formatTimings(backend.name, loadSeconds, peakBytes, timings),
        );
      } finally {
        progress.stop();
      }
    });
}

function formatTimings(backend: string, loadSeconds: number, peakBytes: number, timings: readonly Timing[]): string {
  const lines = timings.map(({ tokens, best, tokensPerSecond }) =>
    [String(tokens).padStart(8), best.toFixed(3).padStart(10), tokensPerSecond.toFixed(0).padStart(10)].join('  '),
  );
  const header = ['tokens'.padStart(8), 'best, s'.padStart(10), 'tokens/s'.padStart(10)].join('  ');
  const summary = `${backend}; loaded in ${loadSeconds.toFixed(1)} s; at most ${(peakBytes / 1e6).toFixed(0)} MB resident`;
  return [header, ...lines, summary, ''].join('\n');
}
