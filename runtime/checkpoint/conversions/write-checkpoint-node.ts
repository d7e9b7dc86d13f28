/**
 * A checkpoint as a directory in Hugging Face's layout: config.json, model.safetensors, and the files that stood beside it.
 *
 * Everything goes into a new directory beside the target, which takes its name at the end: whoever looks sees all of it or nothing.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AbortedError, IoError } from '../../../contract/errors.ts';
import { ioError } from '../byte-source-node.ts';
import { dtypeBits } from '../dtypes.ts';
import type { CheckpointFiles } from '../open.ts';
import type { TensorFile } from '../safetensors.ts';
import { createSafetensorsFile } from '../safetensors-writer-node.ts';
import { sameTensor } from './derived-file.ts';
import type { CheckpointParts } from './layout.ts';

/** What belongs to a checkpoint besides config and weights, taken over as it is. */
const companions = [
  'generation_config.json',
  'tokenizer.json',
  'vocab.json',
  'merges.txt',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
];

export interface WriteOptions {
  /** Replaces a checkpoint that is there, all of its directory. Default: that is an error. */
  readonly overwrite?: boolean;
  /** tokenizer_config.json's model_max_length becomes this. */
  readonly modelMaxLength?: number;
  readonly signal?: AbortSignal;
  /** Called with the share of the bytes that are written, 0..1, and the tensor. */
  readonly onProgress?: (done: number, tensor: string) => void;
}

export interface WrittenCheckpoint {
  readonly tensors: number;
  readonly bytes: number;
  /** Tensors that are another one under a second name, and were left out. */
  readonly tied: readonly string[];
  readonly files: readonly string[];
}

/** One tensor is in memory at a time. @throws IoError, CheckpointError, AbortedError; nothing is left behind then */
export async function writeCheckpoint(
  directory: string,
  { config, file }: CheckpointParts,
  beside: CheckpointFiles,
  options: WriteOptions = {},
): Promise<WrittenCheckpoint> {
  const there = await stat(directory).catch(() => undefined);
  if (there && !options.overwrite) {
    const hint = 'choose another name, or say that it may be overwritten.';
    throw new IoError({
      where: 'writeCheckpoint',
      name: directory,
      expected: 'no such directory yet',
      got: 'one',
      hint,
    });
  }
  if (there) await expectCheckpoint(directory);
  const temporary = `${directory}.${randomUUID()}.partial`;
  try {
    await mkdir(temporary, { recursive: true });
    const tied = await secondNames(file);
    const written = await writeTensors(join(temporary, 'model.safetensors'), file, new Set(tied), options);
    const text = JSON.stringify(Object.fromEntries(config), null, 2);
    await writeFile(join(temporary, 'config.json'), `${text}\n`);
    const files = ['config.json', 'model.safetensors'];
    for (const name of companions) {
      const bytes = await readCompanion(beside, name, options.modelMaxLength);
      if (!bytes) continue;
      await writeFile(join(temporary, name), bytes);
      files.push(name);
    }
    if (there) await rm(directory, { recursive: true });
    await rename(temporary, directory);
    return { ...written, tied, files };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    const { syscall } = error as NodeJS.ErrnoException;
    throw syscall === undefined ? error : ioError('writeCheckpoint', directory, 'to be written', error);
  }
}

/** Somebody's folder is not thrown away because of a slip: only a checkpoint, or nothing, is replaced. @throws IoError */
async function expectCheckpoint(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => ['']);
  if (names.length === 0 || names.includes('config.json')) return;
  throw new IoError({
    where: 'writeCheckpoint',
    name: directory,
    expected: 'a checkpoint or an empty directory, to be replaced',
    got: 'something else',
    hint: 'choose another name: overwriting removes all that is there.',
  });
}

async function writeTensors(
  path: string,
  file: TensorFile,
  left: ReadonlySet<string>,
  { signal, onProgress }: WriteOptions,
): Promise<{ tensors: number; bytes: number }> {
  const infos = [...file.tensors.values()].filter(({ name }) => !left.has(name));
  const total = infos.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const writer = await createSafetensorsFile(path, infos, new Map([['format', 'pt']]));
  try {
    let done = 0;
    for (const { name, dtype, byteLength } of infos) {
      if (signal?.aborted) {
        const got = 'an abort';
        throw new AbortedError({ where: 'convert', name: 'signal', expected: 'to finish', got, cause: signal.reason });
      }
      const bytes = await file.bytes(name);
      if (byteLength > 0 && dtypeBits(dtype) !== undefined) await writer.write(name, 0, bytes);
      done += byteLength;
      onProgress?.(done / total, name);
    }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return { tensors: infos.length, bytes: total };
}

/** A second name of a tied tensor → the first one, as far as both are there. */
const ties: readonly (readonly [RegExp, readonly string[]])[] = [
  [
    /(^|\.)lm_head\.decoder\.weight$/,
    ['longformer.embeddings.word_embeddings.weight', 'roberta.embeddings.word_embeddings.weight'],
  ],
  [/(^|\.)lm_head\.decoder\.bias$/, ['lm_head.bias']],
  [
    /(^|\.)(encoder|decoder)\.embed_tokens\.weight$|^lm_head\.weight$/,
    ['led.shared.weight', 'model.shared.weight', 'shared.weight'],
  ],
];

/** Names of tensors that stand in the file a second time: Hugging Face leaves them out too. */
async function secondNames(file: TensorFile): Promise<string[]> {
  const second: string[] = [];
  for (const name of file.tensors.keys()) {
    const firsts = ties.find(([pattern]) => pattern.test(name))?.[1] ?? [];
    const first = firsts.find(each => each !== name && file.tensors.has(each));
    if (first !== undefined && (await sameTensor(file, name, first))) second.push(name);
  }
  return second;
}

async function readCompanion(
  beside: CheckpointFiles,
  name: string,
  modelMaxLength: number | undefined,
): Promise<Uint8Array | undefined> {
  const source = await beside.open(name);
  if (!source) return undefined;
  try {
    const bytes = await source.read(0, source.size);
    if (name !== 'tokenizer_config.json' || modelMaxLength === undefined) return bytes;
    const config = JSON.parse(new TextDecoder().decode(bytes)) as object;
    return new TextEncoder().encode(`${JSON.stringify({ ...config, model_max_length: modelMaxLength }, null, 2)}\n`);
  } finally {
    await source.close();
  }
}
