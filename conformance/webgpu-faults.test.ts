/** What happens on WebGPU when something goes wrong: a typed error, nothing left behind, and the next model works. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DeviceError, LongformerError, MemoryError, UnsupportedError } from '../contract/errors.ts';
import { createWebGpuKernels, gpuOfNode, openDevice } from '../gpu/webgpu/index-node.ts';
import { openCheckpoint } from '../runtime/checkpoint/open-node.ts';
import { createBackend } from '../runtime/engine/backend.ts';
import { conformanceDirectory } from './read-case.ts';
import { deviceOrReason } from './subjects/webgpu-node.ts';
import { deviceWith, documents, load, numbers } from './webgpu-small-models.ts';

const device = await deviceOrReason();
const missing = device instanceof UnsupportedError;
const shared = device as GPUDevice;

/** A device that has less memory than it promises: buffers above mostBytes are no good, and it says so late, as drivers do. */
function poorDevice() {
  const scopes: { filter: GPUErrorFilter; refused: boolean }[] = [];
  const poor = { mostBytes: Number.POSITIVE_INFINITY, device: shared };
  const ways: Partial<GPUDevice> = {
    pushErrorScope(filter) {
      scopes.push({ filter, refused: false });
      shared.pushErrorScope(filter);
    },
    async popErrorScope() {
      const { refused } = scopes.pop()!;
      const error = await shared.popErrorScope();
      return refused ? ({ message: 'no more memory' } as GPUError) : error;
    },
    createBuffer(descriptor) {
      const buffer = shared.createBuffer(descriptor);
      if (descriptor.size <= poor.mostBytes) return buffer;
      scopes.findLast(({ filter }) => filter === 'out-of-memory')!.refused = true;
      buffer.destroy(); // who uses it gets a validation error, as with one that was never there
      return buffer;
    },
  };
  poor.device = deviceWith(shared, ways);
  return poor;
}

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

  it('memory that the device does not have is a MemoryError of the pass that wanted it; the next pass is whole', async () => {
    const rich = await createWebGpuKernels({ device: shared });
    const whole = numbers(await (await load(rich)).forward(documents));
    const { buffers, bytes } = rich.statistics;
    const poor = poorDevice();
    const kernels = await createWebGpuKernels({ device: poor.device });
    const model = await load(kernels);
    poor.mostBytes = 2000;
    const error = await fails(model.forward(documents));
    expect(error).toBeInstanceOf(MemoryError);
    expect(error.message).toMatch(
      /^webgpu: "allocate rows \(\d+, \d+\)" expected memory of the device, got no more memory\.\n {2}Hint: run fewer or shorter documents at once\.$/,
    );
    poor.mostBytes = Number.POSITIVE_INFINITY;
    expect(numbers(await model.forward(documents))).toEqual(whole);
    expect(kernels.statistics).toMatchObject({ buffers, bytes });
    kernels.dispose();
  });

  it('a model whose weights the device has no memory for is a MemoryError too', async () => {
    const poor = poorDevice();
    const kernels = await createWebGpuKernels({ device: poor.device });
    poor.mostBytes = 1000;
    const model = await load(kernels);
    poor.mostBytes = Number.POSITIVE_INFINITY;
    const error = await fails(model.forward(documents));
    expect(error).toMatchObject({ code: 'E_MEMORY', subject: expect.stringMatching(/^loadLinear weight/) });
    model.dispose();
    kernels.dispose();
  });

  it('a shader that the device does not take is a DeviceError with its complaint, and the next model works', async () => {
    const strict = deviceWith(shared, {
      createShaderModule: descriptor =>
        shared.createShaderModule({ ...descriptor, code: `${descriptor.code}\nfn broken(` }),
    });
    const model = await load(await createWebGpuKernels({ device: strict }));
    const error = await fails(model.forward(documents));
    expect(error).toBeInstanceOf(DeviceError);
    expect(error).toMatchObject({ code: 'E_DEVICE', reason: 'Validation', subject: 'submit' });
    expect(error.message).toMatch(
      /^webgpu: "submit" expected to be accepted by the device, got Error while parsing WGSL: .+\.$/,
    );
    const next = await load(await createWebGpuKernels({ device: shared }));
    expect(numbers(await next.forward(documents)).every(Number.isFinite)).toBe(true);
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
