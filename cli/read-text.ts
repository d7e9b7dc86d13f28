/** Text of a file or of standard input. */
import { readFile } from 'node:fs/promises';
import { text as readStream } from 'node:stream/consumers';
import { IoError } from '../contract/errors.ts';

/** file: absent or - for standard input. @throws IoError for a file that cannot be read or is no UTF-8 */
export async function readText(where: string, file: string | undefined): Promise<string> {
  if (file === undefined || file === '-') return readStream(process.stdin);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(file));
  } catch (cause) {
    const got = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new IoError({ where, name: file, expected: 'a readable UTF-8 file', got, cause });
  }
}
