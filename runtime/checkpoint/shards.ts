/**
 * model.safetensors.index.json: many files, one name space.
 *
 * The index is somebody else's text and names files to open: only plain names of safetensors files are followed, each tensor
 * must be where the index says, and nowhere else. Source: HF's sharded checkpoints; limits as in huggingface.js or lower.
 */
import { CheckpointError, type CheckpointReason } from '../../contract/errors.ts';
import type { ByteSource } from './byte-source.ts';
import { describe, parseJsonObject } from './json-fields.ts';
import { openSafetensors, type SafetensorsOptions, type TensorFile, type TensorInfo } from './safetensors.ts';

const where = 'parseShardIndex';

/** Bytes of an index, and files it may name: all of them are open at once. */
export const maxIndexBytes = 25_000_000;
const maxShards = 1000;
const maxTensors = 100_000;

/** No separators, no drive letters, no escapes, nothing hidden, and not the index itself. */
const plainFileName = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}\.(safetensors|bin)$/;

export interface ShardIndex {
  /** Tensor name → file name. */
  readonly fileOf: ReadonlyMap<string, string>;
  /** File names, each once, in the order of their first tensor. */
  readonly files: readonly string[];
  /** Bytes of all tensors, as the index says; undefined when it does not. */
  readonly totalSize: number | undefined;
}

/**
 * @throws CheckpointError (InvalidIndex, UnsafeShardName, TooManyTensors)
 */
export function parseShardIndex(text: string): ShardIndex {
  const json = parseJsonObject(text, maxIndexBytes, (expected, got) => {
    fail('model.safetensors.index.json', 'InvalidIndex', expected, got);
  });
  const weightMap = json.get('weight_map');
  if (typeof weightMap !== 'object' || weightMap === null || Array.isArray(weightMap)) {
    return fail('weight_map', 'InvalidIndex', 'an object from tensor names to file names', describe(weightMap));
  }
  const fileOf = new Map<string, string>();
  for (const [name, file] of Object.entries(weightMap)) {
    if (typeof file !== 'string') fail(`weight_map.${name}`, 'InvalidIndex', 'a file name', describe(file));
    if (!plainFileName.test(file)) {
      const expected = 'the plain name of a .safetensors or .bin file in the same directory';
      fail(`weight_map.${name}`, 'UnsafeShardName', expected, describe(file));
    }
    fileOf.set(name, file);
  }
  if (fileOf.size > maxTensors) fail('weight_map', 'TooManyTensors', `at most ${maxTensors} tensors`, `${fileOf.size}`);
  const files = [...new Set(fileOf.values())];
  if (files.length < 1 || files.length > maxShards) {
    fail('weight_map', 'InvalidIndex', `1..${maxShards} files`, String(files.length));
  }
  return { fileOf, files, totalSize: totalSizeOf(json.get('metadata')) };
}

/** `metadata.total_size`; anything but a number is no statement. */
function totalSizeOf(metadata: unknown): number | undefined {
  if (typeof metadata !== 'object' || metadata === null) return undefined;
  const { total_size: totalSize } = metadata as { total_size?: unknown };
  return typeof totalSize === 'number' ? totalSize : undefined;
}

/**
 * Opens all files of an index as one.
 *
 * open: the file of a name, or undefined when there is none. openFile: reads its format.
 * @throws CheckpointError MissingFile, TensorNotFound (listed but absent), DuplicateName (in two files), and those of
 *   openSafetensors. All files are closed then.
 */
export async function openShards(
  index: ShardIndex,
  open: (fileName: string) => Promise<ByteSource | undefined>,
  options: SafetensorsOptions = {},
  openFile: typeof openSafetensors = openSafetensors,
): Promise<TensorFile> {
  const shards: { fileName: string; file: TensorFile }[] = [];
  const close = async (): Promise<void> => {
    for (const { file } of shards) await file.close();
  };
  try {
    for (const fileName of index.files) {
      const source = await open(fileName);
      if (!source) return fail(fileName, 'MissingFile', 'to be there, the index names it', 'nothing');
      shards.push({ fileName, file: await openFile(source, options) });
    }
    return { ...joinShards(index, shards), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function joinShards(
  index: ShardIndex,
  shards: readonly { fileName: string; file: TensorFile }[],
): Omit<TensorFile, 'close'> {
  const tensors = new Map<string, TensorInfo>();
  const owner = new Map<string, TensorFile>();
  const shardOf = new Map<string, string>();
  const metadata = new Map<string, string>();
  for (const { fileName, file } of shards) {
    for (const [name, info] of file.tensors) {
      const other = shardOf.get(name);
      if (other !== undefined) fail(name, 'DuplicateName', 'to be in one file', `${other} and ${fileName}`);
      shardOf.set(name, fileName);
      tensors.set(name, info);
      owner.set(name, file);
    }
    for (const [key, value] of file.metadata) metadata.set(key, value);
  }
  if (tensors.size > maxTensors) fail('shards', 'TooManyTensors', `at most ${maxTensors} tensors`, `${tensors.size}`);
  for (const [name, fileName] of index.fileOf) {
    const got = shardOf.get(name);
    if (got !== fileName) fail(name, 'TensorNotFound', `to be in ${fileName}, as the index says`, got ?? 'nothing');
  }
  const ownerOf = (name: string): TensorFile => {
    return owner.get(name) ?? fail(name, 'TensorNotFound', 'to be in one of the files', 'nothing');
  };
  return {
    tensors,
    metadata,
    remarks: remarksOn(index, tensors),
    info: name => ownerOf(name).info(name),
    bytes: async (name, begin, end) => ownerOf(name).bytes(name, begin, end),
    floats: async (name, scratch) => ownerOf(name).floats(name, scratch),
    integers: async name => ownerOf(name).integers(name),
  };
}

/** Odd, but harmless, and not rare among real files. */
function remarksOn(index: ShardIndex, tensors: ReadonlyMap<string, TensorInfo>): string[] {
  const remarks = [...tensors.keys()]
    .filter(name => !index.fileOf.has(name))
    .map(name => `"${name}" is in a file but not in the index`);
  const bytes = [...tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (index.totalSize !== undefined && index.totalSize !== bytes) {
    remarks.push(`the index says total_size ${index.totalSize}, the tensors have ${bytes} bytes`);
  }
  return remarks;
}

function fail(name: string, reason: CheckpointReason, expected: string, got: string): never {
  throw new CheckpointError({ where: reason === 'InvalidIndex' ? where : 'openShards', name, expected, got, reason });
}
