/**
 * Files → Case. FORMAT.md describes the files; schema/case.schema.json is checked here on every read.
 *
 * A damaged case is a CaseError: it must never look like a wrong implementation, or worse, like a right one.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { Checkpoint } from '../contract/checkpoint.ts';
import { CaseError } from '../contract/errors.ts';
import type { Tensor, Tensor64 } from '../contract/tensor.ts';
import type { BatchInputs } from '../runtime/batch.ts';
import { createMemorySource } from '../runtime/checkpoint/byte-source.ts';
import { createCheckpoint } from '../runtime/checkpoint/open.ts';
import { parseConfig } from '../runtime/checkpoint/parse-config.ts';
import { type IntegerTensor, openSafetensors } from '../runtime/checkpoint/safetensors.ts';
import type { Expectation } from './budget.ts';

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
  readonly expected?: Record<string, Expectation>;
  readonly expectedError?: { readonly code: string; readonly about: string };
  readonly exercises: readonly string[];
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
  /** All inputs of a whole model. */
  batchInputs(): BatchInputs;
  /** @throws CaseError when there is no such input. */
  floatInput(name: string): Tensor;
  integerInput(name: string): IntegerTensor | undefined;
}

/** The folder with cases/, models/ and manifest.json that ships with this package. */
export function conformanceDirectory(): string {
  // From the sources it is this folder; from dist/conformance it is two folders up.
  const here = fileURLToPath(new URL('.', import.meta.url));
  const built = /[\\/]dist[\\/]conformance[\\/]$/.test(here);
  return built ? join(here, '..', '..', 'conformance') : here;
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
export function readManifest(directory: string): Manifest {
  const manifest = JSON.parse(readText(join(directory, 'manifest.json'))) as Manifest;
  if (manifest.format !== 1) {
    throw new CaseError({ where: 'readManifest', name: 'format', expected: '1', got: String(manifest.format) });
  }
  if (manifest.cases.length !== manifest.numberOfCases) {
    const expected = `${manifest.numberOfCases} cases`;
    throw new CaseError({ where: 'readManifest', name: 'cases', expected, got: String(manifest.cases.length) });
  }
  return manifest;
}

const validators = new Map<string, (value: unknown) => string | null>();

function schemaValidator(directory: string): (value: unknown) => string | null {
  const known = validators.get(directory);
  if (known) return known;
  const ajv = new Ajv2020({ allErrors: false, strict: false });
  const check = ajv.compile(JSON.parse(readText(join(directory, 'schema', 'case.schema.json'))) as object);
  const validator = (value: unknown): string | null => (check(value) ? null : ajv.errorsText(check.errors));
  validators.set(directory, validator);
  return validator;
}

/**
 * Reads one case, checking the sha256 of each of its files against the manifest.
 *
 * @throws CaseError
 */
export async function readCase(directory: string, id: string, manifest: Manifest): Promise<Case> {
  const readBytes = (path: string): Uint8Array<ArrayBuffer> => {
    const bytes = readChecked(join(directory, path));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    if (manifest.files[path] !== sha256) {
      const expected = `sha256 ${manifest.files[path] ?? 'listed in the manifest'}`;
      throw new CaseError({
        where: 'readCase',
        name: path,
        expected,
        got: sha256,
        hint: 'the file was changed or is incomplete.',
      });
    }
    return bytes;
  };
  const readJson = (path: string): unknown => JSON.parse(new TextDecoder().decode(readBytes(path)));

  const file = readJson(`cases/${id}/case.json`) as CaseFile;
  const complaint = schemaValidator(directory)(file);
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

  const tensors = await openSafetensors(createMemorySource(readBytes(`cases/${id}/tensors.safetensors`)));
  const floatInputs = new Map<string, Tensor>();
  const integerInputs = new Map<string, IntegerTensor>();
  for (const name of file.inputs) {
    const { dtype } = tensors.info(`input.${name}`);
    if (dtype.startsWith('F')) floatInputs.set(name, await tensors.floats(`input.${name}`));
    else integerInputs.set(name, await tensors.integers(`input.${name}`));
  }
  const expected = new Map<string, Expectation & { tensor: Tensor64 }>();
  for (const [output, expectation] of Object.entries(file.expected ?? {})) {
    const { shape, data } = await tensors.floats(`expected.${output}`);
    if (!(data instanceof Float64Array)) {
      throw new CaseError({
        where: 'readCase',
        name: `${id} expected.${output}`,
        expected: 'F64',
        got: 'another dtype',
      });
    }
    expected.set(output, { ...expectation, tensor: { shape, data } });
  }
  await tensors.close();

  const { level, name, description, source, layer, expectedError, model, config } = file;
  return {
    level,
    name,
    description,
    source,
    layer,
    expected,
    expectedError,
    openCheckpoint: async () => {
      const modelConfig = { ...(readJson(`models/${model}/config.json`) as object), ...config };
      const weights = createMemorySource(readBytes(`models/${model}/model.safetensors`));
      return createCheckpoint(parseConfig(JSON.stringify(modelConfig)), await openSafetensors(weights));
    },
    batchInputs: () => ({ ...Object.fromEntries(floatInputs), ...Object.fromEntries(integerInputs) }) as BatchInputs,
    floatInput(input) {
      const tensor = floatInputs.get(input);
      if (!tensor) throw new CaseError({ where: 'readCase', name: id, expected: `an input ${input}`, got: 'none' });
      return tensor;
    },
    integerInput: input => integerInputs.get(input),
  };
}

function readText(path: string): string {
  return new TextDecoder().decode(readChecked(path));
}

function readChecked(path: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (cause) {
    throw new CaseError({ where: 'readCase', name: path, expected: 'to be there', got: String(cause), cause });
  }
}
