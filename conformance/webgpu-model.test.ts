/** Whole models on WebGPU: what they promise beyond right numbers, and what happens when something goes wrong. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DeviceError, LongformerError, MemoryError, UnsupportedError } from '../contract/errors.ts';
import type { Kernels } from '../contract/kernels.ts';
import type { EncoderInputs, EncoderOutputs, LongformerModel } from '../contract/model.ts';
import { createWebGpuKernels, gpuOfNode, openDevice } from '../gpu/webgpu/index-node.ts';
import { openCheckpoint } from '../runtime/checkpoint/open-node.ts';
import { createBackend } from '../runtime/engine/backend.ts';
import { createWasmKernels } from '../wasm/index.ts';
import { conformanceDirectory } from './read-case.ts';
import { deviceOrReason } from './subjects/webgpu-node.ts';

const device = await deviceOrReason();
const missing = device instanceof UnsupportedError;
const shared = device as GPUDevice;

async function load(kernels: Kernels, name = 'encoder-2-layers'): Promise<LongformerModel> {
  const checkpoint = await openCheckpoint(`${conformanceDirectory()}/models/${name}`);
  try {
    return await createBackend(kernels).loadLongformer(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

const documents: EncoderInputs[] = [1, 7, 40, 9].map((length, document) => ({
  inputIds: Int32Array.from({ length }, (_, t) => (t === 0 ? 0 : 3 + ((7 * t + 5 * document) % 28))),
  globalAttentionMask: Int32Array.from({ length }, (_, t) => Number(document % 2 === 1 && t % 5 === 0)),
}));

const numbers = (outputs: EncoderOutputs[]): number[] =>
  outputs.flatMap(output => Object.values(output).flatMap(tensor => [...tensor.data]));

const distance = (a: readonly number[], b: readonly number[]): number => {
  expect(a.length).toBe(b.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
};

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

  it('a hundred passes leave its buffers flat; disposed of, it gives everything back', async () => {
    const kernels = await createWebGpuKernels({ device: shared, maximumMemoryBytes: 2 ** 26 });
    const empty = kernels.availableBytes();
    const model = await load(kernels);
    await model.forward(documents);
    const { buffers, bytes } = kernels.statistics;
    for (let pass = 0; pass < 100; pass++) await model.forward(documents.slice(pass % 3));
    expect(kernels.statistics).toMatchObject({ buffers, bytes });
    model.dispose();
    // What global attention keeps between calls stays: the next model will need it too.
    expect(empty - kernels.availableBytes()).toBeLessThan(2 ** 18);
    kernels.dispose();
    expect(kernels.statistics).toMatchObject({ buffers: 0, bytes: 0 });
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

describe.skipIf(missing)('bad luck on WebGPU', () => {
  const fails = async (run: Promise<unknown>): Promise<LongformerError> => {
    const error = await run.then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(LongformerError);
    return error as LongformerError;
  };

  it('a device lost in mid-run is a typed error, and the next model works', async () => {
    const own = await openDevice({ gpu: await gpuOfNode() });
    const kernels = await createWebGpuKernels({ device: own });
    const model = await load(kernels);
    await model.forward(documents);
    const run = model.forward(documents, { onProgress: done => done < 1 && own.destroy() });
    const error = await fails(run);
    expect(error).toBeInstanceOf(DeviceError);
    expect(error).toMatchObject({ code: 'E_DEVICE', reason: 'Lost' });
    expect(error.message).toMatch(
      /^webgpu: "device" expected to answer, got a lost device \(destroyed: .*\)\.\n {2}Hint: make new kernels; everything on this device is gone\.$/s,
    );
    expect(await fails(model.forward(documents))).toMatchObject({ reason: 'Lost' });
    model.dispose();
    kernels.dispose();
    const next = await load(await createWebGpuKernels());
    expect(numbers(await next.forward(documents)).every(Number.isFinite)).toBe(true);
  });

  it('a device lost while a result is awaited is the same error', async () => {
    const own = await openDevice({ gpu: await gpuOfNode() });
    const kernels = await createWebGpuKernels({ device: own });
    const rows = kernels.allocate(4, 4);
    const read = kernels.read(rows, 0, 4);
    own.destroy();
    expect(await fails(read)).toMatchObject({ code: 'E_DEVICE', reason: 'Lost' });
    kernels.free(rows); // cleaning up is no second error
  });

  it('no adapter', async () => {
    const gpu = { requestAdapter: async () => null } as unknown as GPU;
    expect((await fails(createWebGpuKernels({ gpu }))).message).toBe(
      'webgpu: "adapter" expected a GPU with a driver for WebGPU, got none.\n' +
        '  Hint: on Linux install the Vulkan loader and a driver (libvulkan1, mesa-vulkan-drivers or that of the vendor), or use the backend wasm.',
    );
  });

  it('float16 weights on a device without them', async () => {
    if (shared.features.has('shader-f16')) return;
    expect((await fails(createWebGpuKernels({ device: shared, weights: 'float16' }))).message).toBe(
      'webgpu: "shader-f16" expected a feature of the adapter, got none.\n  Hint: use weights in float32.',
    );
  });

  it('weights that are not finite are refused while they are read, before the device sees them', async () => {
    const kernels = await createWebGpuKernels({ device: shared });
    const directory = `${conformanceDirectory()}/models/encoder-2-layers`;
    const file = new Uint8Array(readFileSync(`${directory}/model.safetensors`));
    // The last number of the file: float32 0x7fc00000.
    file.set([0, 0, 0xc0, 0x7f], file.length - 4);
    const broken = mkdtempSync(join(tmpdir(), 'longformer-webgpu-'));
    cpSync(`${directory}/config.json`, join(broken, 'config.json'));
    writeFileSync(join(broken, 'model.safetensors'), file);
    const checkpoint = await openCheckpoint(broken);
    expect(await fails(createBackend(kernels).loadLongformer(checkpoint))).toMatchObject({ reason: 'NotFinite' });
    await checkpoint.close();
    rmSync(broken, { recursive: true });
    expect(kernels.statistics.bytes).toBeLessThan(2 ** 21 + 2 * 4 * 57 * 16 + 1);
    kernels.dispose();
  });

  it('a buffer over the limit is refused before it is made, by the name of the limit', async () => {
    const kernels = await createWebGpuKernels({ device: shared, mostBindingBytes: 2 ** 20 });
    const { buffers } = kernels.statistics;
    expect(() => kernels.allocate(16_384, 4096)).toThrow(MemoryError);
    expect(() => kernels.allocate(16_384, 4096)).toThrow(
      'webgpu.allocate: "rows (16384, 4096)" expected at most 1048576 bytes (maxStorageBufferBindingSize), got 268435456.\n' +
        '  Hint: run fewer or shorter documents at once, or use an adapter with a larger limit.',
    );
    expect(kernels.statistics.buffers).toBe(buffers);
    kernels.dispose();
  });

  it('more than maximumMemoryBytes is refused, and what was made for it given back', async () => {
    const kernels = await createWebGpuKernels({ device: shared, maximumMemoryBytes: 2 ** 22 });
    const room = kernels.availableBytes();
    expect(() => kernels.allocate(1024, 1024)).toThrow(
      `webgpu.allocate: "rows (1024, 1024)" expected at most ${room} bytes (left of maximumMemoryBytes), got 4194304.\n` +
        '  Hint: dispose of models that are no longer needed.',
    );
    const weight = { shape: [600, 600], data: new Float32Array(360_000) };
    expect(() => {
      for (;;) kernels.loadLinear(weight, null);
    }).toThrow(MemoryError);
    const { buffers } = kernels.statistics;
    expect(() => kernels.loadLinear(weight, null)).toThrow(MemoryError);
    expect(kernels.statistics.buffers).toBe(buffers);
    kernels.dispose();
  });

  it('handles are refused after free, after dispose, from elsewhere and of another kind', async () => {
    const kernels = await createWebGpuKernels({ device: shared });
    const other = await createWebGpuKernels({ device: shared });
    const [rows, kept] = [kernels.allocate(2, 2), kernels.allocate(2, 2)];
    kernels.free(rows);
    expect(() => kernels.free(rows)).toThrow('webgpu: this Rows was freed before');
    expect(() => kernels.write(rows, Float32Array.of(1))).toThrow(/freed/);
    await expect(other.read(kept, 0, 1)).rejects.toThrow(
      'webgpu: expected a handle of kind Rows made by these kernels',
    );
    expect(() => kernels.gatherRows(kept, kept, kept as never)).toThrow(TypeError);
    await expect(kernels.read(kept, 1, 2)).rejects.toThrow('webgpu: rows 1..3 of a handle with 2 rows');
    expect(() => kernels.write(kept, new Float32Array(6))).toThrow(TypeError);
    kernels.dispose();
    expect(() => kernels.allocate(1, 1)).toThrow('webgpu: these kernels were disposed of');
    other.dispose();
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
