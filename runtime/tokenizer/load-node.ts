/** Loads a tokenizer from a directory; the only file of the tokenizer that knows Node. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TokenizerError } from '../../contract/index.ts';
import { loadTokenizer } from './load.ts';
import type { Tokenizer, TokenizerOptions } from './tokenizer.ts';

/**
 * Reads tokenizer.json, or vocab.json and merges.txt, with tokenizer_config.json and special_tokens_map.json where they are.
 *
 * @throws TokenizerError also for files that cannot be read.
 */
export async function loadTokenizerFromDirectory(
  directory: string,
  options: TokenizerOptions = {},
): Promise<Tokenizer> {
  const [tokenizerJson, vocabJson, mergesText, tokenizerConfigJson, specialTokensMapJson] = await Promise.all([
    readIfThere(directory, 'tokenizer.json'),
    readIfThere(directory, 'vocab.json'),
    readIfThere(directory, 'merges.txt'),
    readIfThere(directory, 'tokenizer_config.json'),
    readIfThere(directory, 'special_tokens_map.json'),
  ]);
  return loadTokenizer({ tokenizerJson, vocabJson, mergesText, tokenizerConfigJson, specialTokensMapJson }, options);
}

/** undefined when there is no such file. Bytes that are no UTF-8 are an error, not U+FFFD. */
async function readIfThere(directory: string, name: string): Promise<string | undefined> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(join(directory, name)));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new TokenizerError({
      where: 'loadTokenizer',
      name,
      expected: 'a readable UTF-8 file',
      got: code ?? 'other bytes',
      cause,
    });
  }
}
