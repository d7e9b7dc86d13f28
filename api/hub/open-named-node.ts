/** A name on Node: a directory when there is one, else a model of the hub, downloaded if needed. */
import { stat } from 'node:fs/promises';
import { IoError } from '../../contract/errors.ts';
import type { CheckpointFiles } from '../../runtime/checkpoint/open.ts';
import { openDirectory } from '../../runtime/checkpoint/open-node.ts';
import { downloadModel } from './download-node.ts';
import type { HubOptions } from './hub-options.ts';

/** @throws IoError for a path that is no directory, HubError, AbortedError */
export async function openNamed(name: string, options: HubOptions): Promise<CheckpointFiles> {
  const isDirectory = await stat(name).then(
    stats => stats.isDirectory(),
    () => false,
  );
  if (isDirectory) return openDirectory(name);
  // What looks like a path is one, so that a misspelt directory is not looked for on the hub.
  if (/^(\.|~|\/|[A-Za-z]:)|\\|(\/.*){2}/.test(name)) {
    throw new IoError({ where: 'openCheckpoint', name, expected: 'a directory', got: 'nothing there' });
  }
  return openDirectory((await downloadModel(name, options)).directory);
}
