/**
 * Checkpoints of other layouts as Hugging Face's Longformer and LED: new config, new names, some rows elsewhere. No number is changed.
 *
 * Source: the authors' notebook convert_model_to_long.ipynb and script convert_bart_to_longformerencoderdecoder.py, and what Hugging Face
 * did to the released files (spec of both: positions are tiled, global projections begin as copies of the local ones).
 */
import { CheckpointError, ConfigError, UnsupportedError, ValueRangeError } from '../../../contract/errors.ts';
import { describe, type JsonObject } from '../json-fields.ts';
import { type Derived, deriveFile } from './derived-file.ts';
import { type CheckpointParts, holdsLed, type Layout, layoutOf } from './layout.ts';

export interface ConversionOptions {
  /** Keys on both sides, as config.json has it. Default 512 for Longformer, 1024 for LED. */
  readonly attentionWindow?: number;
  /** Longest document. Default 4096 for Longformer, 16384 for LED; a multiple of what the source could read. */
  readonly maxPositions?: number;
}

const architectureOf = (json: JsonObject): string => {
  const value = json.get('architectures');
  return Array.isArray(value) && typeof value[0] === 'string' ? value[0] : '';
};

/**
 * RoBERTa → Longformer: every text that fits into one window is read as before.
 *
 * Rows 0 and 1 of the position table (unused, padding) are copied too; the notebook leaves them to chance. Names keep the head, and tensors of
 * position numbers are dropped.
 * @throws UnsupportedError for another model, ValueRangeError, ConfigError
 */
export function robertaToLongformer(
  { config, file }: CheckpointParts,
  { attentionWindow = 512, maxPositions = 4096 }: ConversionOptions = {},
): CheckpointParts {
  expectModel('robertaToLongformer', config, ['roberta', 'xlm-roberta', 'camembert']);
  expectWindow(attentionWindow);
  const table = [...file.tensors.keys()].find(name => name.endsWith('embeddings.position_embeddings.weight'));
  if (table === undefined) missing('embeddings.position_embeddings.weight');
  const learned = file.info(table).shape[0]! - 2;
  const rows = [0, 1, ...tiledRows(2, learned, maxPositions)];
  const entries = new Map<string, Derived>();
  for (const name of file.tensors.keys()) {
    if (name.endsWith('position_ids')) continue;
    const renamed = name.replace(/^roberta\./, 'longformer.');
    entries.set(renamed, name === table ? { from: name, rows } : { from: name });
    const local = /^(.*\.attention\.self\.(?:query|key|value))(\.(?:weight|bias))$/.exec(renamed);
    if (local) entries.set(`${local[1]}_global${local[2]}`, { from: name });
  }
  const layers = Number(config.get('num_hidden_layers') ?? 12);
  const architecture = architectureOf(config).replace(/^(XLMRoberta|Roberta|Camembert)/, 'Longformer');
  return {
    config: changed(config, {
      model_type: 'longformer',
      architectures: [architecture === '' ? 'LongformerModel' : architecture],
      attention_window: new Array<number>(layers).fill(attentionWindow),
      max_position_embeddings: maxPositions + 2,
      sep_token_id: config.get('sep_token_id') ?? config.get('eos_token_id') ?? 2,
    }),
    file: deriveFile(file, entries, []),
  };
}

/**
 * BART → LED: every source that fits into one window is read as before. BART's position tables begin at row 2; LED's at 0.
 * @throws UnsupportedError for another model or scaled embeddings, ValueRangeError, ConfigError
 */
export function bartToLed(
  { config, file }: CheckpointParts,
  { attentionWindow = 1024, maxPositions = 16_384 }: ConversionOptions = {},
): CheckpointParts {
  expectModel('bartToLed', config, ['bart']);
  expectWindow(attentionWindow);
  if (config.get('scale_embedding') === true) {
    throw new UnsupportedError({
      where: 'bartToLed',
      name: 'scale_embedding',
      expected: 'false: LED does not scale its embeddings',
      got: 'true',
    });
  }
  const entries = new Map<string, Derived>();
  let targets = 0;
  for (const name of file.tensors.keys()) {
    const renamed = name.replace(/^model\./, 'led.').replace(/^(shared|encoder|decoder)\./, 'led.$1.');
    const attention = /^(led\.encoder\.layers\.\d+\.self_attn)\.(q|k|v|out)_proj(\..*)$/.exec(renamed);
    if (renamed === 'led.encoder.embed_positions.weight') {
      entries.set(renamed, { from: name, rows: tiledRows(2, file.info(name).shape[0]! - 2, maxPositions) });
    } else if (renamed === 'led.decoder.embed_positions.weight') {
      targets = file.info(name).shape[0]! - 2;
      entries.set(renamed, { from: name, rows: tiledRows(2, targets, targets) });
    } else if (attention) {
      const [, layer, projection, kind] = attention as unknown as [string, string, 'q' | 'k' | 'v' | 'out', string];
      if (projection === 'out') entries.set(`${layer}.output${kind}`, { from: name });
      else {
        const ours = `${layer}.longformer_self_attn.${{ q: 'query', k: 'key', v: 'value' }[projection]}`;
        entries.set(ours + kind, { from: name });
        entries.set(`${ours}_global${kind}`, { from: name });
      }
    } else entries.set(renamed, { from: name });
  }
  if (targets === 0) missing('decoder.embed_positions.weight');
  return {
    config: changed(config, {
      model_type: 'led',
      architectures: [architectureOf(config).replace(/^Bart/, 'LED') || 'LEDForConditionalGeneration'],
      attention_window: new Array<number>(Number(config.get('encoder_layers') ?? 12)).fill(attentionWindow),
      max_encoder_position_embeddings: maxPositions,
      max_decoder_position_embeddings: targets,
      max_position_embeddings: undefined,
    }),
    file: deriveFile(file, entries, []),
  };
}

/** Modes of the authors' code that compute what Hugging Face's Longformer computes. */
const authorsModes = new Set<unknown>(['sliding_chunks', 'tvm', 'loop']);

/**
 * A checkpoint of either layout as Hugging Face's: what it is already, or fromAuthors. layout: for those that could be both.
 * @throws ConfigError when it could be both and nobody says; as fromAuthors
 */
export function asHuggingFaces(parts: CheckpointParts, layout?: Layout): CheckpointParts {
  if ((layout ?? layoutOf(parts)) === 'authors') return fromAuthors(parts);
  // Said once, it is written down: attention_mode "longformer" is what Hugging Face writes.
  return layout === undefined ? parts : { ...parts, config: changed(parts.config, { attention_mode: 'longformer' }) };
}

/**
 * The authors' own Longformer or LED (told apart by its tensors) as Hugging Face's.
 *
 * Windows are doubled, as Hugging Face counts both sides; an LED's position tables lose the two rows that BART never reads.
 * @throws UnsupportedError for modes that compute something else; ConfigError, CheckpointError
 */
export function fromAuthors({ config, file }: CheckpointParts): CheckpointParts {
  const mode = config.get('attention_mode');
  // Without one, or with Hugging Face's word for it, somebody knows better than the file.
  if (!authorsModes.has(mode) && mode !== undefined && mode !== 'longformer') {
    throw new UnsupportedError({
      where: 'fromAuthors',
      name: 'attention_mode',
      expected: `one of ${[...authorsModes].join(', ')}`,
      got: describe(mode),
      hint: 'sliding_chunks_no_overlap sees other keys: a checkpoint trained with it cannot be run as a sliding window.',
    });
  }
  const oneSided = config.get('attention_window');
  const isCount = (value: unknown): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value > 0;
  const windows = Array.isArray(oneSided) ? oneSided : [oneSided];
  if (!windows.every(isCount)) {
    const expected = "whole numbers from 1, one for each layer: the authors' windows have one side";
    throw new ConfigError({ where: 'fromAuthors', name: 'attention_window', expected, got: describe(oneSided) });
  }
  const both = Array.isArray(oneSided) ? windows.map(window => 2 * window) : 2 * windows[0]!;
  const isLed = holdsLed(file);
  const entries = new Map<string, Derived>();
  const remarks = ["read as Hugging Face's: the authors' windows have one side and are doubled"];
  const tables: Record<string, number> = {};
  for (const name of file.tensors.keys()) {
    if (name.endsWith('position_ids')) continue;
    const renamed = isLed ? name.replace(/^model\./, 'led.') : name.replace(/^roberta\./, 'longformer.');
    const table = isLed ? /^led\.(encoder|decoder)\.embed_positions\.weight$/.exec(renamed) : null;
    if (!table) entries.set(renamed, { from: name });
    else {
      const rows = file.info(name).shape[0]! - 2;
      tables[table[1]!] = rows;
      entries.set(renamed, { from: name, rows: tiledRows(2, rows, rows) });
    }
  }
  const architecture = architectureOf(config);
  const common = { attention_window: both, attention_mode: undefined };
  const led = {
    model_type: 'led',
    architectures: [
      /QuestionAnswering|SequenceClassification/.test(architecture)
        ? architecture.replace(/^.*For/, 'LEDFor')
        : 'LEDForConditionalGeneration',
    ],
    max_encoder_position_embeddings: tables.encoder,
    max_decoder_position_embeddings: tables.decoder,
    max_position_embeddings: undefined,
  };
  const longformer = {
    model_type: 'longformer',
    architectures: [
      architecture === '' ? 'LongformerModel' : architecture.replace(/^(?:Roberta|Longformer)?/, 'Longformer'),
    ],
  };
  return {
    config: changed(config, { ...common, ...(isLed ? led : longformer) }),
    file: deriveFile(file, entries, remarks),
  };
}

/**
 * Rows first, first + 1, … of a table with `learned` rows from there on, again and again up to `wanted`. Paper §5: positions are copied.
 * @throws ValueRangeError unless whole copies fit
 */
function tiledRows(first: number, learned: number, wanted: number): number[] {
  if (learned > 0 && Number.isInteger(wanted) && wanted >= learned && wanted % learned === 0) {
    return Array.from({ length: wanted }, (_, row) => first + (row % learned));
  }
  const expected = `a multiple of the ${learned} positions of the source`;
  throw new ValueRangeError({ where: 'convert', name: 'maxPositions', expected, got: String(wanted) });
}

function expectModel(where: string, config: JsonObject, types: readonly string[]): void {
  const got = config.get('model_type');
  if (typeof got === 'string' && types.includes(got)) return;
  throw new UnsupportedError({ where, name: 'model_type', expected: types.join(' or '), got: describe(got) });
}

function expectWindow(attentionWindow: number): void {
  if (Number.isInteger(attentionWindow) && attentionWindow >= 2 && attentionWindow % 2 === 0) return;
  const expected = 'an even number >= 2: Hugging Face counts both sides';
  throw new ValueRangeError({ where: 'convert', name: 'attentionWindow', expected, got: String(attentionWindow) });
}

function missing(name: string): never {
  const got = 'nothing';
  throw new CheckpointError({
    where: 'convert',
    name,
    expected: 'to be in the checkpoint',
    got,
    reason: 'TensorNotFound',
  });
}

/** The same config with some keys set, or removed where the value is undefined. */
function changed(config: JsonObject, changes: Readonly<Record<string, unknown>>): JsonObject {
  const next = new Map(config);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) next.delete(key);
    else next.set(key, value);
  }
  return next;
}
