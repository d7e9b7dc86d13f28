/** Cases from a folder of the disk; case.ts has what is in them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CaseError } from '../contract/errors.ts';
import { type Case, type Manifest, type ReadFile, readCaseFrom, readManifestFrom } from './case.ts';

/** The folder with cases/, models/ and manifest.json that ships with this package. */
export function conformanceDirectory(): string {
  // From the sources it is this folder; from dist/conformance it is two folders up.
  const here = fileURLToPath(new URL('.', import.meta.url));
  const built = /[\\/]dist[\\/]conformance[\\/]$/.test(here);
  return built ? join(here, '..', '..', 'conformance') : here;
}

const readers = new Map<string, ReadFile>();

/** One reader for each folder, so that what is kept by reader (the compiled schema) is kept by folder. */
function readerOf(directory: string): ReadFile {
  const known = readers.get(directory);
  if (known) return known;
  const read: ReadFile = async path => {
    try {
      return new Uint8Array(await readFile(join(directory, path)));
    } catch (cause) {
      throw new CaseError({ where: 'readCase', name: path, expected: 'to be there', got: String(cause), cause });
    }
  };
  readers.set(directory, read);
  return read;
}

/** @throws CaseError when the manifest is missing, of another format, or disagrees with itself. */
export const readManifest = (directory: string): Promise<Manifest> => readManifestFrom(readerOf(directory));

/** @throws CaseError when a file is missing, changed, or against the schema. */
export const readCase = (directory: string, id: string, manifest: Manifest): Promise<Case> =>
  readCaseFrom(readerOf(directory), id, manifest);
