/** `longformer download`: a model of the hub into the cache. */
import { Command } from 'commander';
import { downloadModel } from '../../api/hub/download-node.ts';
import type { FileProgress } from '../../api/hub/hub-options.ts';
import { createProgress } from '../progress.ts';

interface DownloadFlags {
  readonly revision?: string;
  readonly cacheDir?: string;
  readonly weights: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

export function downloadCommand(): Command {
  return new Command('download')
    .description('Fetch a model from the hub into the cache that Python shares, and print its directory.')
    .argument('<id>', 'owner/name or owner/name@revision')
    .option('--revision <name>', 'branch, tag or commit (default: main)')
    .option('--cache-dir <directory>', 'default: HF_HUB_CACHE, HF_HOME or ~/.cache/huggingface/hub')
    .option('--no-weights', 'config and tokenizer only')
    .option('--quiet', 'no progress')
    .option('--json', 'print { directory, commit, files }')
    .addHelpText(
      'after',
      `
What has arrived stays after Ctrl-C; the next call goes on from there. HF_TOKEN lets you in where a model is gated, HF_ENDPOINT names
another hub, and with HF_HUB_OFFLINE=1 only the cache is looked at.

Examples:
  longformer download allenai/longformer-base-4096
  longformer download allenai/longformer-base-4096 --revision refs/pr/7`,
    )
    .action(download);
}

async function download(id: string, flags: DownloadFlags): Promise<void> {
  const abort = new AbortController();
  const interrupt = (): void => abort.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const progress = flags.quiet ? undefined : createProgress('the file');
  try {
    const { revision, cacheDir, weights } = flags;
    const downloaded = await downloadModel(id, {
      revision,
      cacheDir,
      weights,
      signal: abort.signal,
      onFile: ({ status, file, loaded = 0, total = 0 }: FileProgress) => {
        if (status !== 'progress') return;
        progress?.update(loaded / Math.max(1, total), `${megabytes(loaded)} of ${megabytes(total)} MB, ${file}`);
      },
    });
    progress?.stop();
    process.stdout.write(`${flags.json ? JSON.stringify(downloaded, null, 2) : downloaded.directory}\n`);
  } finally {
    progress?.stop();
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
