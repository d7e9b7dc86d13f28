/** Heads are done together, so that rows are read as they lie; nobody may see it in the numbers. Against the definition: conformance/. */
import { describe, expect, it } from 'vitest';
import type { DeviceRows, Kernels } from '../contract/kernels.ts';
import { createWasmKernels } from './index.ts';
import { randomNumbers } from './random.ts';

const builds = ['baseline', 'relaxed'] as const;

describe.each(builds)('full attention, %s', build => {
  it.each([
    // tokens, heads, features of a head, groups
    [5, 13, 4, 3],
    [67, 16, 9, 5],
    [66, 2, 41, 4],
    [130, 3, 133, 2],
    [5001, 16, 8, 6], // scores of all heads do not fit into the region of packed rows, and 16 heads not into one round
  ])(
    '%d keys, %d heads of %d, %d groups: the bits of each head and of each group alone',
    async (tokens, heads, headDim, groups) => {
      const kernels = await createWasmKernels({ build });
      const features = heads * headDim;
      const random = randomNumbers(tokens);
      const [query, key, value] = [groups, tokens, tokens].map(rows => random(rows * features)) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      const sequence = kernels.loadSequence({
        documentStarts: Int32Array.of(0),
        attentionMask: Uint8Array.from({ length: tokens }, (_, t) => Number(t % 5 !== 3)),
        globalIndices: new Int32Array(),
      });
      const attend = async (
        of: number,
        columns: (values: Float32Array) => Float32Array,
        queries = query,
      ): Promise<Float32Array> => {
        const put = (values: Float32Array): DeviceRows => write(kernels, columns(values), of * headDim);
        const rows = queries.length / features;
        const out = kernels.allocate(rows, of * headDim);
        const groupDocuments = kernels.loadIndices(new Int32Array(rows));
        const pattern = { heads: of, groups: rows, keyCount: 0, groupDocuments, causal: false };
        kernels.fullAttention(out, put(queries), put(key), put(value), sequence, pattern);
        return (await kernels.read(out, 0, rows)) as Float32Array;
      };
      const together = await attend(heads, values => values);
      for (let group = 0; group < groups; group++) {
        const row = (values: Float32Array): Float32Array => values.slice(group * features, (group + 1) * features);
        expect(await attend(heads, values => values, row(query))).toEqual(row(together));
      }
      for (let head = 0; head < heads; head++) {
        const columns = (values: Float32Array): Float32Array =>
          values.filter((_, i) => Math.floor((i % features) / headDim) === head);
        expect(columns(together)).toEqual(await attend(1, columns));
      }
      expect(together.every(Number.isFinite)).toBe(true);
      kernels.dispose();
    },
  );
});

function write(kernels: Kernels, values: Float32Array, features: number): DeviceRows {
  const rows = kernels.allocate(values.length / features, features);
  kernels.write(rows, values);
  return rows;
}
