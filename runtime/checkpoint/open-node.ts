/**
 * Checkpoints in a directory of the disk.
 */
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import type { LedConfig } from '../../contract/config.ts';
import { CheckpointError } from '../../contract/errors.ts';
import type { ByteSource } from './byte-source.ts';
import { ioError, openFileSource } from './byte-source-node.ts';
import {
  type CheckpointFiles,
  type OpenedCheckpoint,
  type OpenLedOptions,
  type OpenModelOptions,
  type OpenOptions,
  openCheckpointFiles,
  openLedCheckpointFiles,
  openModelCheckpointFiles,
} from './open.ts';

/**
 * Opens the checkpoint in a directory: config.json and model.safetensors, or its shards.
 *
 * @throws as openCheckpointFiles; IoError when it is no directory.
 */
export async function openCheckpoint(directory: string, options: OpenOptions = {}): Promise<OpenedCheckpoint> {
  return openCheckpointFiles(await openDirectory(directory), options);
}

/** The same for an LED. @throws as openCheckpoint */
export async function openLedCheckpoint(
  directory: string,
  options: OpenLedOptions = {},
): Promise<OpenedCheckpoint<LedConfig>> {
  return openLedCheckpointFiles(await openDirectory(directory), options);
}

/** The same for either family; `isLedCheckpoint` tells which it was. @throws as openCheckpoint */
export async function openModelCheckpoint(
  directory: string,
  options: OpenModelOptions = {},
): Promise<OpenedCheckpoint | OpenedCheckpoint<LedConfig>> {
  return openModelCheckpointFiles(await openDirectory(directory), options);
}

/** @throws IoError unless it is a directory. */
export async function openDirectory(directory: string): Promise<CheckpointFiles> {
  const failed = (cause: unknown): never => {
    throw ioError('openCheckpoint', directory, 'a directory', cause);
  };
  const root = await realpath(directory).catch(failed);
  if (!(await stat(root)).isDirectory()) failed(Object.assign(new Error('not a directory'), { code: 'ENOTDIR' }));
  return {
    name: directory,
    open: fileName => openIfThere(join(root, fileName)),
    async openListed(fileName) {
      const path = join(root, fileName);
      const real = await realpath(path).catch(() => undefined);
      if (real === undefined) return undefined;
      if (homesOf(root).some(home => real.startsWith(home + sep))) return openIfThere(real);
      throw new CheckpointError({
        where: 'openCheckpoint',
        name: fileName,
        expected: 'a file inside the directory',
        got: 'a symbolic link that leaves it',
        reason: 'UnsafeShardName',
      });
    },
  };
}

/** Where files of a directory may really lie. HF's cache keeps them in blobs/, linked from snapshots/<revision>/. */
function homesOf(root: string): string[] {
  const parent = dirname(root);
  return basename(parent) === 'snapshots' ? [root, join(dirname(parent), 'blobs')] : [root];
}

async function openIfThere(path: string): Promise<ByteSource | undefined> {
  const there = await stat(path).then(
    () => true,
    (cause: NodeJS.ErrnoException) => cause.code !== 'ENOENT',
  );
  return there ? openFileSource(path) : undefined;
}
