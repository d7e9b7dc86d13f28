/** `longformer cache`: what downloads have left on the disk. */
import { rm } from 'node:fs/promises';
import { type CachedRepoInfo, getHFHubCachePath, scanCacheDir } from '@huggingface/hub';
import { Command } from 'commander';
import { IoError } from '../../contract/errors.ts';

interface CacheFlags {
  readonly cacheDir?: string;
  readonly json?: boolean;
  readonly dryRun?: boolean;
}

export function cacheCommand(): Command {
  const cache = new Command('cache').description('List and remove downloaded models. The cache is the one of Python.');
  const place = (command: Command): Command =>
    command.option('--cache-dir <directory>', 'default: HF_HUB_CACHE, HF_HOME or ~/.cache/huggingface/hub');
  cache.addCommand(
    place(new Command('list').description('models, revisions and sizes')).option('--json', 'print JSON').action(list),
  );
  cache.addCommand(
    place(new Command('path').description('where it is')).action(({ cacheDir }: CacheFlags) => {
      process.stdout.write(`${cacheDir ?? getHFHubCachePath()}\n`);
    }),
  );
  cache.addCommand(
    place(new Command('remove').description('remove a model with all its revisions').argument('<id>', 'owner/name'))
      .option('--dry-run', 'only say what would go')
      .action(remove),
  );
  return cache;
}

async function list({ cacheDir, json }: CacheFlags): Promise<void> {
  const models = await modelsIn(cacheDir);
  if (json) {
    const rows = models.map(({ id, size, filesCount, path, revisions }) => {
      const commits = revisions.map(({ commitOid, refs, size: bytes }) => ({ commit: commitOid, refs, bytes }));
      return { id: id.name, bytes: size, files: filesCount, path, revisions: commits };
    });
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  if (models.length === 0) process.stdout.write('nothing\n');
  for (const { id, size, revisions } of models) {
    const names = revisions.map(({ refs, commitOid }) => refs.join(', ') || commitOid.slice(0, 8)).join('; ');
    process.stdout.write(`${megabytes(size).padStart(10)}  ${id.name}  (${names})\n`);
  }
}

async function remove(id: string, { cacheDir, dryRun }: CacheFlags): Promise<void> {
  const model = (await modelsIn(cacheDir)).find(({ id: { name } }) => name === id);
  if (!model)
    throw new IoError({ where: 'cache remove', name: id, expected: 'a model in the cache', got: 'nothing there' });
  if (!dryRun) await rm(model.path, { recursive: true, force: true });
  process.stdout.write(`${dryRun ? 'would remove' : 'removed'} ${model.path}, ${megabytes(model.size)}\n`);
}

async function modelsIn(cacheDir: string | undefined): Promise<CachedRepoInfo[]> {
  try {
    const { repos } = await scanCacheDir(cacheDir);
    return repos.filter(({ id }) => id.type === 'model').sort((a, b) => a.id.name.localeCompare(b.id.name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
