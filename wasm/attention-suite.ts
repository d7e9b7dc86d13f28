/**
 * Local and global attention, each alone against plain loops, for any kernels: attention.test.ts runs this on WebAssembly,
 * conformance/webgpu-kernels.test.ts on a GPU.
 */
import { describe, expect, it } from 'vitest';
import type { BandPattern, DeviceIndices, Kernels, SequenceRoles } from '../contract/kernels.ts';
import { addValues, documentOf, linear, localKeys, probabilitiesOf } from './dumb-loops.ts';
import { randomNumbers } from './random.ts';

interface Case {
  readonly name: string;
  readonly lengths: readonly number[];
  readonly heads: number;
  readonly headDim: number;
  readonly window: number;
  readonly dilation?: readonly number[];
  readonly causal?: boolean;
  readonly globals?: readonly number[] | 'all';
  readonly padding?: readonly number[];
}

const cases: Case[] = [
  { name: 'one token', lengths: [1], heads: 1, headDim: 1, window: 1 },
  { name: 'one global token alone', lengths: [1], heads: 2, headDim: 4, window: 1, globals: [0] },
  { name: 'nothing special', lengths: [50], heads: 2, headDim: 8, window: 4 },
  { name: 'window of nobody else', lengths: [20], heads: 1, headDim: 4, window: 0 },
  { name: 'window wider than the document', lengths: [13], heads: 1, headDim: 8, window: 100, globals: [2] },
  { name: 'window far wider than any document', lengths: [9], heads: 1, headDim: 8, window: 2 ** 31, globals: [2] },
  { name: 'odd head', lengths: [33], heads: 3, headDim: 5, window: 6, globals: [0, 20] },
  { name: 'head of 3', lengths: [33], heads: 3, headDim: 3, window: 6, globals: [0, 20] },
  { name: 'head in pieces', lengths: [40], heads: 2, headDim: 150, window: 6, globals: [0, 20], padding: [3] },
  { name: 'padding', lengths: [29], heads: 2, headDim: 8, window: 4, globals: [1], padding: [0, 9, 10, 27, 28] },
  { name: 'all global', lengths: [19], heads: 2, headDim: 8, window: 4, globals: 'all' },
  {
    name: 'dilation',
    lengths: [61],
    heads: 3,
    headDim: 8,
    window: 5,
    dilation: [1, 3, 7],
    globals: [30],
    padding: [11],
  },
  { name: 'dilation longer than the document', lengths: [7], heads: 1, headDim: 8, window: 2, dilation: [50] },
  { name: 'causal', lengths: [45], heads: 2, headDim: 8, window: 5, causal: true, globals: [7, 40], padding: [8] },
  {
    name: 'causal and dilated',
    lengths: [45],
    heads: 2,
    headDim: 8,
    window: 5,
    dilation: [2, 3],
    causal: true,
    globals: [7],
  },
  {
    name: 'packed',
    lengths: [17, 1, 40, 8],
    heads: 2,
    headDim: 8,
    window: 5,
    dilation: [1, 2],
    globals: [0, 18, 30, 57],
    padding: [16, 65],
  },
  { name: 'more than a block of keys', lengths: [1100], heads: 1, headDim: 16, window: 300, globals: [0, 600] },
  { name: 'more global tokens than a tile', lengths: [120], heads: 2, headDim: 32, window: 9, globals: range(3, 30) },
  { name: 'very many global tokens', lengths: [90], heads: 2, headDim: 4, window: 3, globals: range(0, 40) },
  {
    name: 'very many global tokens, packed and causal',
    lengths: [50, 40],
    heads: 3,
    headDim: 5,
    window: 3,
    causal: true,
    globals: [...range(5, 25), ...range(50, 80)],
    padding: [3, 49, 85],
  },
];

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

/** Row at which each document begins when they are packed. */
function startsOf(lengths: readonly number[]): Int32Array {
  const starts = new Int32Array(lengths.length);
  for (let i = 1; i < lengths.length; i++) starts[i] = starts[i - 1]! + lengths[i - 1]!;
  return starts;
}

function rolesOf({ lengths, globals = [], padding = [] }: Case): SequenceRoles {
  const length = lengths.reduce((sum, n) => sum + n, 0);
  const attentionMask = new Uint8Array(length).fill(1);
  for (const row of padding) attentionMask[row] = 0;
  const documentStarts = startsOf(lengths);
  return {
    documentStarts,
    attentionMask,
    globalIndices: Int32Array.from(globals === 'all' ? range(0, length) : globals),
  };
}

const bandOf = ({ heads, window, dilation, causal = false }: Case): BandPattern => ({
  heads,
  oneSidedWindow: window,
  dilation: dilation ?? new Array<number>(heads).fill(1),
  causal,
});

/** NaN everywhere, so that what nobody wrote shows. */
function allocateNaN(kernels: Kernels, rows: number, features: number) {
  const handle = kernels.allocate(rows, features);
  kernels.write(handle, new Float32Array(rows * features).fill(Number.NaN));
  return handle;
}

function load(kernels: Kernels, rows: number, values: Float32Array) {
  const handle = kernels.allocate(rows, values.length / rows);
  kernels.write(handle, values);
  return handle;
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, allowed: number): void {
  expect(actual.length).toBe(expected.length);
  let error = 0;
  for (let i = 0; i < expected.length; i++) {
    const here = Math.abs(actual[i]! - expected[i]!);
    if (!(here <= error)) error = here;
  }
  expect(error).toBeLessThan(allowed);
}

/** Inputs of one case: rows (T, C), peaked enough that a wrong key shows. */
function inputsOf(test: Case) {
  const random = randomNumbers(test.name.length);
  const roles = rolesOf(test);
  const length = roles.attentionMask.length;
  const hiddenSize = test.heads * test.headDim;
  const [query, key, value] = [2, 2, 1].map(scale => random(length * hiddenSize, scale)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  // Rows of padding are nobody's business: not even NaN may leak out of them.
  for (let i = 0; i < length; i++) {
    if (roles.attentionMask[i]) continue;
    for (const rows of [query, key, value]) rows.fill(Number.NaN, i * hiddenSize, (i + 1) * hiddenSize);
  }
  return { random, roles, band: bandOf(test), length, hiddenSize, query, key, value };
}

export interface SuiteOptions {
  readonly createKernels: () => Promise<Kernels>;
  /**
   * How far results may lie from those of other rows, or of the same document beside others. 0: the same bits, as backends on the
   * CPU promise.
   */
  readonly tolerance: number;
}

export function describeAttention({ createKernels, tolerance }: SuiteOptions): void {
  const expectSame = (actual: Float32Array, expected: Float32Array): void => {
    if (tolerance === 0) expect(actual).toEqual(expected);
    else expectClose(actual, expected, tolerance);
  };

  describe.each(cases)('local attention: $name', test => {
    const { roles, band, length, hiddenSize, query, key, value } = inputsOf(test);
    const isGlobal = new Set(roles.globalIndices);
    const isLocal = (i: number): boolean => roles.attentionMask[i] === 1 && !isGlobal.has(i);
    // A window of 2³¹ keys is for the kernel; the loops stop at the document.
    const finite = { ...band, oneSidedWindow: Math.min(band.oneSidedWindow, length) };

    const run = async (rows?: number[]): Promise<Float32Array> => {
      const kernels = await createKernels();
      const wanted = rows ?? range(0, length);
      const queries = new Float32Array(wanted.length * hiddenSize);
      wanted.forEach((row, i) => {
        queries.set(query.subarray(row * hiddenSize, (row + 1) * hiddenSize), i * hiddenSize);
      });
      const out = allocateNaN(kernels, wanted.length, hiddenSize);
      kernels.slidingWindowAttention(
        out,
        load(kernels, wanted.length, queries),
        load(kernels, length, key),
        load(kernels, length, value),
        kernels.loadSequence(roles),
        band,
        rows === undefined ? undefined : kernels.loadIndices(Int32Array.from(rows)),
      );
      return (await kernels.read(out, 0, wanted.length)) as Float32Array;
    };

    it('is the softmax over band and global keys', async () => {
      const expected = new Float64Array(length * hiddenSize);
      for (let head = 0; head < band.heads; head++) {
        for (let i = 0; i < length; i++) {
          if (!isLocal(i)) continue;
          const keys = localKeys(i, head, roles, finite);
          const probabilities = probabilitiesOf(query, i, key, keys, head, band.heads, hiddenSize);
          addValues(expected, i, value, keys, probabilities, head, band.heads, hiddenSize);
        }
      }
      const result = await run();
      for (const row of roles.globalIndices) result.fill(0, row * hiddenSize, (row + 1) * hiddenSize);
      expectClose(result, expected, 2e-6);
    });

    it('is the same for any choice of rows', async () => {
      const all = await run();
      const tenth = range(0, length).filter(i => i % 10 === 3 || i === length - 1);
      for (const rows of [[0], [length - 1], tenth, range(length >> 1, length)]) {
        const part = await run(rows);
        rows.forEach((row, i) => {
          if (isGlobal.has(row)) return;
          const expected = all.slice(row * hiddenSize, (row + 1) * hiddenSize);
          expectSame(part.slice(i * hiddenSize, (i + 1) * hiddenSize), expected);
        });
      }
    });

    it.each(test.lengths.map((_, document) => document))('gives the probabilities of document %i', async document => {
      if (test.window > 1000) return; // columns for every key of the window
      const kernels = await createKernels();
      const [start, end] = documentOf(roles.documentStarts[document]!, roles);
      const tokens = end - start;
      const globals = roles.globalIndices.filter(j => j >= start && j < end).length;
      const columns = globals + 2 * band.oneSidedWindow + 1;
      const out = allocateNaN(kernels, band.heads * tokens, columns);
      kernels.slidingWindowProbabilities(
        out,
        load(kernels, length, query),
        load(kernels, length, key),
        kernels.loadSequence(roles),
        band,
        document,
      );
      const expected = new Float64Array(band.heads * tokens * columns);
      for (let head = 0; head < band.heads; head++) {
        for (let i = start; i < end; i++) {
          if (!isLocal(i)) continue;
          const keys = localKeys(i, head, roles, band);
          const row = probabilitiesOf(query, i, key, keys, head, band.heads, hiddenSize);
          expected.set(row, (head * tokens + i - start) * columns);
        }
      }
      expectClose(await kernels.read(out, 0, band.heads * tokens), expected, 1e-6);
    });
  });

  describe.each(cases.filter(({ globals }) => globals !== undefined))('global attention: $name', test => {
    const { random, roles, band, length, hiddenSize, query: hidden } = inputsOf(test);
    const { globalIndices } = roles;
    const { heads, causal } = band;
    const scale = 1 / Math.sqrt(hiddenSize);
    const [wk, wv] = [0, 1].map(() => random(hiddenSize * hiddenSize, 2 * scale)) as [Float32Array, Float32Array];
    const [bk, bv] = [0, 1].map(() => random(hiddenSize)) as [Float32Array, Float32Array];
    const query = random(globalIndices.length * hiddenSize, 2);
    const square = [hiddenSize, hiddenSize];

    const prepare = async () => {
      const kernels = await createKernels();
      return {
        kernels,
        queries: load(kernels, globalIndices.length, query),
        states: load(kernels, length, hidden),
        keyProjection: kernels.loadLinear({ shape: square, data: wk }, { shape: [hiddenSize], data: bk }),
        valueProjection: kernels.loadLinear({ shape: square, data: wv }, { shape: [hiddenSize], data: bv }),
        sequence: kernels.loadSequence(roles),
      };
    };
    const keysOf = (row: number): number[] => {
      const [start, end] = documentOf(row, roles);
      return range(start, end).map(j => (roles.attentionMask[j] === 1 && (!causal || j <= row) ? j : -1));
    };

    it('is the softmax over the real tokens of the document', async () => {
      const { kernels, queries, states, keyProjection, valueProjection, sequence } = await prepare();
      const key = linear(hidden, wk, bk, hiddenSize);
      const value = linear(hidden, wv, bv, hiddenSize);
      // Slot s goes to row 2 s: the rows between stay as they were.
      const rows = 2 * globalIndices.length;
      const outRows: DeviceIndices = kernels.loadIndices(globalIndices.map((_, s) => 2 * s));
      const out = allocateNaN(kernels, rows, hiddenSize);
      kernels.globalAttention(out, queries, states, keyProjection, valueProjection, sequence, heads, causal, outRows);
      const result = await kernels.read(out, 0, rows);
      globalIndices.forEach((row, s) => {
        const expected = new Float64Array(hiddenSize);
        for (let head = 0; head < heads; head++) {
          const keys = keysOf(row);
          const probabilities = probabilitiesOf(query, s, key, keys, head, heads, hiddenSize);
          addValues(expected, 0, value, keys, probabilities, head, heads, hiddenSize);
        }
        expectClose(result.subarray(2 * s * hiddenSize, (2 * s + 1) * hiddenSize), expected, 4e-6);
        expect(result.subarray((2 * s + 1) * hiddenSize, (2 * s + 2) * hiddenSize).every(Number.isNaN)).toBe(true);
      });
    });

    it('gives its probabilities', async () => {
      const { kernels, queries, states, keyProjection, sequence } = await prepare();
      const key = linear(hidden, wk, bk, hiddenSize);
      for (const document of test.lengths.keys()) {
        const [start, end] = documentOf(roles.documentStarts[document]!, roles);
        const slots = [...globalIndices.keys()].filter(s => globalIndices[s]! >= start && globalIndices[s]! < end);
        if (slots.length === 0) continue;
        const out = allocateNaN(kernels, heads * slots.length, end - start);
        kernels.globalProbabilities(out, queries, states, keyProjection, sequence, heads, causal, document);
        const expected = range(0, heads).flatMap(head =>
          slots.flatMap(s => probabilitiesOf(query, s, key, keysOf(globalIndices[s]!), head, heads, hiddenSize)),
        );
        expectClose(await kernels.read(out, 0, heads * slots.length), expected, 2e-6);
      }
    });
  });

  it('gives a document the same alone and packed beside others', async () => {
    const heads = 2;
    const hiddenSize = 32;
    const random = randomNumbers(5);
    const lengths = [23, 1, 150, 40];
    const globals = [[0, 3], [], range(0, 20), [39]];
    const band: BandPattern = { heads, oneSidedWindow: 9, dilation: [1, 2], causal: false };
    const documents = lengths.map(length => [2, 2, 1].map(scale => random(length * hiddenSize, scale)));
    const [wk, wv, bias] = [random(hiddenSize ** 2, 0.3), random(hiddenSize ** 2, 0.3), random(hiddenSize)] as const;

    const run = async (members: readonly number[]): Promise<Float32Array> => {
      const kernels = await createKernels();
      const length = members.reduce((sum, document) => sum + lengths[document]!, 0);
      const [query, key, value] = [0, 1, 2].map(part => {
        const rows = new Float32Array(length * hiddenSize);
        let at = 0;
        for (const document of members) {
          rows.set(documents[document]![part]!, at);
          at += documents[document]![part]!.length;
        }
        return load(kernels, length, rows);
      }) as [never, never, never];
      const documentStarts = startsOf(members.map(document => lengths[document]!));
      const globalIndices = Int32Array.from(
        members.flatMap((document, i) => globals[document]!.map(row => documentStarts[i]! + row)),
      );
      const roles = { documentStarts, attentionMask: new Uint8Array(length).fill(1), globalIndices };
      const sequence = kernels.loadSequence(roles);
      const out = allocateNaN(kernels, length, hiddenSize);
      kernels.slidingWindowAttention(out, query, key, value, sequence, band);
      if (globalIndices.length > 0) {
        const load2 = (data: Float32Array) =>
          kernels.loadLinear({ shape: [hiddenSize, hiddenSize], data }, { shape: [hiddenSize], data: bias });
        const rows = kernels.loadIndices(globalIndices);
        const queries = kernels.allocate(globalIndices.length, hiddenSize);
        kernels.gatherRows(queries, query, rows);
        kernels.globalAttention(out, queries, value, load2(wk), load2(wv), sequence, heads, false, rows);
      }
      return (await kernels.read(out, 0, length)) as Float32Array;
    };

    const alone = await Promise.all(lengths.map((_, document) => run([document])));
    for (const members of [
      [0, 1, 2, 3],
      [3, 2],
      [1, 0, 1, 2, 0],
    ]) {
      const packed = await run(members);
      let at = 0;
      for (const document of members) {
        const expected = alone[document]!;
        expectSame(packed.slice(at, at + expected.length), expected);
        at += expected.length;
      }
    }
  });
}
