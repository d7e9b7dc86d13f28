/** Whole models on gpu.js in Node. What browsers do otherwise: browser-gpujs-model.test.ts. */
import { describe, expect, it } from 'vitest';
import { type Filling, pipeline } from '../api/index.ts';
import { createGpuJs as createGpuJsOfPage } from '../api/platform-web.ts';
import { LongformerError, MemoryError, UnsupportedError } from '../contract/errors.ts';
import type { Kernels } from '../contract/kernels.ts';
import type { EncoderInputs, EncoderOutputs, LongformerModel } from '../contract/model.ts';
import { create, type GpuJsInstance, loadGpuJs } from '../gpu/gpujs/gpu-js.ts';
import { createGpuJsKernels as createKernelsOfPage } from '../gpu/gpujs/index.ts';
import { createGpuJsKernels } from '../gpu/gpujs/index-node.ts';
import { linear } from '../gpu/gpujs/kernels/linear.ts';
import { openCheckpoint } from '../runtime/checkpoint/open-node.ts';
import { createBackend } from '../runtime/engine/backend.ts';
import { createWasmKernels } from '../wasm/index.ts';
import { conformanceDirectory } from './read-case.ts';
import { gpuJsDeviceOrReason } from './subjects/gpujs-node.ts';

const missing = (await gpuJsDeviceOrReason()) instanceof UnsupportedError;

async function load(kernels: Kernels): Promise<LongformerModel> {
  const checkpoint = await openCheckpoint(`${conformanceDirectory()}/models/encoder-2-layers`);
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

const fails = async (run: Promise<unknown>): Promise<LongformerError> => {
  const error = await run.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LongformerError);
  return error as LongformerError;
};

describe.skipIf(missing)('a model on gpu.js in Node', () => {
  it('gives the same bits in every run, nearly those of wasm, and leaves `navigator` as it was', async () => {
    const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
    const expected = numbers(await (await load(await createWasmKernels())).forward(documents));
    const kernels = await createGpuJsKernels();
    const model = await load(kernels);
    const runs = [numbers(await model.forward(documents)), numbers(await model.forward(documents))];
    expect(runs[1]).toEqual(runs[0]);
    expect(Math.max(...runs[0]!.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(1e-5);
    expect(Object.getOwnPropertyDescriptor(globalThis, 'navigator')).toEqual(before);
    kernels.dispose();
  });

  it('a hundred passes leave its buffers flat; disposed of, it gives everything back', async () => {
    const kernels = await createGpuJsKernels({ maximumMemoryBytes: 2 ** 26 });
    const empty = kernels.availableBytes();
    const model = await load(kernels);
    await model.forward(documents);
    const { stores, bytes } = kernels.statistics;
    for (let pass = 0; pass < 100; pass++) await model.forward(documents.slice(pass % 3));
    expect(kernels.statistics).toMatchObject({ stores, bytes });
    model.dispose();
    expect(empty - kernels.availableBytes()).toBeLessThan(100);
    kernels.dispose();
    expect(kernels.statistics).toMatchObject({ stores: 0, bytes: 0 });
  });

  it('a device lost in mid-run is a typed error, and the next model works', async () => {
    const kernels = await createGpuJsKernels();
    const model = await load(kernels);
    await model.forward(documents);
    const { WebGPUContext } = await loadGpuJs();
    let lost = false;
    const run = model.forward(documents, {
      onProgress: done => {
        if (done < 1 && !lost) void WebGPUContext.destroy();
        lost = true;
      },
    });
    expect(await fails(run)).toMatchObject({ code: 'E_DEVICE', reason: 'Lost' });
    expect((await fails(model.forward(documents))).message).toBe(
      'gpujs: "device" expected to answer, got a lost device.\n  Hint: make new kernels; everything on this device is gone.',
    );
    model.dispose();
    kernels.dispose();
    const next = await createGpuJsKernels();
    expect(numbers(await (await load(next)).forward(documents)).every(Number.isFinite)).toBe(true);
    next.dispose();
  });

  it('a buffer over the limit is refused before it is made, by the name of the limit', async () => {
    const kernels = await createGpuJsKernels();
    const { stores } = kernels.statistics;
    expect(() => kernels.allocate(2 ** 20, 2 ** 20)).toThrow(MemoryError);
    expect(() => kernels.allocate(2 ** 20, 2 ** 20)).toThrow(/numbers \(max\w+ \d+\), got 1099511627776\./);
    expect(kernels.statistics.stores).toBe(stores);
    kernels.dispose();
  });

  it('what the device complains of later is the error of the next result, once', async () => {
    const kernels = await createGpuJsKernels();
    const rows = kernels.allocate(2, 2);
    const { device } = (await (await loadGpuJs()).WebGPUContext.acquire()) as { device: GPUDevice };
    device.createBuffer({ size: 16, usage: 2 ** 15 });
    expect(await fails(kernels.read(rows, 0, 2))).toMatchObject({ code: 'E_DEVICE', reason: 'Validation' });
    expect([...(await kernels.read(rows, 0, 2))]).toEqual([0, 0, 0, 0]);
    kernels.dispose();
  });

  it('is a device of the front door, by name and as kernels', async () => {
    const model = `${conformanceDirectory()}/pipelines/models/fill-mask`;
    const answers = [];
    for (const device of ['wasm', 'gpujs', await createGpuJsKernels()]) {
      await using fill = await pipeline('fill-mask', model, { device });
      answers.push(((await fill('A <mask> text.')) as Filling[]).map(({ token }) => token));
    }
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
  });
});

describe('gpu.js without a GPU', () => {
  it.each(['cpu', 'webasm', 'dev', 'gpu', 'async', 'headlessgl', 'webgl2'])(
    'refuses its mode %s in Node',
    async mode => {
      const error = await fails(createGpuJsKernels({ mode: mode as 'webgpu' }));
      expect(error).toBeInstanceOf(UnsupportedError);
      expect(error.message).toContain(`gpujs: "mode" expected webgpu, got ${mode}.\n  Hint: `);
    },
  );

  it('what is for pages says so in Node', async () => {
    expect((await fails(createKernelsOfPage())).message).toContain('got no canvas: this is not a browser.');
  });

  it('a fallback to the processor is refused where gpu.js wishes for one', () => {
    const given: { onRequestFallback?: (this: object, values: unknown) => unknown } = {};
    const gpu = { createKernel: (_: string, settings: object) => Object.assign(given, settings) };
    create(gpu as unknown as GpuJsInstance, linear('gelu'), 'ArrayTexture(1)');
    expect(() => given.onRequestFallback!.call({ fallbackReason: 'no float textures' }, [])).toThrow(
      'gpujs: "linear gelu" expected a kernel on the GPU, got a wish to compute on the processor (no float textures).\n' +
        '  Hint: use the backend wasm.',
    );
  });

  it('a page has to ask for it itself', async () => {
    expect((await fails(createGpuJsOfPage())).message).toBe(
      'createDevice: "device" expected kernels instead of the name gpujs, in a page, got gpujs.\n' +
        "  Hint: import { createGpuJsKernels } from 'longformer/gpu/gpujs', and pass device: await createGpuJsKernels().",
    );
  });
});
