/** Whole models on WebGPU: what they promise beyond right numbers. When something goes wrong: webgpu-faults.test.ts. */
import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../contract/errors.ts';
import type { EncoderOutputs } from '../contract/model.ts';
import { createWebGpuKernels, gpuOfNode } from '../gpu/webgpu/index-node.ts';
import { createWasmKernels } from '../wasm/index.ts';
import { deviceOrReason } from './subjects/webgpu-node.ts';
import { deviceWith, documents, load, loadLed, numbers } from './webgpu-small-models.ts';

const device = await deviceOrReason();
const missing = device instanceof UnsupportedError;
const shared = device as GPUDevice;

const distance = (a: readonly number[], b: readonly number[]): number => {
  expect(a.length).toBe(b.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
};

/** The device, and its buffers that are alive, whoever made them. */
function countingDevice() {
  const alive = new Set<GPUBuffer>();
  let made = 0;
  const counted = deviceWith(shared, {
    createBuffer(descriptor) {
      const buffer = shared.createBuffer(descriptor);
      const destroy = buffer.destroy.bind(buffer);
      buffer.destroy = () => {
        alive.delete(buffer);
        destroy();
      };
      alive.add(buffer);
      made++;
      return buffer;
    },
  });
  return { device: counted, alive, made: () => made };
}

describe.skipIf(missing)('a model on WebGPU', () => {
  it('gives the same bits in every run, and in every schedule nearly those of wasm', async () => {
    const expected = numbers(await (await load(await createWasmKernels())).forward(documents));
    for (const schedule of ['tiled', 'registers'] as const) {
      const runs: number[][] = [];
      for (let run = 0; run < 2; run++) {
        const kernels = await createWebGpuKernels({ device: shared, schedule });
        const model = await load(kernels);
        runs.push(numbers(await model.forward(documents)), numbers(await model.forward(documents)));
        kernels.dispose();
      }
      for (const run of runs) expect(run).toEqual(runs[0]);
      expect(distance(runs[0]!, expected)).toBeLessThan(1e-5);
    }
  });

  it('waits once and submits once for a head that reads a row; nothing but the documents is uploaded', async () => {
    const kernels = await createWebGpuKernels({ device: shared });
    const model = await load(kernels, 'sequence-classification');
    const weights = kernels.statistics.uploadedBytes;
    await model.forward(documents);
    const before = kernels.statistics;
    await model.forward(documents);
    const after = kernels.statistics;
    expect([after.submits - before.submits, after.reads - before.reads]).toEqual([1, 1]);
    const perPass = after.uploadedBytes - before.uploadedBytes;
    expect(perPass).toBe(before.uploadedBytes - weights);
    const tokens = documents.reduce((sum, { inputIds }) => sum + inputIds!.length, 0);
    const { hiddenSize } = model.config;
    // Embeddings, what is known about the tokens (four numbers each, three times), and some row numbers.
    expect(perPass).toBeLessThan(4 * tokens * hiddenSize + 3 * 16 * tokens + 1000);
    kernels.dispose();
  });

  it.each([
    ['sequence-classification', 1],
    ['question-answering', 1],
    ['token-classification', 1],
    ['multiple-choice', 1],
    ['encoder-2-layers', 2], // hidden states, and what the pooler makes of them
    ['masked-lm', documents.length], // logits of the whole vocabulary come in blocks
  ])('%s: %i submits and waits for all documents', async (name, times) => {
    const kernels = await createWebGpuKernels({ device: shared });
    const model = await load(kernels, name);
    await model.forward(documents);
    const { submits, reads } = kernels.statistics;
    await model.forward(documents);
    expect([kernels.statistics.submits - submits, kernels.statistics.reads - reads]).toEqual([times, times]);
    kernels.dispose();
  });

  it('a hundred passes leave its buffers flat; disposed of, it gives everything back', async () => {
    const { device: counted, alive } = countingDevice();
    const kernels = await createWebGpuKernels({ device: counted, maximumMemoryBytes: 2 ** 26 });
    const empty = kernels.availableBytes();
    const model = await load(kernels);
    await model.forward(documents);
    const { buffers, bytes } = kernels.statistics;
    const before = alive.size;
    for (let pass = 0; pass < 100; pass++) await model.forward(documents.slice(pass % 3));
    expect(kernels.statistics).toMatchObject({ buffers, bytes });
    expect(alive.size).toBe(before);
    model.dispose();
    // What global attention keeps between calls stays: the next model will need it too.
    expect(empty - kernels.availableBytes()).toBeLessThan(2 ** 18);
    kernels.dispose();
    expect(kernels.statistics).toMatchObject({ buffers: 0, bytes: 0 });
    expect(alive.size).toBe(0);
  });

  it('a decoding step is one submit and one wait, makes no buffer, and uploads the new tokens only', async () => {
    const { device: counted, alive, made } = countingDevice();
    const kernels = await createWebGpuKernels({ device: counted });
    const model = await loadLed(kernels);
    const source = await model.encode(documents.slice(1, 3).map(({ inputIds }) => ({ inputIds: inputIds! })));
    const parents = Int32Array.of(1, 0, 2, 2); // two beams for each document
    const run = async (): Promise<number[]> => {
      const decoding = model.startDecoding(source, Int32Array.of(0, 0, 1, 1), 12);
      const logits = [...(await decoding.prefill(Int32Array.of(2, 2, 2, 2)))];
      for (let step = 0; step < 11; step++) {
        const { statistics } = kernels;
        const buffers = made();
        logits.push(...(await decoding.step(Int32Array.of(5, 6, 7, 5 + step), parents)));
        expect(kernels.statistics.submits - statistics.submits).toBe(1);
        expect(kernels.statistics.reads - statistics.reads).toBe(1);
        expect(made() - buffers).toBe(0);
        // Four embedded tokens, and row numbers of the cache.
        const uploaded = kernels.statistics.uploadedBytes - statistics.uploadedBytes;
        expect(uploaded).toBeLessThan(4 * 4 * model.config.hiddenSize + 4 * 4 * 12 * 2 + 1);
      }
      decoding.dispose();
      return logits;
    };
    const first = await run();
    const before = alive.size;
    expect(await run()).toEqual(first);
    expect(alive.size).toBe(before);
    kernels.dispose();
    expect(alive.size).toBe(0);
  });

  it('keeps no room for a large result after it was read', async () => {
    const { device: counted, alive } = countingDevice();
    const kernels = await createWebGpuKernels({ device: counted });
    const rows = kernels.allocate(2 ** 20 + 1, 4);
    const before = alive.size;
    expect((await kernels.read(rows, 0, 2 ** 20 + 1)).length).toBe(2 ** 22 + 4);
    expect(alive.size).toBe(before);
    kernels.dispose();
    expect(alive.size).toBe(0);
  });

  it('two passes at once do not disturb each other', async () => {
    const model = await load(await createWebGpuKernels({ device: shared }));
    const alone = numbers(await model.forward([documents[2]!]));
    const [one] = await Promise.all([model.forward([documents[2]!]), model.forward(documents)]);
    expect(numbers(one)).toEqual(alone);
  });

  it('an abort in mid-run costs the device nothing; the next pass is whole', async () => {
    const kernels = await createWebGpuKernels({ device: shared });
    const model = await load(kernels);
    const whole = numbers(await model.forward(documents));
    const { submits, buffers } = kernels.statistics;
    const controller = new AbortController();
    const run = model.forward(documents, { signal: controller.signal, onProgress: () => controller.abort() });
    await expect(run).rejects.toMatchObject({ code: 'E_ABORTED' });
    expect(kernels.statistics).toMatchObject({ buffers, submits });
    expect(numbers(await model.forward(documents))).toEqual(whole);
    expect(kernels.statistics).toMatchObject({ buffers });
    // Nothing of the aborted pass was submitted: one read for each output of the whole one.
    expect(kernels.statistics.submits - submits).toBe(2);
  });

  it('computes rows that were asked for as it computes all', async () => {
    const model = await load(await createWebGpuKernels({ device: shared, schedule: 'tiled' }));
    const whole = await model.forward(documents, { want: { lastHiddenState: true } });
    const few = await model.forward(documents, { want: { lastHiddenState: false } });
    const poolers = (outputs: EncoderOutputs[]): number[] =>
      outputs.flatMap(({ poolerOutput }) => [...poolerOutput!.data]);
    expect(distance(poolers(few), poolers(whole))).toBeLessThan(2e-6);
  });
});

describe('float16 weights', () => {
  it.each(['tiled', 'registers'] as const)(
    'shaders of schedule %s are accepted, on a device that computes nothing',
    async schedule => {
      // Dawn's null backend has every feature: it checks the shaders, and no GPU with float16 is needed.
      const gpu = await gpuOfNode(['backend=null']);
      const kernels = await createWebGpuKernels({ gpu, weights: 'float16', schedule });
      expect(kernels.name).toBe('webgpu-f16');
      const model = await load(kernels);
      const [output] = await model.forward(documents);
      expect(output!.poolerOutput!.data.length).toBe(model.config.hiddenSize);
      kernels.dispose();
    },
  );
});
