/** `longformer cache`: what downloads have left on the disk. */
import { Command } from 'commander';
import {
  type CachedModel,
  type CachedRevision,
  listCache,
  removeFromCache,
  verifyCache,
} from '../../api/hub/cache-contents-node.ts';
import { cachePath } from '../../api/hub/cache-node.ts';
import { printable } from '../../contract/errors.ts';

interface CacheFlags {
  readonly cacheDir?: string;
  readonly json?: boolean;
  readonly dryRun?: boolean;
}

export function cacheCommand(): Command {
  const cache = new Command('cache').description(
    'List, check and remove downloaded models. The cache is the one of Python.',
  );
  const add = (name: string, description: string): Command =>
    cache
      .command(name)
      .description(description)
      .option('--cache-dir <directory>', 'default: HF_HUB_CACHE, HF_HOME or ~/.cache/huggingface/hub')
      .option('--json', 'print JSON');
  add('list', 'models, revisions and sizes').action(list);
  add('path', 'where it is').action(path);
  add('remove', 'remove a model with all its revisions')
    .argument('<id>', 'owner/name, exactly')
    .option('--dry-run', 'only say what would go')
    .action(remove);
  add('verify', 'hash files again; exit code 1 when one is damaged or missing')
    .argument('[id]', 'owner/name; without it, all models')
    .action(verify);
  cache.addHelpText(
    'after',
    `
Examples:
  longformer cache list
  longformer cache verify allenai/longformer-base-4096
  longformer cache remove allenai/longformer-base-4096 --dry-run`,
  );
  return cache;
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);
const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));

async function list({ cacheDir, json }: CacheFlags): Promise<void> {
  const models = await listCache(cacheDir);
  if (json) return printJson(models.map(summary));
  for (const { id, bytes, unfinishedBytes, revisions } of models) {
    const unfinished = unfinishedBytes > 0 ? `, ${megabytes(unfinishedBytes)} unfinished` : '';
    print(`${printable(id)}  ${megabytes(bytes)}${unfinished}`);
    for (const revision of revisions) {
      const { commit, refs, files } = revision;
      const names = refs.length === 0 ? '' : `  ${printable(refs.join(', '))}`;
      print(`  ${printable(commit)}  ${files.length} files, ${megabytes(bytesOf(revision))}${names}`);
    }
  }
  const sum = models.reduce((total, { bytes }) => total + bytes, 0);
  print(models.length === 0 ? 'nothing' : `${models.length} models, ${megabytes(sum)}`);
}

/** What --json prints of a model. */
function summary({ id, directory, bytes, unfinishedBytes, revisions }: CachedModel): object {
  const described = revisions.map(revision => ({ ...revision, bytes: bytesOf(revision) }));
  return { id, directory, bytes, unfinishedBytes, revisions: described };
}

function path({ cacheDir, json }: CacheFlags): void {
  const directory = cachePath(cacheDir);
  if (json) printJson({ directory });
  else print(directory);
}

async function remove(id: string, { cacheDir, dryRun = false, json }: CacheFlags): Promise<void> {
  const model = await removeFromCache(id, { cacheDir, dryRun });
  if (json) printJson({ removed: !dryRun, ...summary(model) });
  else print(`${dryRun ? 'would remove' : 'removed'} ${model.directory}, ${megabytes(model.bytes)}`);
}

async function verify(id: string | undefined, { cacheDir, json }: CacheFlags): Promise<void> {
  const abort = new AbortController();
  const interrupt = (): void => abort.abort();
  process.once('SIGINT', interrupt);
  try {
    const files = await verifyCache({
      id,
      cacheDir,
      signal: abort.signal,
      onFile: file => {
        if (!json) print(`${file.state.padEnd(7)}  ${printable(`${file.id}@${file.commit.slice(0, 8)}/${file.path}`)}`);
      },
    });
    if (json) printJson(files);
    const bad = files.filter(({ state }) => state === 'damaged' || state === 'missing');
    if (!json) print(`${files.length} files, ${bad.length} damaged or missing`);
    if (bad.length > 0) process.exitCode = 1;
  } finally {
    process.off('SIGINT', interrupt);
  }
}

const bytesOf = ({ files }: CachedRevision): number => files.reduce((sum, { bytes = 0 }) => sum + bytes, 0);

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
