/** A name on Node: a directory when there is one, else a model of the hub, downloaded if needed. */
import { stat } from 'node:fs/promises';
import { HubError, IoError } from '../../contract/errors.ts';
import type { CheckpointFiles } from '../../runtime/checkpoint/open.ts';
import { openDirectory } from '../../runtime/checkpoint/open-node.ts';
import { downloadModel } from './download-node.ts';
import type { HubOptions } from './hub-options.ts';

/** @throws IoError for a path that is no directory, HubError, AbortedError */
export async function openNamed(name: string, options: HubOptions): Promise<CheckpointFiles> {
  const found = await stat(name).catch(() => undefined);
  if (found?.isDirectory()) return openDirectory(name);
  // What looks like a path is one, so that a misspelt directory is not looked for on the hub.
  if (found || /^(\.|~|\/|[A-Za-z]:)|\\|(\/.*){2}/.test(name)) {
    const got = found ? 'a file' : 'nothing there';
    throw new IoError({ where: 'openCheckpoint', name, expected: 'a directory', got });
  }
  return openDirectory((await downloadModel(name, options).catch(error => throwWithBoth(name, error))).directory);
}

/** A misspelt directory of two parts looks like a name of the hub: who meant one should read that it is not there. */
function throwWithBoth(name: string, error: unknown): never {
  if (!(error instanceof HubError) || !['ModelNotFound', 'Unauthorized', 'Network', 'Offline'].includes(error.reason))
    throw error;
  const { where, subject, expected, got, hint, cause, reason } = error;
  const both = `${hint === undefined ? '' : `${hint} `}There is no directory ${JSON.stringify(name)} here either.`;
  throw new HubError({ where, name: subject, expected, got, cause, reason, hint: both });
}
