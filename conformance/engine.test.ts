/** What the engine promises beyond right numbers, on every kind of kernels. */
import { describe, expect, it } from 'vitest';
import { AbortedError } from '../contract/errors.ts';
import type { Kernels } from '../contract/kernels.ts';
import type { EncoderInputs, EncoderOutputs, LongformerModel } from '../contract/model.ts';
import type { Tensor } from '../contract/tensor.ts';
import { openCheckpoint } from '../runtime/checkpoint/open-node.ts';
import { createBackend } from '../runtime/engine/backend.ts';
import { createWasmKernels } from '../wasm/index.ts';
import { createKernelsOnReference } from './kernels-on-reference.ts';
import { conformanceDirectory } from './read-case.ts';

const kinds: [string, () => Promise<Kernels>][] = [
  ['reference functions', async () => createKernelsOnReference()],
  ['wasm', () => createWasmKernels({ build: 'relaxed' })],
  ['wasm-baseline', () => createWasmKernels({ build: 'baseline' })],
  ['wasm-threads', () => createWasmKernels({ threads: 3 })],
];

async function load(kernels: Kernels, name: string): Promise<LongformerModel> {
  const checkpoint = await openCheckpoint(`${conformanceDirectory()}/models/${name}`);
  try {
    return await createBackend(kernels).loadLongformer(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

/** Documents of many lengths, with and without global tokens, padding and types. */
const documents: EncoderInputs[] = [1, 4, 7, 13, 40, 9].map((length, document) => ({
  inputIds: Int32Array.from({ length }, (_, t) => (t === 0 ? 0 : 3 + ((7 * t + 5 * document) % 28))),
  attentionMask: Int32Array.from({ length }, (_, t) => Number(document !== 3 || t < 10)),
  globalAttentionMask: Int32Array.from({ length }, (_, t) => Number(document % 2 === 1 && t % 5 === 0)),
}));

const numbers = (outputs: EncoderOutputs): Record<string, number[]> =>
  Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, [...tensor.data]]));

describe.each(kinds)('engine over %s', (_, createKernels) => {
  it.each(['encoder-2-layers', 'masked-lm', 'sequence-classification', 'token-classification'])(
    '%s: a document’s result is the same bits whatever is packed beside it',
    async name => {
      const model = await load(await createKernels(), name);
      const want = { lastHiddenState: true };
      const packed = await model.forward(documents, { want });
      for (const [document, inputs] of documents.entries()) {
        const [alone] = await model.forward([inputs], { want });
        expect(numbers(packed[document]!)).toEqual(numbers(alone!));
      }
      const reversed = await model.forward(documents.toReversed(), { want });
      expect(reversed.toReversed().map(numbers)).toEqual(packed.map(numbers));
    },
  );

  it.each(['sequence-classification', 'multiple-choice', 'encoder-2-layers'])(
    '%s: computing only the rows somebody asked for changes nothing',
    async name => {
      const model = await load(await createKernels(), name);
      const whole = await model.forward(documents.slice(1), { want: { lastHiddenState: true } });
      const few = await model.forward(documents.slice(1), { want: { lastHiddenState: false } });
      expect(few.every(output => output.lastHiddenState === undefined)).toBe(true);
      const withoutStates = whole.map(({ lastHiddenState: _, ...rest }) => numbers(rest));
      expect(few.map(numbers)).toEqual(withoutStates);
    },
  );

  it('masked LM: chosen rows, and all rows as a stream, are rows of the whole', async () => {
    const model = await load(await createKernels(), 'masked-lm');
    const some = documents.slice(2, 5);
    const whole = await model.forward(some);
    const logitRows = [Int32Array.of(0, 6), Int32Array.of(), Int32Array.of(3, 17, 39)];
    const chosen = await model.forward(some, { want: { logitRows } });
    const vocabSize = model.config.vocabSize;
    for (const [document, rows] of logitRows.entries()) {
      const expected = [...rows].flatMap(row => [
        ...whole[document]!.logits!.data.slice(row * vocabSize, (row + 1) * vocabSize),
      ]);
      expect([...chosen[document]!.logits!.data]).toEqual(expected);
    }
    const streamed: number[][] = some.map(() => []);
    const outputs = await model.forward(some, {
      want: {
        logits: (document, firstRow, { data }) => {
          expect(streamed[document]!.length).toBe(firstRow * vocabSize);
          streamed[document]!.push(...data);
        },
      },
    });
    expect(outputs.every(output => output.logits === undefined)).toBe(true);
    expect(streamed).toEqual(whole.map(output => [...output.logits!.data]));
  });

  it('no documents, no outputs', async () => {
    const model = await load(await createKernels(), 'encoder-2-layers');
    expect(await model.forward([])).toEqual([]);
  });

  it('the last of the hidden states is the last hidden state, and not a copy of it', async () => {
    const model = await load(await createKernels(), 'encoder-2-layers');
    const states: unknown[] = [];
    const hiddenStates = (_document: number, layer: number, values: Tensor): void => {
      states[layer] = values;
    };
    const [output] = await model.forward([documents[4]!], { want: { hiddenStates } });
    expect(states).toHaveLength(3);
    expect(output!.lastHiddenState).toBe(states[2]);
    const [alone] = await model.forward([documents[4]!]);
    expect(numbers(output!)).toEqual(numbers(alone!));
  });

  it('an abort ends the pass within a layer; the next one is whole', async () => {
    const model = await load(await createKernels(), 'encoder-2-layers');
    const before = await model.forward(documents);
    const controller = new AbortController();
    const layers: number[] = [];
    const run = model.forward(documents, {
      signal: controller.signal,
      onProgress: done => {
        layers.push(done);
        controller.abort();
      },
    });
    await expect(run).rejects.toMatchObject({ code: 'E_ABORTED' });
    expect(layers).toEqual([0.5]);
    expect((await model.forward(documents)).map(numbers)).toEqual(before.map(numbers));
  });

  it('refuses what does not fit before it allocates anything', async () => {
    const kernels = await createKernels();
    let room = Number.POSITIVE_INFINITY;
    const model = await load(overriding(kernels, { availableBytes: () => room }), 'encoder-2-layers');
    room = 1000;
    await expect(model.forward(documents)).rejects.toThrow(
      /^longformer.forward: "documents" expected a workspace of at most 1000 bytes, got \d+ bytes for 74 tokens\.\n {2}Hint: /,
    );
  });

  it('refuses a model that is too large before it reads a weight', async () => {
    const kernels = overriding(await createKernels(), { availableBytes: () => 1000 });
    await expect(load(kernels, 'encoder-2-layers')).rejects.toThrow(
      /^engine.load: "weights" expected at most 1000 bytes \(what .* can still hold\), got \d+ bytes\.\n {2}Hint: /,
    );
  });

  it('a thousand passes leave no memory behind', async () => {
    const kernels = await createKernels();
    const model = await load(kernels, 'sequence-classification');
    await model.forward(documents.slice(0, 2));
    const room = kernels.availableBytes();
    const passes = Number.isFinite(room) ? 1000 : 20; // the reference functions are slow and have no memory of their own
    for (let pass = 0; pass < passes; pass++) await model.forward(documents.slice(0, 2));
    expect(kernels.availableBytes()).toBe(room);
  });

  it('two passes at once do not disturb each other', async () => {
    const model = await load(await createKernels(), 'encoder-2-layers');
    const [alone] = await model.forward([documents[4]!]);
    const both = await Promise.all([model.forward([documents[4]!]), model.forward(documents)]);
    expect(numbers(both[0][0]!)).toEqual(numbers(alone!));
  });
});

/** The same kernels with some methods replaced. */
function overriding(kernels: Kernels, replaced: Partial<Kernels>): Kernels {
  return new Proxy(kernels, {
    get(target, name) {
      if (Object.hasOwn(replaced, name)) return Reflect.get(replaced, name) as unknown;
      const value = Reflect.get(target, name) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe('threads', () => {
  it.each([2, 3, 5])('%d threads give the bits of one', async threads => {
    const run = async (kernels: Kernels): Promise<Record<string, number[]>[]> => {
      const model = await load(kernels, 'encoder-2-layers');
      const outputs = await model.forward(documents);
      kernels.dispose();
      return outputs.map(numbers);
    };
    expect(await run(await createWasmKernels({ threads }))).toEqual(await run(await createWasmKernels()));
  });
});

describe('an abort by another thread', () => {
  it.each([1, 2])(
    'ends the pass inside a layer with %i threads; its memory is back, and the next pass is whole',
    async threads => {
      const abortFlag = new Int32Array(new SharedArrayBuffer(4));
      const kernels = await createWasmKernels({ threads, abortFlag });
      const model = await load(kernels, 'encoder-2-layers');
      const before = await model.forward(documents);
      const room = kernels.availableBytes();
      const layers: number[] = [];
      const run = model.forward(documents, {
        want: {
          hiddenStates: (_document, layer) => {
            layers.push(layer);
            abortFlag[0] = 1; // as another thread would, while this one is anywhere
          },
        },
      });
      await expect(run).rejects.toBeInstanceOf(AbortedError);
      expect(new Set(layers)).toEqual(new Set([0]));
      expect(kernels.availableBytes()).toBe(room);
      abortFlag[0] = 0;
      expect((await model.forward(documents)).map(numbers)).toEqual(before.map(numbers));
      kernels.dispose();
    },
  );
});

describe('handles', () => {
  it('every buffer of a pass is given back, also after an abort, and all weights after dispose', async () => {
    const kernels = createKernelsOnReference();
    for (const name of [
      'masked-lm',
      'sequence-classification',
      'question-answering',
      'multiple-choice',
      'encoder-2-layers',
    ]) {
      const model = await load(kernels, name);
      const weights = kernels.liveHandles();
      const mask = { globalAttentionMask: new Int32Array(13) };
      await model.forward([{ ...documents[3]!, ...mask }]);
      expect(kernels.liveHandles()).toBe(weights);
      const aborted = model.forward([{ ...documents[3]!, ...mask }], { signal: AbortSignal.abort() });
      await expect(aborted).rejects.toMatchObject({ code: 'E_ABORTED' });
      expect(kernels.liveHandles()).toBe(weights);
      model.dispose();
      expect(kernels.liveHandles()).toBe(0);
    }
  });

  it('are refused once freed, and outputs that are inputs too', () => {
    const kernels = createKernelsOnReference();
    const rows = kernels.allocate(2, 4);
    expect(() => kernels.gatherRows(rows, rows, kernels.loadIndices(Int32Array.of(0)))).toThrow(
      'kernelsOnReference: "out" expected another buffer than the inputs, got an input.',
    );
    kernels.free(rows);
    expect(() => kernels.write(rows, new Float32Array(4))).toThrow('a freed or foreign one');
  });
});
