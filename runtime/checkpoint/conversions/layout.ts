/**
 * Whose layout a checkpoint has, Hugging Face's or the authors' own, by what it holds.
 *
 * The same numbers mean other things: windows count both sides or one, an LED's position tables begin at row 0 or 2. A wrong guess would be a wrong
 * answer and no error, so signs that contradict each other are an error, and the option `layout` decides. Read next: conversions.ts.
 */
import { ConfigError } from '../../../contract/errors.ts';
import { describe, type JsonObject } from '../json-fields.ts';
import type { TensorFile } from '../safetensors.ts';

export type Layout = 'huggingface' | 'authors';

/** config.json and the tensors it describes. */
export interface CheckpointParts {
  readonly config: JsonObject;
  readonly file: TensorFile;
}

/** What the config says: Hugging Face writes "longformer", and reads nothing of it; the authors write the name of an implementation. */
export function layoutOfConfig(config: JsonObject): Layout | undefined {
  const mode = config.get('attention_mode');
  if (mode === undefined) return undefined;
  return mode === 'longformer' ? 'huggingface' : 'authors';
}

/** Both LEDs name the projections of the encoder's attention like this, and nothing else does. */
export const holdsLed = (file: TensorFile): boolean =>
  [...file.tensors.keys()].some(name => name.includes('.self_attn.longformer_self_attn.'));

/** @throws ConfigError when what it holds and what its config says contradict each other, or leave it open */
export function layoutOf({ config, file }: CheckpointParts): Layout {
  const said = layoutOfConfig(config);
  const mode = `attention_mode ${said === undefined ? 'missing' : describe(config.get('attention_mode'))}`;
  if (holdsLed(file)) {
    const shown = layoutOfTables(config, file);
    if (said === undefined || shown === undefined || said === shown) return said ?? shown ?? 'huggingface';
    return ambiguous(
      `${mode}, and position tables with ${shown === 'authors' ? 'two rows more than' : 'the rows'} config.json says`,
    );
  }
  const names = [...file.tensors.keys()].filter(name => name.endsWith('.attention.self.query_global.weight'));
  const begins = (prefix: string): boolean => names.some(name => name.startsWith(prefix));
  if (said === 'authors' && begins('longformer.')) ambiguous(`${mode}, and tensors named longformer.…`);
  if (said === undefined && begins('roberta.')) ambiguous(`${mode}, and tensors named roberta.…`);
  return said ?? 'huggingface';
}

/** What the position tables of an LED show; nothing when they agree with neither. */
function layoutOfTables(config: JsonObject, file: TensorFile): Layout | undefined {
  const extra = (['encoder', 'decoder'] as const).map(side => {
    const table = [...file.tensors.values()].find(({ name }) => name.endsWith(`${side}.embed_positions.weight`));
    return Number(table?.shape[0]) - Number(config.get(`max_${side}_position_embeddings`));
  });
  if (extra.every(rows => rows === 2)) return 'authors';
  return extra.every(rows => rows === 0) ? 'huggingface' : undefined;
}

function ambiguous(got: string): never {
  throw new ConfigError({
    where: 'openCheckpoint',
    name: 'layout',
    expected: "signs of one layout, Hugging Face's or the authors'",
    got,
    hint:
      "say which it is with the option layout: 'huggingface' (windows of both sides, positions from row 0) or 'authors' (windows of one side, " +
      'positions of an LED from row 2). longformer convert --layout writes it down.',
  });
}
