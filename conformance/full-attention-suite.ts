/**
 * Attention of a decoder, for any kernels, against the definition: its own cache step by step, and packed sources.
 *
 * full-attention.test.ts runs this on everything Node has, browser-gpujs.test.ts on WebGL2.
 */
import { describe, expect, it } from 'vitest';
import type { DeviceRows, Kernels } from '../contract/kernels.ts';
import type { Tensor64 } from '../contract/tensor.ts';
import { gatherRows } from '../reference/1-operations.ts';
import { denseAttention } from '../reference/3-dense-attention.ts';
import { randomTensor, seededRandom } from '../reference/random.ts';

export interface FullAttentionKind {
  readonly name: string;
  readonly tolerance: number;
  readonly createKernels: () => Promise<Kernels>;
}

/** heads, features of a head (odd ones too), groups. */
const shapes = [
  [1, 4, 1],
  [2, 5, 3],
  [3, 16, 4],
  [2, 131, 2],
] as const;

/** Values that float32 holds exactly. */
const exact = (tensor: Tensor64): Tensor64 => ({ ...tensor, data: tensor.data.map(Math.fround) });

export function describeFullAttention({ name, tolerance, createKernels }: FullAttentionKind): void {
  describe(`fullAttention of ${name}`, () => {
    const put = (kernels: Kernels, { shape, data }: Tensor64): DeviceRows => {
      const rows = kernels.allocate(shape[0]!, shape[1]!);
      kernels.write(rows, data);
      return rows;
    };

    async function expectRows(
      kernels: Kernels,
      out: DeviceRows,
      expected: readonly (readonly [number, Float64Array])[],
    ): Promise<void> {
      const actual = await kernels.read(out, 0, out.rows);
      for (const [row, values] of expected) {
        for (const [f, value] of values.entries()) {
          expect(Math.abs(actual[row * out.features + f]! - value), `row ${row}, feature ${f}`).toBeLessThanOrEqual(
            tolerance,
          );
        }
      }
    }

    it.each(shapes)(
      'own cache: %d heads of %d, %d groups; a prompt at once, then step by step',
      async (heads, headDim, groups) => {
        const kernels = await createKernels();
        const random = seededRandom(heads * headDim);
        const features = heads * headDim;
        const cache = 19; // positions there is room for; the last ones are never written
        const [key, value] = [1, 2].map(() => exact(randomTensor(random, [cache * groups, features], 2))) as [
          Tensor64,
          Tensor64,
        ];
        for (const row of [17, 18]) {
          for (const tensor of [key, value])
            tensor.data.fill(Number.NaN, row * groups * features, (row + 1) * groups * features);
        }
        const [deviceKey, deviceValue] = [put(kernels, key), put(kernels, value)];
        for (const [positions, keyCount] of [
          [5, 5],
          [1, 6],
          [1, 17],
          [3, 17],
        ] as const) {
          const query = exact(randomTensor(random, [positions * groups, features], 2));
          const out = kernels.allocate(positions * groups, features);
          const pattern = { heads, groups, keyCount, groupDocuments: null, causal: true };
          kernels.fullAttention(out, put(kernels, query), deviceKey, deviceValue, null, pattern);
          for (let group = 0; group < groups; group++) {
            const rows = (count: number): number[] =>
              Array.from({ length: count }, (_, position) => position * groups + group);
            const [q, k, v] = [
              gatherRows(query, rows(positions)),
              gatherRows(key, rows(keyCount)),
              gatherRows(value, rows(keyCount)),
            ];
            const { attended } = denseAttention(q, k, v, heads, (i, j) => j <= keyCount - positions + i);
            const expected = rows(positions).map(
              (row, i) => [row, attended.data.slice(i * features, (i + 1) * features)] as const,
            );
            await expectRows(kernels, out, expected);
          }
        }
        kernels.dispose();
      },
    );

    it.each(shapes)(
      'packed sources: %d heads of %d, %d groups; padding is not seen',
      async (heads, headDim, groups) => {
        const kernels = await createKernels();
        const random = seededRandom(100 + heads * headDim);
        const features = heads * headDim;
        const documentStarts = Int32Array.of(0, 7, 8); // 7, 1 and 13 rows; the second is nothing but padding
        const attentionMask = Uint8Array.from({ length: 21 }, (_, t) => Number(t !== 3 && t !== 7 && t < 19));
        const sequence = kernels.loadSequence({ documentStarts, attentionMask, globalIndices: Int32Array.of(0, 9) });
        const groupDocuments = Int32Array.from({ length: groups }, (_, group) => (group + 2) % 3);
        const positions = 2;
        const [key, value] = [1, 2].map(() => exact(randomTensor(random, [21, features], 2))) as [Tensor64, Tensor64];
        const query = exact(randomTensor(random, [positions * groups, features], 2));
        const out = kernels.allocate(positions * groups, features);
        kernels.fullAttention(out, put(kernels, query), put(kernels, key), put(kernels, value), sequence, {
          heads,
          groups,
          keyCount: 0,
          groupDocuments: kernels.loadIndices(groupDocuments),
          causal: false,
        });
        const { attended } = denseAttention(query, key, value, heads, (row, j) => {
          const document = groupDocuments[row % groups]!;
          return attentionMask[j] === 1 && j >= documentStarts[document]! && j < (documentStarts[document + 1] ?? 21);
        });
        const expected = Array.from(
          { length: positions * groups },
          (_, row) => [row, attended.data.slice(row * features, (row + 1) * features)] as const,
        );
        await expectRows(kernels, out, expected);
        kernels.dispose();
      },
    );

    it('a source of 40,000 tokens: beams share it, and the last token counts', async () => {
      if (tolerance < 1e-9) return; // the reference functions would take minutes
      const kernels = await createKernels();
      const [tokens, features, groups] = [40_000, 4, 5];
      const random = seededRandom(7);
      const [key, value] = [1, 2].map(() => exact(randomTensor(random, [tokens, features], 1))) as [Tensor64, Tensor64];
      const query = exact(randomTensor(random, [groups, features], 1));
      const sequence = kernels.loadSequence({
        documentStarts: Int32Array.of(0),
        attentionMask: new Uint8Array(tokens).fill(1),
        globalIndices: new Int32Array(),
      });
      const out = kernels.allocate(groups, features);
      const groupDocuments = kernels.loadIndices(new Int32Array(groups));
      const pattern = { heads: 1, groups, keyCount: 0, groupDocuments, causal: false };
      kernels.fullAttention(out, put(kernels, query), put(kernels, key), put(kernels, value), sequence, pattern);
      const { attended } = denseAttention(query, key, value, 1, () => true);
      const expected = Array.from(
        { length: groups },
        (_, row) => [row, attended.data.slice(row * features, (row + 1) * features)] as const,
      );
      await expectRows(kernels, out, expected);
      kernels.dispose();
    });

    it.each(shapes)('probabilities: %d heads of %d, %d groups', async (heads, headDim, groups) => {
      const kernels = await createKernels();
      const random = seededRandom(200 + heads * headDim);
      const features = heads * headDim;
      const positions = 3;
      const query = exact(randomTensor(random, [positions * groups, features], 2));
      const group = groups - 1;
      const rows = (count: number): number[] =>
        Array.from({ length: count }, (_, position) => position * groups + group);

      const keyCount = 9;
      const cache = exact(randomTensor(random, [11 * groups, features], 2));
      const documentStarts = Int32Array.of(0, 4);
      const attentionMask = Uint8Array.of(1, 1, 0, 1, 0, 1, 1, 0, 1);
      const packed = exact(randomTensor(random, [9, features], 2));
      const sequence = kernels.loadSequence({ documentStarts, attentionMask, globalIndices: new Int32Array() });
      const groupDocuments = kernels.loadIndices(new Int32Array(groups).fill(1));

      const kinds = [
        {
          key: cache,
          keys: rows(keyCount),
          sequence: null,
          pattern: { heads, groups, keyCount, groupDocuments: null, causal: true },
          sees: (i: number, j: number) => j <= keyCount - positions + i,
        },
        {
          key: packed,
          keys: [4, 5, 6, 7, 8],
          sequence,
          pattern: { heads, groups, keyCount: 0, groupDocuments, causal: false },
          sees: (_: number, j: number) => attentionMask[4 + j] === 1,
        },
        {
          // A target with padding, packed like a source: the first query sees keys 0, 1 and 2, the first of which is padding.
          key: packed,
          keys: [4, 5, 6, 7, 8],
          sequence,
          pattern: { heads, groups, keyCount: 0, groupDocuments, causal: true },
          sees: (i: number, j: number) => attentionMask[4 + j] === 1 && j <= 5 - positions + i,
        },
      ];
      for (const { key, keys, sequence: known, pattern, sees } of kinds) {
        const out = kernels.allocate(heads * positions, keys.length + 2);
        kernels.write(out, new Float32Array(heads * positions * (keys.length + 2)).fill(7));
        kernels.fullProbabilities(out, put(kernels, query), put(kernels, key), known, pattern, group);
        const [q, k] = [gatherRows(query, rows(positions)), gatherRows(key, keys)];
        const { probs } = denseAttention(q, k, k, heads, sees);
        const wide = Array.from({ length: heads * positions }, (_, row) => {
          const own = probs.data.slice(row * keys.length, (row + 1) * keys.length);
          return [row, Float64Array.of(...own, 7, 7)] as const;
        });
        await expectRows(kernels, out, wide);
      }
      kernels.dispose();
    });
  });
}
