/** What the engine promises about LED beyond right numbers, on every kind of kernels. */
import { describe, expect, it } from 'vitest';
import type { Kernels } from '../contract/kernels.ts';
import type { EncoderInputs, LedInputs, LedModel, LedOutputs } from '../contract/model.ts';
import { openLedCheckpoint } from '../runtime/checkpoint/open-node.ts';
import { createBackend } from '../runtime/engine/backend.ts';
import { generate } from '../runtime/generation/generate.ts';
import { createWasmKernels } from '../wasm/index.ts';
import { createKernelsOnReference } from './kernels-on-reference.ts';
import { conformanceDirectory } from './read-case.ts';

const kinds: [string, number, () => Promise<Kernels>][] = [
  ['reference functions', 1e-12, async () => createKernelsOnReference()],
  ['wasm', 1e-4, () => createWasmKernels({ build: 'relaxed' })],
  ['wasm-baseline', 1e-4, () => createWasmKernels({ build: 'baseline' })],
  ['wasm-threads', 1e-4, () => createWasmKernels({ threads: 3 })],
];

async function load(kernels: Kernels, name = 'led-lm'): Promise<LedModel> {
  const checkpoint = await openLedCheckpoint(`${conformanceDirectory()}/models/${name}`);
  try {
    return await createBackend(kernels).loadLed(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

const idsOf = (length: number, seed: number): Int32Array =>
  Int32Array.from({ length }, (_, t) => (t === 0 ? 0 : 3 + ((7 * t + 11 * seed) % 30)));

/** Sources of many lengths, with and without global tokens and padding. */
const sources: EncoderInputs[] = [1, 7, 13, 40, 9].map((length, document) => ({
  inputIds: idsOf(length, document),
  attentionMask: Int32Array.from({ length }, (_, t) => Number(document !== 2 || t < 10)),
  globalAttentionMask: Int32Array.from({ length }, (_, t) => Number(document % 2 === 1 && t % 5 === 0)),
}));
const targets: LedInputs[] = sources.map((source, document) => ({
  ...source,
  decoderInputIds: Int32Array.of(2, ...idsOf(2 + 3 * document, document + 9)),
}));

const numbers = (outputs: LedOutputs): Record<string, number[]> =>
  Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, [...tensor.data]]));

describe.each(kinds)('LED over %s', (_, tolerance, createKernels) => {
  it.each(['led-lm', 'led-lm-untied', 'led-question-answering', 'led'])(
    '%s: a document’s result is the same bits whatever is packed beside it',
    async name => {
      const model = await load(await createKernels(), name);
      const packed = await model.forward(targets);
      for (const [document, inputs] of targets.entries()) {
        const [alone] = await model.forward([inputs]);
        expect(numbers(packed[document]!)).toEqual(numbers(alone!));
      }
    },
  );

  it('steps with a cache are the whole without one, whether the prompt is long or short', async () => {
    const model = await load(await createKernels());
    const { vocabSize } = model.config;
    const [whole] = await model.forward([targets[4]!]);
    const ids = targets[4]!.decoderInputIds!; // 15 tokens
    const source = await model.encode([sources[4]!]);
    for (const prompt of [1, 2, 14]) {
      const decoding = model.startDecoding(source, Int32Array.of(0), ids.length);
      let logits = await decoding.prefill(ids.subarray(0, prompt));
      for (let t = prompt; ; t++) {
        const expected = whole!.logits!.data.subarray((t - 1) * vocabSize, t * vocabSize);
        for (const [v, logit] of logits.entries()) expect(Math.abs(logit - expected[v]!)).toBeLessThan(tolerance);
        expect(decoding.length).toBe(t);
        if (t === ids.length) break;
        logits = await decoding.step(ids.subarray(t, t + 1), null);
      }
      decoding.dispose();
    }
  });

  it('groups side by side, each with its own source and past, give the bits they give alone', async () => {
    const model = await load(await createKernels());
    const { vocabSize } = model.config;
    const source = await model.encode(sources);
    const documents = Int32Array.of(3, 3, 1, 4, 4, 4, 4, 4, 0);
    const pasts = Array.from(documents, (_, group) => [2, ...idsOf(8, group)]);
    const run = async (groups: readonly number[], prompt: number): Promise<number[][][]> => {
      const decoding = model.startDecoding(
        source,
        Int32Array.from(groups, group => documents[group]!),
        9,
      );
      const at = (from: number, to: number): Int32Array =>
        Int32Array.from(groups.flatMap(group => pasts[group]!.slice(from, to)));
      const steps: number[][][] = [];
      const cut = (logits: Float32Array | Float64Array): number[][] =>
        groups.map((_, i) => [...logits.slice(i * vocabSize, (i + 1) * vocabSize)]);
      steps.push(cut(await decoding.prefill(at(0, prompt))));
      for (let t = prompt; t < 9; t++) steps.push(cut(await decoding.step(at(t, t + 1), null)));
      decoding.dispose();
      return steps;
    };
    const together = await run([...documents.keys()], 1);
    for (const group of documents.keys()) {
      expect((await run([group], 1)).map(([logits]) => logits)).toEqual(together.map(logits => logits[group]));
    }
    // Nine groups make blocks of seven positions of a prompt: one block and a rest.
    expect((await run([...documents.keys()], 8)).at(-1)).toEqual(together.at(-1));
  });

  it('a beam goes on from the past of its parent', async () => {
    const model = await load(await createKernels());
    const source = await model.encode([sources[3]!]);
    const alone = async (...ids: number[]): Promise<number[]> => {
      const decoding = model.startDecoding(source, Int32Array.of(0), 24);
      await decoding.prefill(Int32Array.of(2));
      let logits: Float32Array | Float64Array = new Float32Array();
      for (const id of ids) logits = await decoding.step(Int32Array.of(id), null);
      decoding.dispose();
      return [...logits];
    };
    const decoding = model.startDecoding(source, Int32Array.of(0, 0, 0), 24);
    let pasts: number[][] = [[], [], []];
    await decoding.prefill(Int32Array.of(2, 2, 2));
    // Past 16 positions, where caches are gathered in longer pieces.
    for (let t = 0; t < 20; t++) {
      const parents = [t % 3, (t * t) % 3, 2];
      const tokens = [3 + t, 4 + ((5 * t) % 30), 7];
      pasts = parents.map((parent, beam) => [...pasts[parent]!, tokens[beam]!]);
      const logits = await decoding.step(Int32Array.from(tokens), Int32Array.from(parents));
      if (t % 6 !== 5 && t !== 19) continue;
      const rows = pasts.map((_, beam) => [...logits.slice(beam * 40, (beam + 1) * 40)]);
      for (const [beam, past] of pasts.entries()) expect(rows[beam]).toEqual(await alone(...past));
    }
  });

  it('an abort ends encoding within a layer', async () => {
    const model = await load(await createKernels());
    const controller = new AbortController();
    const shares: number[] = [];
    const run = model.encode(sources, {
      signal: controller.signal,
      onProgress(done) {
        shares.push(done);
        controller.abort();
      },
    });
    await expect(run).rejects.toMatchObject({
      code: 'E_ABORTED',
      message: 'led.encode: "signal" expected to finish, got an abort.',
    });
    expect(shares).toEqual([0.25]); // two layers of the encoder, keys and values for two of the decoder
  });

  it('two hundred texts leave no memory behind', async () => {
    const kernels = await createKernels();
    const model = await load(kernels);
    const write = (): Promise<unknown> => generate(model, sources.slice(1, 3), { numBeams: 3, maxLength: 6 });
    await write();
    const room = kernels.availableBytes();
    const times = Number.isFinite(room) ? 200 : 5; // the reference functions are slow and have no memory of their own
    for (let i = 0; i < times; i++) await write();
    expect(kernels.availableBytes()).toBe(room);
  });

  it.each([1, 3])('an abort at any moment gives all memory back, %d beams; the next text is whole', async numBeams => {
    const kernels = await createKernels();
    const model = await load(kernels);
    const write = (stopAt: number): Promise<unknown> => {
      const controller = new AbortController();
      let moment = 0;
      const onProgress = (): void => {
        if (moment++ === stopAt) controller.abort();
      };
      const options = { numBeams, maxLength: 6, minLength: 6, signal: controller.signal, onProgress };
      return generate(model, sources.slice(1, 3), options);
    };
    const whole = await write(Number.POSITIVE_INFINITY);
    const room = kernels.availableBytes();
    let stopped = 0;
    for (; ; stopped++) {
      const result = await write(stopped).catch((error: { code: string }) => error.code);
      expect(kernels.availableBytes()).toBe(room);
      if (result !== 'E_ABORTED') {
        expect(result).toEqual(whole);
        break;
      }
    }
    expect(stopped).toBe(4 + 4); // four steps of encoding, four of five tokens: after the last one there is nothing to stop
  });

  it('two texts at once do not disturb each other', async () => {
    const model = await load(await createKernels());
    const write = (document: number): Promise<{ ids: Int32Array }[][]> =>
      generate(model, [sources[document]!], { numBeams: 2, maxLength: 8 });
    const alone = [await write(1), await write(3)];
    expect(await Promise.all([write(1), write(3)])).toEqual(alone);
  });

  it('refuses sources and caches that do not fit before it allocates anything', async () => {
    const kernels = await createKernels();
    let room = Number.POSITIVE_INFINITY;
    const small = new Proxy(kernels, {
      get(target, name) {
        if (name === 'availableBytes') return () => room;
        const value = Reflect.get(target, name) as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const model = await load(small);
    const source = await model.encode(sources);
    room = 1000;
    await expect(model.encode(sources)).rejects.toThrow(
      /^led.encode: "documents" expected a workspace of at most 1000 bytes, got \d+ bytes for 70 tokens\.\n {2}Hint: /,
    );
    expect(() => model.startDecoding(source, Int32Array.of(0), 24)).toThrow(
      /^led.decoding: "groups" expected caches of at most 1000 bytes, got \d+ bytes for 1 groups of 24 tokens\.\n {2}Hint: /,
    );
    await expect(model.forward(targets)).rejects.toMatchObject({ code: 'E_MEMORY' });
    await expect(load(small)).rejects.toThrow(/^engine.load: "weights" expected at most 1000 bytes/);
  });
});

describe('what decoding refuses', () => {
  const open = async (): Promise<{ model: LedModel; decoding: ReturnType<LedModel['startDecoding']> }> => {
    const model = await load(createKernelsOnReference());
    const source = await model.encode(sources.slice(0, 2));
    return { model, decoding: model.startDecoding(source, Int32Array.of(0, 1, 1), 3) };
  };
  const one = Int32Array.of(2, 2, 2);

  it('tokens and parents that do not fit', async () => {
    const { decoding } = await open();
    const refusals: [Promise<unknown>, string][] = [
      [decoding.prefill(Int32Array.of(2, 2)), '"tokenIds" expected one or more tokens for each of 3 groups, got 2.'],
      [decoding.prefill(new Int32Array(12)), '"tokenIds" expected at most 3 tokens for each group, got 4.'],
      [decoding.prefill(Int32Array.of(2, 2, 40)), '"tokenIds[2]" expected 0..39, got 40.'],
      [decoding.step(Int32Array.of(2), null), '"tokenIds" expected length 3, got 1.'],
      [decoding.step(one, Int32Array.of(0, 1)), '"parents" expected length 3, got 2.'],
      [decoding.step(one, Int32Array.of(0, 1, 3)), '"parents[2]" expected 0..2, got 3.'],
      [decoding.step(one, Int32Array.of(0, 0, 1)), '"parents[1]" expected a group that reads document 1, got 0.'],
    ];
    for (const [refused, message] of refusals) {
      await expect(refused).rejects.toMatchObject({ message: `led.decoding: ${message}` });
    }
    expect(decoding.length).toBe(0); // none of them changed anything
  });

  it('calls in the wrong order', async () => {
    const { decoding } = await open();
    await decoding.prefill(one);
    await expect(decoding.prefill(one)).rejects.toMatchObject({
      message: 'led.decoding: "prefill" expected to be the first call, got a past of 1.',
    });
    await decoding.step(one, null);
    await decoding.step(one, null);
    await expect(decoding.step(one, null)).rejects.toMatchObject({
      message: 'led.decoding: "step" expected at most 3 tokens, as decoding was started for, got one more.',
    });
    decoding.dispose();
    decoding.dispose();
    await expect(decoding.step(one, null)).rejects.toMatchObject({
      message: 'led.decoding: "decoding" expected one that is alive, got one that was disposed of.',
    });
  });

  it('groups, lengths and sources that cannot be', async () => {
    const { model } = await open();
    const source = await model.encode(sources.slice(0, 2));
    const start =
      (documents: number[], length: number, of = source) =>
      () =>
        model.startDecoding(of, Int32Array.from(documents), length);
    expect(start([], 3)).toThrow('led.decoding: "groupDocuments" expected at least one group, got none.');
    expect(start([2], 3)).toThrow('led.decoding: "groupDocuments[0]" expected 0..1, got 2.');
    expect(start([0], 25)).toThrow(
      'led.decoding: "maxTargetLength" expected an integer in 1..24 (max_decoder_position_embeddings), got 25.',
    );
    expect(start([0], 3, { lengths: [1], dispose: () => {} })).toThrow(
      'led.startDecoding: "source" expected what this model\'s encode returned, got something else.',
    );
    const other = await load(createKernelsOnReference());
    expect(() => other.startDecoding(source, Int32Array.of(0), 3)).toThrow(
      'led.startDecoding: "source" expected one that is alive, got one of another backend.',
    );
    source.dispose();
    source.dispose();
    expect(start([0], 3)).toThrow(
      'led.startDecoding: "source" expected one that is alive, got one that was disposed of.',
    );
    await expect(model.encode([])).rejects.toMatchObject({
      message: 'led.encode: "documents" expected at least one document, got none.',
    });
    const bare = await load(createKernelsOnReference(), 'led');
    const bareSource = await bare.encode(sources);
    expect(() => bare.startDecoding(bareSource, Int32Array.of(0), 3)).toThrow(
      'led.startDecoding: "head" expected conditionalGeneration, got none.',
    );
  });

  it.each<[string, EncoderInputs]>([
    ['longer than the position table', { inputIds: idsOf(49, 1) }],
    ['empty', { inputIds: new Int32Array() }],
    ['all padding', { inputIds: idsOf(4, 1), attentionMask: new Int32Array(4) }],
  ])('a source that is %s', async (_, source) => {
    const { model } = await open();
    await expect(generate(model, [source])).rejects.toMatchObject({ code: expect.stringMatching(/E_SHAPE|E_RANGE/) });
  });
});

describe('handles', () => {
  it('everything is given back: passes, aborts, texts, models', async () => {
    const kernels = createKernelsOnReference();
    for (const name of ['led-lm', 'led-question-answering', 'led-sequence-classification', 'led']) {
      const model = await load(kernels, name);
      const weights = kernels.liveHandles();
      // Sequence classification reads the target at the last end token of the source.
      const inputs = { inputIds: Int32Array.of(0, 5, 6, 2), decoderInputIds: Int32Array.of(2, 0, 5, 6) };
      const nothing = { encoderAttentions: () => {}, decoderAttentions: () => {}, decoderHiddenStates: () => {} };
      await model.forward([{ ...inputs, decoderAttentionMask: Int32Array.of(1, 1, 1, 0) }], { want: nothing });
      expect(kernels.liveHandles()).toBe(weights);
      for (const signal of [AbortSignal.abort()]) {
        await expect(model.forward([inputs], { signal })).rejects.toMatchObject({ code: 'E_ABORTED' });
        await expect(model.encode([inputs], { signal })).rejects.toMatchObject({ code: 'E_ABORTED' });
      }
      if (name === 'led-lm') await generate(model, sources, { numBeams: 2 });
      expect(kernels.liveHandles()).toBe(weights);
      model.dispose();
      expect(kernels.liveHandles()).toBe(0);
    }
  });
});
