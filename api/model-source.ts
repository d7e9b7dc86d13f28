/**
 * Where a model comes from: a directory, a hub id, an address, or files that are open already.
 *
 * Read next: load.ts. The hub itself: hub/.
 */
import { IoError } from '../contract/errors.ts';
import type { ByteSource } from '../runtime/checkpoint/byte-source.ts';
import type { CheckpointFiles } from '../runtime/checkpoint/open.ts';
import { loadTokenizer, type Tokenizer, type TokenizerOptions } from '../runtime/tokenizer/index.ts';
import type { HubOptions } from './hub/hub-options.ts';
import { openNamed } from './platform.ts';

/** A directory, `owner/name` or `owner/name@revision` on the hub, or an http(s) address of a folder of files. */
export type ModelSource = string | CheckpointFiles;

/** Opens whatever a source stands for. Nothing of the weights has been read yet in a directory or at an address. */
export async function openSource(source: ModelSource, options: HubOptions = {}): Promise<CheckpointFiles> {
  if (typeof source !== 'string') {
    if (typeof source?.open === 'function') return source;
    throw new TypeError('openSource: "model" expected a directory, a hub id, an address or open files.');
  }
  if (/^https?:\/\//.test(source)) {
    const { openUrl } = await import('./hub/url-files.ts');
    return openUrl(source, options);
  }
  return openNamed(source, options);
}

/** Files of a tokenizer are small; a larger one is refused unread. */
const mostTokenizerBytes = 64 << 20;

const tokenizerFiles = {
  tokenizerJson: 'tokenizer.json',
  vocabJson: 'vocab.json',
  mergesText: 'merges.txt',
  tokenizerConfigJson: 'tokenizer_config.json',
  specialTokensMapJson: 'special_tokens_map.json',
} as const;

/** The tokenizer that lies beside the weights. @throws TokenizerError, IoError */
export async function openTokenizer(files: CheckpointFiles, options: TokenizerOptions = {}): Promise<Tokenizer> {
  const texts: Record<string, string | undefined> = {};
  for (const [field, name] of Object.entries(tokenizerFiles)) texts[field] = await readText(files, name);
  return loadTokenizer(texts, options);
}

async function readText(files: CheckpointFiles, name: string): Promise<string | undefined> {
  const source: ByteSource | undefined = await files.open(name);
  if (!source) return undefined;
  try {
    if (source.size > mostTokenizerBytes) {
      throw new IoError({
        where: 'openTokenizer',
        name,
        expected: `at most ${mostTokenizerBytes} bytes`,
        got: String(source.size),
      });
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(await source.read(0, source.size));
  } finally {
    await source.close();
  }
}
