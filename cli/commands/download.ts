/** `longformer download`: a model of the hub into the cache. */
import { Command } from 'commander';
import { downloadModel } from '../../api/hub/download-node.ts';
import { createProgress } from '../progress.ts';

export function downloadCommand(): Command {
  return new Command('download')
    .description('Fetch a model from the hub into the cache that Python shares, and print its directory.')
    .argument('<id>', 'owner/name or owner/name@revision')
    .option('--revision <name>', 'branch, tag or commit', 'main')
    .option('--cache-dir <directory>', 'default: HF_HUB_CACHE, HF_HOME or ~/.cache/huggingface/hub')
    .option('--no-weights', 'config and tokenizer only')
    .option('--quiet', 'no progress')
    .option('--json', 'print { directory, commit, files }')
    .addHelpText(
      'after',
      `
What has arrived stays after Ctrl-C; the next call goes on from there. HF_TOKEN lets you in where a model is gated.

Examples:
  longformer download allenai/longformer-base-4096
  longformer download allenai/longformer-base-4096 --revision refs/pr/7`,
    )
    .action(async (id: string, flags: DownloadFlags) => {
      const abort = new AbortController();
      const interrupt = (): void => abort.abort();
      process.once('SIGINT', interrupt);
      process.once('SIGTERM', interrupt);
      const progress = flags.quiet ? undefined : createProgress('the file');
      try {
        const { revision, cacheDir, weights } = flags;
        const downloaded = await downloadModel(id, {
          ...{ revision, weights, signal: abort.signal },
          ...(cacheDir === undefined ? {} : { cacheDir }),
          onFile: ({ status, file, progress: percent = 0 }) => {
            if (status === 'progress') progress?.update(percent / 100, file);
          },
        });
        progress?.stop();
        process.stdout.write(`${flags.json ? JSON.stringify(downloaded, null, 2) : downloaded.directory}\n`);
      } finally {
        progress?.stop();
        process.off('SIGINT', interrupt);
        process.off('SIGTERM', interrupt);
      }
    });
}

interface DownloadFlags {
  readonly revision: string;
  readonly cacheDir?: string;
  readonly weights: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}
