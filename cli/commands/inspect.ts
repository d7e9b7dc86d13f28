/** `longformer inspect`: what is in a checkpoint, without reading its data. */
import { stat } from 'node:fs/promises';
import { Command } from 'commander';
import type { LedConfig, LongformerConfig, ModelConfig } from '../../contract/config.ts';
import { formatShape, IoError, printable } from '../../contract/errors.ts';
import { openFileSource } from '../../runtime/checkpoint/byte-source-node.ts';
import { readConfigText } from '../../runtime/checkpoint/open.ts';
import { openModelCheckpoint } from '../../runtime/checkpoint/open-node.ts';
import { parseModelConfig } from '../../runtime/checkpoint/parse-led-config.ts';
import { openSafetensors, type TensorFile } from '../../runtime/checkpoint/safetensors.ts';
import { expectedTensors } from '../../runtime/checkpoint/tensor-names.ts';
import { sourceBytesOf } from '../../runtime/engine/led-encoder.ts';
import { workspaceBytesOf } from '../../runtime/engine/workspace.ts';

/** What is printed; with --json, exactly this. */
interface Inspection {
  readonly path: string;
  /** Of a directory or a config.json. */
  readonly config?: ModelConfig;
  /** Of a directory or a safetensors file, with the names of the file, in the order of the data. */
  readonly tensors?: readonly { name: string; dtype: string; shape: readonly number[]; bytes: number }[];
  readonly parameters?: number;
  readonly bytes?: number;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Optional tensors that are not there. (A missing one that is needed is an error.) */
  readonly missing?: readonly string[];
  /** Tensors the model of this config does not read. */
  readonly unused?: readonly string[];
  readonly remarks: readonly string[];
}

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('Show the config and the tensors of a checkpoint, and check that they fit each other.')
    .argument('<path>', 'directory of a checkpoint, or a single .safetensors or config.json')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Reads headers only, so it is quick for files of any size. A damaged file ends with exit code 1, its error code and reason.

Examples:
  longformer inspect my-longformer
  longformer inspect out.safetensors --json`,
    )
    .action(async (path: string, options: { readonly json?: boolean }) => {
      const inspection = await inspect(path);
      process.stdout.write(options.json ? `${JSON.stringify(inspection)}\n` : report(inspection));
    });
}

/** @throws ConfigError, CheckpointError, UnsupportedError, IoError */
export async function inspect(path: string): Promise<Inspection> {
  const stats = await stat(path).catch(cause => {
    const got = String((cause as NodeJS.ErrnoException).code);
    throw new IoError({ where: 'inspect', name: path, expected: 'a file or a directory', got, cause });
  });
  if (stats.isDirectory()) return inspectDirectory(path);
  if (path.endsWith('.json')) {
    const config = parseModelConfig(await readConfigText(await openFileSource(path)));
    return { path, config, remarks: remarksOn(config) };
  }
  const file = await openSafetensors(await openFileSource(path));
  await file.close(); // the header is all that is needed
  return { path, ...describeTensors(file), remarks: file.remarks };
}

async function inspectDirectory(path: string): Promise<Inspection> {
  const checkpoint = await openModelCheckpoint(path);
  await checkpoint.close();
  const { config, file, unused, remarks } = checkpoint;
  const missing = expectedTensors(config)
    .map(({ name }) => name)
    .filter(name => !checkpoint.has(name));
  return { path, config, ...describeTensors(file), missing, unused, remarks: [...remarks, ...remarksOn(config)] };
}

function describeTensors(file: TensorFile): Pick<Inspection, 'tensors' | 'parameters' | 'bytes' | 'metadata'> {
  const infos = [...file.tensors.values()];
  return {
    tensors: infos.map(({ name, dtype, shape, byteLength }) => ({ name, dtype, shape, bytes: byteLength })),
    parameters: infos.reduce((sum, { shape }) => sum + shape.reduce((product, extent) => product * extent, 1), 0),
    bytes: infos.reduce((sum, { byteLength }) => sum + byteLength, 0),
    metadata: Object.fromEntries(file.metadata),
  };
}

function remarksOn(config: ModelConfig): string[] {
  const { dilation } = config;
  const causal = config.modelType === 'longformer' && config.causal;
  const ignored = [
    ...(dilation.flat().some(each => each !== 1) ? ['attention_dilation'] : []),
    ...(causal ? ['autoregressive'] : []),
  ];
  return ignored.map(key => `${key} is honoured here and ignored by Hugging Face, whose results will differ`);
}

function report(inspection: Inspection): string {
  const { path, config, tensors, missing, unused, remarks, metadata } = inspection;
  const lines = [path];
  if (config) lines.push('', 'config', ...table(configRows(config)));
  if (tensors) {
    const rows = tensors.map(({ name, dtype, shape }) => [printable(dtype), formatShape(shape), printable(name)]);
    lines.push('', 'tensors', ...table(rows));
    const count = [
      tensors.length === 1 ? '1 tensor' : `${tensors.length} tensors`,
      `${inspection.parameters} parameters`,
      `${inspection.bytes} bytes`,
    ];
    lines.push(`  ${count.join(', ')}`);
  }
  for (const [key, value] of Object.entries(metadata ?? {})) lines.push(`  metadata ${printable(`${key}: ${value}`)}`);
  if (missing) lines.push('', `missing (optional): ${list(missing)}`, `unused: ${list(unused!)}`);
  for (const remark of remarks) lines.push(`Note: ${printable(remark)}.`);
  return `${lines.join('\n')}\n`;
}

const list = (names: readonly string[]): string => (names.length === 0 ? 'none' : names.map(printable).join(', '));

/** Columns as wide as their longest cell. */
function table(rows: readonly (readonly string[])[]): string[] {
  const columns = rows[0]?.length ?? 0;
  const widths = Array.from({ length: columns }, (_, column) =>
    rows.reduce((widest, row) => Math.max(widest, row[column]!.length), 0),
  );
  return rows.map(row => `  ${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd());
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);

function configRows(config: ModelConfig): string[][] {
  const rows = config.modelType === 'led' ? ledRows(config) : longformerRows(config);
  return rows.map(([name, value]) => [name, String(value)]);
}

type Row = [name: string, value: string | number | boolean];

const workspaceRow = (bytes: number): Row => [
  'workspace',
  `${megabytes(bytes)} MB for it, besides the weights (float32 backends)`,
];

function ledRows(config: LedConfig): Row[] {
  const { hiddenSize, encoderHeads, decoderHeads } = config;
  return [
    ['model', 'LED'],
    ['head', config.head],
    ['layers', `${config.encoderLayers} encoder, ${config.decoderLayers} decoder`],
    ['encoder heads', `${encoderHeads} of ${hiddenSize / encoderHeads}`],
    ['decoder heads', `${decoderHeads} of ${hiddenSize / decoderHeads}`],
    ['hidden size', hiddenSize],
    ['intermediate size', `${config.encoderIntermediateSize} encoder, ${config.decoderIntermediateSize} decoder`],
    ['activation', config.hiddenActivation],
    ['one-sided window', perLayer(config.oneSidedWindow)],
    ['dilation', perLayer(config.dilation.map(heads => perLayer(heads)))],
    ['vocabulary', config.vocabSize],
    ['longest source', config.maxEncoderPositionEmbeddings],
    workspaceRow(sourceBytesOf(config, config.maxEncoderPositionEmbeddings)),
    ['longest target', config.maxDecoderPositionEmbeddings],
    ['decoder start', String(config.decoderStartTokenId)],
    ['bos, eos, pad', [config.bosTokenId, config.eosTokenId, config.padTokenId].join(', ')],
    ['labels', config.labelNames.map(printable).join(', ')],
    ['tied embeddings', config.tieWordEmbeddings],
  ];
}

function longformerRows(config: LongformerConfig): Row[] {
  const longest = config.maxPositionEmbeddings - config.padTokenId - 1;
  return [
    ['head', config.head],
    ['layers', config.layers],
    ['heads', `${config.heads} of ${config.headDim}`],
    ['hidden size', config.hiddenSize],
    ['intermediate size', config.intermediateSize],
    ['activation', config.hiddenActivation],
    ['one-sided window', perLayer(config.oneSidedWindow)],
    ['dilation', perLayer(config.dilation.map(heads => perLayer(heads)))],
    ['causal', config.causal],
    ['vocabulary', config.vocabSize],
    ['longest document', longest],
    workspaceRow(workspaceBytesOf(config, Math.max(1, longest))),
    ['token types', config.typeVocabSize],
    ['layer norm epsilon', config.layerNormEps],
    ['bos, eos, sep, pad', [config.bosTokenId, config.eosTokenId, config.sepTokenId, config.padTokenId].join(', ')],
    ['labels', config.labelNames.map(printable).join(', ')],
    ['tied embeddings', config.tieWordEmbeddings],
  ];
}

/** One word when all are alike. */
function perLayer(values: readonly (number | string)[]): string {
  return new Set(values).size === 1 ? String(values[0]) : values.map(value => `[${value}]`).join(' ');
}
