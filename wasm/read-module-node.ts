/** The one file of this folder that knows Node: reads a module from a file URL, which fetch cannot. */
import { readFile } from 'node:fs/promises';

export async function readModule(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await readFile(url));
}
