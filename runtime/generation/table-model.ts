/**
 * A model for tests that is a table: the logits after a token depend on the document and on that token alone.
 *
 * It keeps the promises of Decoding that generation relies on (parents, lengths, one prefill) and complains when they are broken.
 */
import type { LedConfig } from '../../contract/config.ts';
import type { EncodedSource, LedModel } from '../../contract/model.ts';
import { parseLedConfig } from '../checkpoint/parse-led-config.ts';

/** (V)(V): row = last token. */
export type Table = readonly (readonly number[])[];

export interface TableModel extends LedModel {
  /** Sources and decodings that are not disposed of. */
  readonly open: () => number;
  /** The pasts the groups had at the last step, as the parents said. */
  readonly pasts: () => readonly (readonly number[])[];
}

/** tables: one for each document, the last one for all further ones. */
export function createTableModel(tables: readonly Table[], fields: object = {}): TableModel {
  const vocabSize = tables[0]!.length;
  const config: LedConfig = parseLedConfig(
    JSON.stringify({
      model_type: 'led',
      architectures: ['LEDForConditionalGeneration'],
      vocab_size: vocabSize,
      max_encoder_position_embeddings: 32,
      max_decoder_position_embeddings: 24,
      ...fields,
    }),
  );
  let open = 0;
  let pasts: number[][] = [];
  return {
    config,
    open: () => open,
    pasts: () => pasts,
    expectInputs: () => {},
    forward: async () => [],
    async encode(documents, { onProgress } = {}) {
      open++;
      onProgress?.(1);
      return { lengths: documents.map(({ inputIds }) => inputIds!.length), dispose: () => void open-- };
    },
    startDecoding(_source: EncodedSource, groupDocuments, maxTargetLength) {
      open++;
      const groups = groupDocuments.length;
      pasts = Array.from(groupDocuments, () => []);
      const answer = async (): Promise<Float32Array> => {
        if (pasts[0]!.length > maxTargetLength)
          throw new RangeError(`${pasts[0]!.length} tokens for ${maxTargetLength}`);
        return Float32Array.from(
          pasts.flatMap((past, group) => [...(tables[groupDocuments[group]!] ?? tables.at(-1)!)[past.at(-1)!]!]),
        );
      };
      return {
        groups,
        get length() {
          return pasts[0]!.length;
        },
        prefill(tokenIds) {
          if (pasts[0]!.length > 0) throw new RangeError('prefill must be the first call');
          const n = tokenIds.length / groups;
          pasts = pasts.map((_, group) => [...tokenIds.subarray(group * n, (group + 1) * n)]);
          return answer();
        },
        step(tokenIds, parents) {
          const before = pasts;
          pasts = pasts.map((_, group) => [...before[parents?.[group] ?? group]!, tokenIds[group]!]);
          return answer();
        },
        dispose: () => void open--,
      };
    },
    dispose: () => {},
  };
}
