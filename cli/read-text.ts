/** Text of a file or of standard input. */
import { readFile } from 'node:fs/promises';
import { buffer as readStream } from 'node:stream/consumers';
import { IoError } from '../contract/errors.ts';

/** file: absent or - for standard input. @throws IoError for a file that cannot be read, or bytes that are no UTF-8 */
export async function readText(where: string, file = '-'): Promise<string> {
  if (file === '-' && process.stdin.isTTY) process.stderr.write('Reading the text from here; Ctrl-D ends it.\n');
  try {
    const bytes = file === '-' ? await readStream(process.stdin) : await readFile(file);
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const got = code === undefined || code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'other bytes' : code;
    const name = file === '-' ? 'standard input' : file;
    throw new IoError({ where, name, expected: 'readable UTF-8 text', got, cause });
  }
}
