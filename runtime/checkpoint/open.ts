/**
 * A directory of files → a Checkpoint: config.json read, every tensor found and its shape checked, no data read yet.
 *
 * It does not know what a directory is: open-node.ts does. Read before: parse-config.ts, safetensors.ts, tensor-names.ts.
 */
import type { Checkpoint } from '../../contract/checkpoint.ts';
import type { LedConfig, LongformerConfig, ModelConfig } from '../../contract/config.ts';
import { CheckpointError, type CheckpointReason, ConfigError, formatShape } from '../../contract/errors.ts';
import type { ByteSource } from './byte-source.ts';
import { asHuggingFaces } from './conversions/conversions.ts';
import { type CheckpointParts, type Layout, layoutOfConfig } from './conversions/layout.ts';
import { type JsonObject, parseJsonObject } from './json-fields.ts';
import { ledWordTables } from './led-tensor-names.ts';
import { maxConfigBytes, type ParseConfigOptions, parseConfig } from './parse-config.ts';
import {
  type ParseLedConfigOptions,
  type ParseModelConfigOptions,
  parseLedConfig,
  parseModelConfig,
} from './parse-led-config.ts';
import { openSafetensors, type SafetensorsOptions, type TensorFile } from './safetensors.ts';
import { maxIndexBytes, openShards, parseShardIndex } from './shards.ts';
import { canonicalName, expectedTensors } from './tensor-names.ts';

/** Files by name: a directory, a map in memory, an address. */
export interface CheckpointFiles {
  /** What to call it in messages. */
  readonly name: string;
  /** The file of that name, or undefined when there is none. */
  open(fileName: string): Promise<ByteSource | undefined>;
  /** The same for a name that came out of another file. @throws CheckpointError when it leads somewhere else. */
  openListed(fileName: string): Promise<ByteSource | undefined>;
}

/** How files are read, whatever the model. */
export interface FileOptions extends SafetensorsOptions {
  /** Whose layout the checkpoint has, where its files do not make it clear: an error names this option then. */
  readonly layout?: Layout;
}

export interface OpenOptions extends ParseConfigOptions, FileOptions {}
export interface OpenLedOptions extends ParseLedConfigOptions, FileOptions {}
export interface OpenModelOptions extends ParseModelConfigOptions, FileOptions {}

/** A checkpoint and what there is to say about its files. */
export interface OpenedCheckpoint<Config extends ModelConfig = LongformerConfig> extends Checkpoint<Config> {
  /** The files behind it, with the names they use themselves. */
  readonly file: TensorFile;
  /** What is odd about it but does no harm, in sentences without a full stop. */
  readonly remarks: readonly string[];
  /** Names, as in the files, that the model of this config does not read. */
  readonly unused: readonly string[];
}

/**
 * Opens config.json with model.safetensors, the shards of model.safetensors.index.json, pytorch_model.bin, or its shards: the first
 * that is there.
 *
 * @throws ConfigError, CheckpointError (among others ConfigMismatch, naming every missing and misshapen tensor at once),
 *   UnsupportedError (other models, pickles that hold more than tensors), IoError. Nothing stays open then.
 */
export async function openCheckpointFiles(
  files: CheckpointFiles,
  options: OpenOptions = {},
): Promise<OpenedCheckpoint> {
  return openFiles(files, text => parseConfig(text, options), options);
}

/** The same for an LED. @throws as openCheckpointFiles */
export async function openLedCheckpointFiles(
  files: CheckpointFiles,
  options: OpenLedOptions = {},
): Promise<OpenedCheckpoint<LedConfig>> {
  return openFiles(files, text => parseLedConfig(text, options), options);
}

/** The same for either family; `isLedCheckpoint` tells which it was. @throws as openCheckpointFiles */
export async function openModelCheckpointFiles(
  files: CheckpointFiles,
  options: OpenModelOptions = {},
): Promise<OpenedCheckpoint | OpenedCheckpoint<LedConfig>> {
  const checkpoint = await openFiles<ModelConfig>(files, text => parseModelConfig(text, options), options);
  return checkpoint as OpenedCheckpoint | OpenedCheckpoint<LedConfig>;
}

export function isLedCheckpoint(
  checkpoint: OpenedCheckpoint | OpenedCheckpoint<LedConfig>,
): checkpoint is OpenedCheckpoint<LedConfig> {
  return checkpoint.config.modelType === 'led';
}

async function openFiles<Config extends ModelConfig>(
  files: CheckpointFiles,
  parse: (text: string) => Config,
  options: FileOptions,
): Promise<OpenedCheckpoint<Config>> {
  const configSource = (await files.open('config.json')) ?? missing(files, 'config.json');
  const text = await readConfigText(configSource);
  const written = fieldsOf(text);
  // A config that is wrong as it stands is told before any tensor file is opened.
  if (options.layout === undefined && layoutOfConfig(written) !== 'authors') parse(text);
  const tensors = await openTensors(files, options);
  return closeOnError(tensors, () => {
    const { config, file } = asHuggingFaces({ config: written, file: tensors }, options.layout);
    return createCheckpoint(parse(config === written ? text : JSON.stringify(Object.fromEntries(config))), file);
  });
}

/** The fields of a config.json; none when it is damaged, which the parser of configs says better. */
function fieldsOf(text: string): JsonObject {
  try {
    return parseJsonObject(text, maxConfigBytes, () => {
      throw new SyntaxError();
    });
  } catch {
    return new Map();
  }
}

/** All tensors of a directory, whatever they belong to: for conversions. @throws as openCheckpointFiles */
export async function openTensorFiles(
  files: CheckpointFiles,
  options: SafetensorsOptions = {},
): Promise<CheckpointParts> {
  const configSource = (await files.open('config.json')) ?? missing(files, 'config.json');
  const text = await readConfigText(configSource);
  const config = parseJsonObject(text, maxConfigBytes, (expected, got, cause) => {
    throw new ConfigError({ where: 'openTensorFiles', name: 'config.json', expected, got, cause });
  });
  return { config, file: await openTensors(files, options) };
}

/**
 * The same from a config's text and one safetensors source, wherever they are. The source is closed when it is refused.
 *
 * @throws ConfigError, CheckpointError, UnsupportedError, IoError
 */
export async function openCheckpointFrom(
  configText: string,
  weights: ByteSource,
  options: OpenOptions = {},
): Promise<OpenedCheckpoint> {
  return closeOnError(weights, async () => {
    const config = parseConfig(configText, options);
    return await createCheckpoint(config, await openSafetensors(weights, options));
  });
}

async function closeOnError<Result>(open: { close(): Promise<void> }, step: () => Promise<Result>): Promise<Result> {
  try {
    return await step();
  } catch (error) {
    await open.close();
    throw error;
  }
}

/**
 * Text of a config.json, or of another JSON file beside it. The source is closed.
 *
 * @throws ConfigError when it is too large or not UTF-8, IoError
 */
export async function readConfigText(source: ByteSource, name = 'config.json'): Promise<string> {
  return readText(source, maxConfigBytes, (expected, got) => {
    throw new ConfigError({ where: 'parseConfig', name, expected, got });
  });
}

/** A whole small file as text; the source is closed. */
async function readText(
  source: ByteSource,
  maxBytes: number,
  complain: (expected: string, got: string) => never,
): Promise<string> {
  try {
    if (source.size > maxBytes) complain(`at most ${maxBytes} bytes`, String(source.size));
    const bytes = await source.read(0, source.size);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return complain('UTF-8', 'other bytes');
    }
  } finally {
    await source.close();
  }
}

/** Its code comes with the first such file: pages, which read safetensors, do without. */
const openPytorch = async (source: ByteSource, options?: SafetensorsOptions): Promise<TensorFile> => {
  const pytorch = await import('./pytorch/open-pytorch.ts');
  return pytorch.openPytorch(source, options);
};

async function openTensors(files: CheckpointFiles, options: SafetensorsOptions): Promise<TensorFile> {
  const single = await files.open('model.safetensors');
  if (single) return openSafetensors(single, options);
  const indexName = 'model.safetensors.index.json';
  const index = await files.open(indexName);
  if (index) {
    const text = await readText(index, maxIndexBytes, (expected, got) =>
      fail(indexName, 'InvalidIndex', expected, got),
    );
    return openShards(parseShardIndex(text), name => files.openListed(name), options);
  }
  const pickle = await files.open('pytorch_model.bin');
  if (pickle) return openPytorch(pickle, options);
  const pickleIndexName = 'pytorch_model.bin.index.json';
  const pickleIndex = await files.open(pickleIndexName);
  if (pickleIndex) {
    const text = await readText(pickleIndex, maxIndexBytes, (expected, got) =>
      fail(pickleIndexName, 'InvalidIndex', expected, got),
    );
    return openShards(parseShardIndex(text), name => files.openListed(name), options, openPytorch);
  }
  return missing(files, 'model.safetensors');
}

function missing(files: CheckpointFiles, fileName: string): never {
  return fail(files.name, 'MissingFile', fileName, 'no such file');
}

/**
 * A checkpoint over tensors that are open already.
 *
 * @throws CheckpointError DuplicateName, ConfigMismatch; IoError
 */
export async function createCheckpoint<Config extends ModelConfig>(
  configAsWritten: Config,
  file: TensorFile,
): Promise<OpenedCheckpoint<Config>> {
  const fileNames = canonicalNames(file, configAsWritten.modelType);
  const isLed = configAsWritten.modelType === 'led';
  const { config, remarks } = await (isLed ? resolveWordTables : resolveLmHead)(configAsWritten, fileNames, file);
  const expected = expectedTensors(config);
  expectTensors(expected, fileNames, file, config);

  const fileNameOf = (name: string): string => {
    return fileNames.get(name) ?? fail(name, 'TensorNotFound', 'to be in the checkpoint', 'nothing');
  };
  const names = isLed ? [...expected.map(({ name }) => name), ...ledWordTables] : expected.map(({ name }) => name);
  const used = new Set(names.map(name => fileNames.get(name)));
  return {
    config,
    file,
    remarks: [...file.remarks, ...remarks],
    unused: [...file.tensors.keys()].filter(name => !used.has(name)),
    names: [...fileNames.keys()],
    has: name => fileNames.has(name),
    shape: name => file.info(fileNameOf(name)).shape,
    tensor: async (name, scratch) => file.floats(fileNameOf(name), scratch),
    close: () => file.close(),
  };
}

/** Canonical name → name in the file. @throws CheckpointError when two names of the file become one. */
function canonicalNames(file: TensorFile, modelType: ModelConfig['modelType']): Map<string, string> {
  const fileNames = new Map<string, string>();
  for (const name of file.tensors.keys()) {
    const canonical = canonicalName(name, modelType);
    if (canonical === undefined) continue;
    const other = fileNames.get(canonical);
    if (other !== undefined) fail(canonical, 'DuplicateName', 'one tensor', `${other} and ${name}`);
    fileNames.set(canonical, name);
  }
  return fileNames;
}

/**
 * The decoder of the masked-LM head and its bias, which have two names each.
 *
 * Tied: the decoder is the word embedding table, whichever of the two is in the file. When both are and differ, the config is
 * wrong: each is used for itself. Subtle: HF computes with lm_head.decoder.bias; lm_head.bias is the same vector when
 * tied and a dead one when not.
 * Source: HF 5 PreTrainedModel.tie_weights. (HF 4 ties without looking.)
 */
async function resolveLmHead<Config extends ModelConfig>(
  config: Config,
  fileNames: Map<string, string>,
  file: TensorFile,
): Promise<{ config: Config; remarks: string[] }> {
  if (config.head !== 'maskedLm') return { config, remarks: [] };
  const bias = fileNames.get('lm_head.decoder.bias') ?? fileNames.get('lm_head.bias');
  if (bias !== undefined) fileNames.set('lm_head.bias', bias);
  if (!config.tieWordEmbeddings) return { config, remarks: [] };

  const decoder = fileNames.get('lm_head.decoder.weight');
  const words = fileNames.get('embeddings.word_embeddings.weight');
  if (decoder !== undefined && words !== undefined && !(await sameBytes(file, decoder, words))) {
    const remark = 'tie_word_embeddings is true but lm_head.decoder.weight differs from the word embeddings: not tied';
    return { config: { ...config, tieWordEmbeddings: false }, remarks: [remark] };
  }
  const table = words ?? decoder;
  if (table !== undefined) {
    fileNames.set('embeddings.word_embeddings.weight', table);
    fileNames.set('lm_head.decoder.weight', table);
  }
  return { config, remarks: [] };
}

/**
 * The word embedding table of an LED, which has up to four names: one of them is enough, and all of them can be asked for afterwards.
 *
 * Tied: one table. When two of them are in the file and differ, the config is wrong: each is used for itself. Untied: each for itself too,
 * but tables of the two sides that are not there are the shared one, as older versions of HF write it.
 * Source: HF 5 PreTrainedModel.tie_weights; HF 4 LEDEncoder, LEDDecoder.
 */
async function resolveWordTables<Config extends ModelConfig>(
  config: Config,
  fileNames: Map<string, string>,
  file: TensorFile,
): Promise<{ config: Config; remarks: string[] }> {
  const given = ledWordTables.filter(name => fileNames.has(name));
  const [first] = given;
  if (first === undefined) return { config, remarks: [] };
  const table = fileNames.get(first)!;
  const differing: string[] = [];
  for (const name of given.slice(1)) {
    if (config.tieWordEmbeddings && !(await sameBytes(file, fileNames.get(name)!, table))) differing.push(name);
  }
  const tied = config.tieWordEmbeddings && differing.length === 0;
  for (const name of ledWordTables) {
    const isHead = name === 'lm_head.weight';
    if (!fileNames.has(name) && (config.tieWordEmbeddings || !isHead)) fileNames.set(name, table);
    else if (tied) fileNames.set(name, table);
  }
  if (differing.length === 0) return { config, remarks: [] };
  const remark = `tie_word_embeddings is true but ${differing.join(' and ')} differs from ${first}: not tied`;
  return { config: { ...config, tieWordEmbeddings: false }, remarks: [remark] };
}

const bytesCompared = 1 << 23;

/** Compares two tensors piece by piece, so that neither is in memory as a whole. */
async function sameBytes(file: TensorFile, a: string, b: string): Promise<boolean> {
  const { dtype, byteLength } = file.info(a);
  if (file.info(b).dtype !== dtype || file.info(b).byteLength !== byteLength) return false;
  for (let begin = 0; begin < byteLength; begin += bytesCompared) {
    const end = Math.min(begin + bytesCompared, byteLength);
    const [left, right] = [await file.bytes(a, begin, end), await file.bytes(b, begin, end)];
    if (left.some((byte, at) => byte !== right[at])) return false;
  }
  return true;
}

const floatDtypes = new Set(['F64', 'F32', 'F16', 'BF16']);
/** Names listed in one message. */
const mostListed = 50;

function expectTensors(
  expected: ReturnType<typeof expectedTensors>,
  fileNames: ReadonlyMap<string, string>,
  file: TensorFile,
  config: ModelConfig,
): void {
  const absent: string[] = [];
  const misshapen: string[] = [];
  for (const { name, shape, optional } of expected) {
    const fileName = fileNames.get(name);
    if (fileName === undefined) {
      if (!optional) absent.push(name);
      continue;
    }
    const info = file.info(fileName);
    const same = info.shape.length === shape.length && info.shape.every((extent, axis) => extent === shape[axis]);
    if (!same) misshapen.push(`${name} is ${formatShape(info.shape)}, not ${formatShape(shape)}`);
    else if (!floatDtypes.has(info.dtype)) misshapen.push(`${name} is ${info.dtype}, not a float`);
  }
  const faults = [
    ...(absent.length > 0 ? [`${absent.length} missing: ${enumerate(absent)}`] : []),
    ...(misshapen.length > 0 ? [`${misshapen.length} misshapen: ${enumerate(misshapen)}`] : []),
  ];
  if (faults.length === 0) return;
  const hint = misshapen.some(fault => /^embeddings\.|^shared\.|embed_positions/.test(fault))
    ? config.modelType === 'led'
      ? 'the rows of the embedding tables are vocab_size, max_encoder_position_embeddings and max_decoder_position_embeddings.'
      : 'the rows of the embedding tables are vocab_size, max_position_embeddings and type_vocab_size.'
    : undefined;
  fail('tensors', 'ConfigMismatch', `what config.json says (head ${config.head})`, faults.join('; '), hint);
}

const enumerate = (items: readonly string[]): string => {
  const listed = items.slice(0, mostListed).join(', ');
  return items.length > mostListed ? `${listed} and ${items.length - mostListed} more` : listed;
};

function fail(name: string, reason: CheckpointReason, expected: string, got: string, hint?: string): never {
  throw new CheckpointError({ where: 'openCheckpoint', name, expected, got, hint, reason });
}
