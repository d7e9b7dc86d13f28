/**
 * Files → Case, wherever the files are. FORMAT.md describes them; schema/case.schema.json is checked on every read.
 *
 * A damaged case is a CaseError: it must never look like a wrong implementation, or worse, like a right one.
 */
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { Checkpoint, LedCheckpoint } from '../contract/checkpoint.ts';
import { CaseError } from '../contract/errors.ts';
import type { GenerationOptions } from '../contract/generation.ts';
import type { Tensor, Tensor64 } from '../contract/tensor.ts';
import type { BatchInputs } from '../runtime/batch.ts';
import { createMemorySource } from '../runtime/checkpoint/byte-source.ts';
import { createCheckpoint } from '../runtime/checkpoint/open.ts';
import { parseConfig } from '../runtime/checkpoint/parse-config.ts';
import { parseLedConfig } from '../runtime/checkpoint/parse-led-config.ts';
import { type IntegerTensor, openSafetensors, type TensorFile } from '../runtime/checkpoint/safetensors.ts';
import type { LedBatchInputs } from '../runtime/led-batch.ts';
import type { Expectation } from './budget.ts';
import { optionsFromHuggingFace } from './generation-options.ts';

/** Reads a file of the suite: `manifest.json`, `cases/…`, `models/…`, `schema/…`. @throws CaseError when it is not there */
export type ReadFile = (path: string) => Promise<Uint8Array<ArrayBuffer>>;

/** Of a tensor of numbers, or of ids. */
type FileExpectation = Expectation | { readonly exact: true; readonly margin: number; readonly tied: boolean };

/** What case.json holds, by the schema. */
interface CaseFile {
  readonly format: 1;
  readonly level: string;
  readonly name: string;
  readonly description: string;
  readonly source: 'hf' | 'dense-oracle' | 'hand';
  readonly model: string;
  readonly config: Record<string, unknown>;
  readonly layer?: number;
  readonly inputs: readonly string[];
  readonly expected?: Record<string, FileExpectation>;
  readonly expectedError?: { readonly code: string; readonly about: string };
  readonly exercises: readonly string[];
  /** Level generation, by Hugging Face's names. */
  readonly options?: Record<string, unknown>;
}

export interface Case {
  readonly level: string;
  readonly name: string;
  readonly description: string;
  readonly source: CaseFile['source'];
  /** Attention and layer level: which layer's weights. */
  readonly layer: number | undefined;
  readonly expected: ReadonlyMap<string, Expectation & { readonly tensor: Tensor64 }>;
  readonly expectedError: CaseFile['expectedError'];
  /** The model with the case's config over its own. @throws ConfigError, CheckpointError: some cases expect that. */
  openCheckpoint(): Promise<Checkpoint>;
  /** The same for the levels of LED. */
  openLedCheckpoint(): Promise<LedCheckpoint>;
  /** Level generation. @throws CaseError for an option this reader does not know */
  generationOptions(): GenerationOptions;
  /** All inputs of a whole model. */
  batchInputs(): BatchInputs;
  /** The same for the levels of LED; level led-step has others beside them. */
  ledBatchInputs(): LedBatchInputs;
  /** @throws CaseError when there is no such input. */
  floatInput(name: string): Tensor;
  integerInput(name: string): IntegerTensor | undefined;
}

export interface Manifest {
  readonly format: 1;
  readonly numberOfCases: number;
  /** `level/name`. */
  readonly cases: readonly string[];
  /** sha256 by path. */
  readonly files: Readonly<Record<string, string>>;
}

/** @throws CaseError when the manifest is missing, of another format, or disagrees with itself. */
export async function readManifestFrom(read: ReadFile): Promise<Manifest> {
  const manifest = parseJson(await read('manifest.json')) as Manifest;
  if (manifest.format !== 1) {
    throw new CaseError({ where: 'readManifest', name: 'format', expected: '1', got: String(manifest.format) });
  }
  if (manifest.cases.length !== manifest.numberOfCases) {
    const expected = `${manifest.numberOfCases} cases`;
    throw new CaseError({ where: 'readManifest', name: 'cases', expected, got: String(manifest.cases.length) });
  }
  return manifest;
}

type Validator = (value: unknown) => string | null;
const validators = new WeakMap<ReadFile, Promise<Validator>>();

/** The schema, compiled once for each suite. */
function schemaValidator(read: ReadFile): Promise<Validator> {
  const known = validators.get(read);
  if (known) return known;
  const compile = async (): Promise<Validator> => {
    const ajv = new Ajv2020({ allErrors: false, strict: false });
    const check = ajv.compile(parseJson(await read('schema/case.schema.json')) as object);
    return value => (check(value) ? null : ajv.errorsText(check.errors));
  };
  const validator = compile();
  validators.set(read, validator);
  return validator;
}

/**
 * Reads one case, checking the sha256 of each of its files against the manifest.
 *
 * @throws CaseError
 */
export async function readCaseFrom(read: ReadFile, id: string, manifest: Manifest): Promise<Case> {
  const readBytes: ReadFile = async path => {
    const bytes = await read(path);
    const sha256 = hex(await crypto.subtle.digest('SHA-256', bytes));
    if (manifest.files[path] === sha256) return bytes;
    throw new CaseError({
      where: 'readCase',
      name: path,
      expected: `sha256 ${manifest.files[path] ?? 'listed in the manifest'}`,
      got: sha256,
      hint: 'the file was changed or is incomplete.',
    });
  };
  const readJson = async (path: string): Promise<unknown> => parseJson(await readBytes(path));

  const file = (await readJson(`cases/${id}/case.json`)) as CaseFile;
  const complaint = (await schemaValidator(read))(file);
  if (complaint)
    throw new CaseError({ where: 'readCase', name: id, expected: 'case.json by the schema', got: complaint });
  if (`${file.level}/${file.name}` !== id) {
    throw new CaseError({
      where: 'readCase',
      name: id,
      expected: 'its own level and name',
      got: `${file.level}/${file.name}`,
    });
  }

  const tensors = await openSafetensors(createMemorySource(await readBytes(`cases/${id}/tensors.safetensors`)));
  const floatInputs = new Map<string, Tensor>();
  const integerInputs = new Map<string, IntegerTensor>();
  for (const name of file.inputs) {
    const { dtype } = tensors.info(`input.${name}`);
    if (dtype.startsWith('F')) floatInputs.set(name, await tensors.floats(`input.${name}`));
    else integerInputs.set(name, await tensors.integers(`input.${name}`));
  }
  const expected = new Map<string, Expectation & { tensor: Tensor64 }>();
  for (const [output, expectation] of Object.entries(file.expected ?? {})) {
    expected.set(output, await readExpectation(tensors, id, output, expectation));
  }
  await tensors.close();

  const { level, name, description, source, layer, expectedError, model, config } = file;
  const modelConfig = async (): Promise<string> =>
    JSON.stringify({ ...((await readJson(`models/${model}/config.json`)) as object), ...config });
  const weights = async (): Promise<TensorFile> =>
    await openSafetensors(createMemorySource(await readBytes(`models/${model}/model.safetensors`)));
  const inputs = { ...Object.fromEntries(floatInputs), ...Object.fromEntries(integerInputs) };
  return {
    level,
    name,
    description,
    source,
    layer,
    expected,
    expectedError,
    openCheckpoint: async () => createCheckpoint(parseConfig(await modelConfig()), await weights()),
    openLedCheckpoint: async () => createCheckpoint(parseLedConfig(await modelConfig()), await weights()),
    generationOptions: () => optionsFromHuggingFace(file.options ?? {}),
    batchInputs: () => inputs as BatchInputs,
    ledBatchInputs: () => inputs as LedBatchInputs,
    floatInput(input) {
      const tensor = floatInputs.get(input);
      if (!tensor) throw new CaseError({ where: 'readCase', name: id, expected: `an input ${input}`, got: 'none' });
      return tensor;
    },
    integerInput: input => integerInputs.get(input),
  };
}

/** An expected tensor with its expectation; ids as float64, which holds them exactly. @throws CaseError */
async function readExpectation(
  tensors: TensorFile,
  id: string,
  output: string,
  expectation: FileExpectation,
): Promise<Expectation & { readonly tensor: Tensor64 }> {
  const stored = `expected.${output}`;
  if ('exact' in expectation) {
    const { shape, data } = await tensors.integers(stored);
    return { exact: true, tied: expectation.tied, spread: 0, max: 0, tensor: { shape, data: Float64Array.from(data) } };
  }
  const { shape, data } = await tensors.floats(stored);
  if (data instanceof Float64Array) return { ...expectation, tensor: { shape, data } };
  throw new CaseError({ where: 'readCase', name: `${id} ${stored}`, expected: 'F64', got: 'another dtype' });
}

const parseJson = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));

const hex = (digest: ArrayBuffer): string =>
  Array.from(new Uint8Array(digest), byte => byte.toString(16).padStart(2, '0')).join('');
