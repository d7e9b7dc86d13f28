/**
 * Where a model comes from: a directory, a hub id, an address, or files that are open already.
 *
 * Read next: load.ts. The hub itself: hub/.
 */
import { ConfigError, IoError } from '../contract/errors.ts';
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
const mostTextBytes = 64 << 20;

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

const poolingFile = '1_Pooling/config.json';

/**
 * How the authors of a sentence encoder pool, as sentence-transformers writes it: cls, mean, or another name; undefined without its file.
 *
 * @throws ConfigError, IoError
 */
export async function readPooling(files: CheckpointFiles): Promise<string | undefined> {
  const text = await readText(files, poolingFile);
  if (text === undefined) return undefined;
  const modes = modesOf(text)?.filter(([key, value]) => key.startsWith('pooling_mode_') && value === true);
  if (modes?.length === 1) return modes[0]![0].replace(/^pooling_mode_|_tokens?$/g, '');
  const got = modes === undefined ? 'something else' : `${modes.length} of them`;
  throw new ConfigError({ where: 'readPooling', name: poolingFile, expected: 'one pooling_mode that is true', got });
}

function modesOf(text: string): [string, unknown][] | undefined {
  try {
    return Object.entries(JSON.parse(text) as object);
  } catch {
    return undefined;
  }
}

async function readText(files: CheckpointFiles, name: string): Promise<string | undefined> {
  const source: ByteSource | undefined = await files.open(name);
  if (!source) return undefined;
  const complain = (expected: string, got: string): never => {
    throw new IoError({ where: 'openTokenizer', name, expected, got });
  };
  try {
    if (source.size > mostTextBytes) complain(`at most ${mostTextBytes} bytes`, String(source.size));
    const bytes = await source.read(0, source.size);
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
      return complain('UTF-8', 'other bytes');
    }
  } finally {
    await source.close();
  }
}
