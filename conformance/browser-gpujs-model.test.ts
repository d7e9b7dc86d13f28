/** Whole models on gpu.js in a browser: what they promise beyond right numbers, and what happens when something goes wrong. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DeviceError, LongformerError, MemoryError, UnsupportedError } from '../contract/errors.ts';
import type { Kernels } from '../contract/kernels.ts';
import type { EncoderInputs, EncoderOutputs, LongformerModel } from '../contract/model.ts';
import { createGpuJsKernels, type GpuJsKernels, openDevice } from '../gpu/gpujs/index.ts';
import { createMemorySource } from '../runtime/checkpoint/byte-source.ts';
import { createCheckpoint } from '../runtime/checkpoint/open.ts';
import { parseConfig } from '../runtime/checkpoint/parse-config.ts';
import { openSafetensors } from '../runtime/checkpoint/safetensors.ts';
import { createBackend } from '../runtime/engine/backend.ts';
import { createWasmKernels } from '../wasm/index.ts';
import { readFromPage } from './read-page.ts';

interface Context {
  createTexture(): object;
  deleteTexture(texture: object | null): void;
  getError(): number;
  getParameter(name: number): unknown;
  getExtension(name: 'WEBGL_lose_context'): { loseContext(): void };
}
interface Canvas {
  getContext(...settings: unknown[]): Context | null;
}
/** Of the page; the types of this project know Node only. */
const page = globalThis as unknown as {
  WebGL2RenderingContext: { prototype: Context };
  OffscreenCanvas: { prototype: Canvas };
  HTMLCanvasElement: { prototype: Canvas };
};

/** What WebGL2 is asked for, seen from outside: contexts in order, textures that live. */
const seen = { contexts: [] as Context[], textures: new Set<object>() };
const { createTexture, deleteTexture } = page.WebGL2RenderingContext.prototype;
const { getContext } = page.OffscreenCanvas.prototype;
const { getContext: getContextOfElement } = page.HTMLCanvasElement.prototype;

beforeEach(() => {
  seen.contexts.length = 0;
  seen.textures.clear();
  page.OffscreenCanvas.prototype.getContext = function (...settings) {
    const context = getContext.apply(this, settings);
    if (context) seen.contexts.push(context);
    return context;
  };
  page.WebGL2RenderingContext.prototype.createTexture = function () {
    const texture = createTexture.call(this);
    seen.textures.add(texture);
    return texture;
  };
  page.WebGL2RenderingContext.prototype.deleteTexture = function (texture) {
    if (texture) seen.textures.delete(texture);
    deleteTexture.call(this, texture);
  };
});
afterEach(() => {
  Object.assign(page.WebGL2RenderingContext.prototype, { createTexture, deleteTexture });
  page.OffscreenCanvas.prototype.getContext = getContext;
});

async function load(kernels: Kernels, name = 'encoder-2-layers', change?: (file: Uint8Array) => void) {
  const config = new TextDecoder().decode(await readFromPage(`models/${name}/config.json`));
  const file = await readFromPage(`models/${name}/model.safetensors`);
  change?.(file);
  const checkpoint = await createCheckpoint(parseConfig(config), await openSafetensors(createMemorySource(file)));
  return await createBackend(kernels).loadLongformer(checkpoint);
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

const fails = async (run: Promise<unknown>): Promise<LongformerError> => {
  const error = await run.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LongformerError);
  return error as LongformerError;
};

describe('a model on gpu.js', () => {
  it('gives the same bits in every run, and nearly those of wasm', async () => {
    const expected = numbers(await (await load(await createWasmKernels())).forward(documents));
    const runs: number[][] = [];
    for (let run = 0; run < 2; run++) {
      const kernels = await createGpuJsKernels();
      const model = await load(kernels);
      runs.push(numbers(await model.forward(documents)), numbers(await model.forward(documents)));
      kernels.dispose();
    }
    for (const run of runs) expect(run).toEqual(runs[0]);
    expect(distance(runs[0]!, expected)).toBeLessThan(1e-5);
  });

  it('a hundred passes leave its textures flat, and upload no weights; disposed of, it gives everything back', async () => {
    const kernels = await createGpuJsKernels({ maximumMemoryBytes: 2 ** 26 });
    const empty = kernels.availableBytes();
    const model = await load(kernels);
    await model.forward(documents);
    const before = kernels.statistics.uploadedBytes;
    await model.forward(documents);
    const first = kernels.statistics;
    const perPass = first.uploadedBytes - before;
    const tokens = documents.reduce((sum, { inputIds }) => sum + inputIds!.length, 0);
    // Embeddings, what is known about the tokens (four numbers each, three times), and some row numbers.
    expect(perPass).toBeLessThan(4 * tokens * model.config.hiddenSize + 3 * 16 * tokens + 1000);
    const textures = seen.textures.size;
    expect(textures).toBeGreaterThanOrEqual(first.stores);
    for (let pass = 0; pass < 100; pass++) await model.forward(documents);
    expect(seen.textures.size).toBe(textures);
    const { stores, bytes, compiled } = first;
    expect(kernels.statistics).toMatchObject({ stores, bytes, compiled });
    expect(kernels.statistics.uploadedBytes - first.uploadedBytes).toBe(100 * perPass);
    model.dispose();
    // Row numbers of a pattern stay, a few floats: the next model will have it too.
    expect(empty - kernels.availableBytes()).toBeLessThan(100);
    kernels.dispose();
    expect(kernels.statistics).toMatchObject({ stores: 0, bytes: 0 });
    expect(seen.textures.size).toBe(0);
  });

  it('reads the same where a texture can only be read with four channels', async () => {
    const kernels = await createGpuJsKernels();
    const rows = kernels.allocate(5, 3);
    kernels.write(
      rows,
      Float32Array.from({ length: 15 }, (_, i) => i / 3),
    );
    const expected = await kernels.read(rows, 1, 3);
    const { prototype } = page.WebGL2RenderingContext;
    const { getParameter } = prototype;
    const [readFormat, rgba] = [0x8b9b, 0x1908];
    prototype.getParameter = function (name) {
      return name === readFormat ? rgba : getParameter.call(this, name);
    };
    expect(await kernels.read(rows, 1, 3)).toEqual(expected);
    prototype.getParameter = getParameter;
    kernels.dispose();
  });

  it('two passes at once do not disturb each other, and an abort in mid-run costs nothing', async () => {
    const kernels = await createGpuJsKernels();
    const model = await load(kernels);
    const alone = numbers(await model.forward([documents[2]!]));
    const [one] = await Promise.all([model.forward([documents[2]!]), model.forward(documents)]);
    expect(numbers(one)).toEqual(alone);
    const { stores } = kernels.statistics;
    const controller = new AbortController();
    const run = model.forward(documents, { signal: controller.signal, onProgress: () => controller.abort() });
    await expect(run).rejects.toMatchObject({ code: 'E_ABORTED' });
    expect(numbers(await model.forward([documents[2]!]))).toEqual(alone);
    expect(kernels.statistics.stores).toBe(stores);
    kernels.dispose();
  });

  it('kernels on one device share what is compiled; each gives back its own memory only', async () => {
    const device = await openDevice();
    const [one, other] = [await createGpuJsKernels({ device }), await createGpuJsKernels({ device })];
    const model = await load(one);
    const first = numbers(await model.forward(documents));
    const { compiled } = device.statistics;
    const second = await load(other);
    one.dispose();
    expect(numbers(await second.forward(documents))).toEqual(first);
    expect(device.statistics.compiled).toBe(compiled);
    other.dispose();
    expect(device.statistics.stores).toBe(0);
    device.dispose();
    expect(seen.textures.size).toBe(0);
  });
});

describe('bad luck on gpu.js', () => {
  async function losing(): Promise<{ kernels: GpuJsKernels; model: LongformerModel; lose: () => void }> {
    const kernels = await createGpuJsKernels();
    const context = seen.contexts.at(-1)!;
    const lose = (): void => context.getExtension('WEBGL_lose_context').loseContext();
    return { kernels, model: await load(kernels), lose };
  }

  it('a context lost in mid-run is a typed error, and the next model works', async () => {
    const { kernels, model, lose } = await losing();
    await model.forward(documents);
    const error = await fails(model.forward(documents, { onProgress: done => done < 1 && lose() }));
    expect(error).toBeInstanceOf(DeviceError);
    expect(error).toMatchObject({ code: 'E_DEVICE', reason: 'Lost' });
    expect(error.message).toBe(
      'gpujs: "context" expected to answer, got a lost context.\n' +
        '  Hint: make new kernels; everything in this context is gone.',
    );
    expect(await fails(model.forward(documents))).toMatchObject({ reason: 'Lost' });
    model.dispose();
    kernels.dispose();
    const next = await load(await createGpuJsKernels());
    expect(numbers(await next.forward(documents)).every(Number.isFinite)).toBe(true);
  });

  it('a context lost while a result is awaited is the same error', async () => {
    const { kernels, lose } = await losing();
    const rows = kernels.allocate(4, 4);
    const read = kernels.read(rows, 0, 4);
    lose();
    expect(await fails(read)).toMatchObject({ code: 'E_DEVICE', reason: 'Lost' });
    kernels.free(rows); // cleaning up is no second error
    kernels.dispose();
  });

  it('weights that are not finite are refused while they are read', async () => {
    const kernels = await createGpuJsKernels();
    // The last number of the file: float32 0x7fc00000.
    const run = load(kernels, 'encoder-2-layers', file => file.set([0, 0, 0xc0, 0x7f], file.length - 4));
    expect(await fails(run)).toMatchObject({ reason: 'NotFinite' });
    expect(kernels.statistics.stores).toBe(0);
    kernels.dispose();
  });

  it('a texture over the limit is refused before it is made, by the name of the limit', async () => {
    const kernels = await createGpuJsKernels({ mostTextureSize: 1024 });
    const textures = seen.textures.size;
    expect(() => kernels.allocate(16_384, 4096)).toThrow(MemoryError);
    expect(() => kernels.allocate(16_384, 4096)).toThrow(
      'gpujs.allocate: "rows (16384, 4096)" expected at most 1047552 numbers (MAX_TEXTURE_SIZE 1024), got 67108864.\n' +
        '  Hint: run fewer or shorter documents at once, or use a GPU with a larger limit.',
    );
    expect(seen.textures.size).toBe(textures);
    // What is within the limit but longer than a side works.
    const model = await load(kernels);
    expect(numbers(await model.forward(documents)).every(Number.isFinite)).toBe(true);
    kernels.dispose();
  });

  it('more than maximumMemoryBytes is refused, and what was made for it given back', async () => {
    const kernels = await createGpuJsKernels({ maximumMemoryBytes: 2 ** 22 });
    expect(() => kernels.allocate(1024, 1025)).toThrow(
      'gpujs.allocate: "rows (1024, 1025)" expected at most 4194304 bytes (left of maximumMemoryBytes), got 4198400.\n' +
        '  Hint: dispose of models that are no longer needed.',
    );
    const weight = { shape: [600, 600], data: new Float32Array(360_000) };
    expect(() => {
      for (;;) kernels.loadLinear(weight, null);
    }).toThrow(MemoryError);
    const { stores } = kernels.statistics;
    expect(() => kernels.loadLinear(weight, null)).toThrow(MemoryError);
    expect(kernels.statistics.stores).toBe(stores);
    kernels.dispose();
  });

  it('memory that the GPU does not have is a typed error, at once where much is asked for, else with the result', async () => {
    const kernels = await createGpuJsKernels();
    const { prototype } = page.WebGL2RenderingContext;
    const { getError } = prototype;
    const outOfMemory = 0x0505;
    prototype.getError = () => outOfMemory;
    const small = kernels.allocate(4, 4);
    const { stores } = kernels.statistics;
    expect(() => kernels.allocate(4096, 1024)).toThrow(
      'gpujs: "allocate rows (4096, 1024)" expected memory of the GPU, got OUT_OF_MEMORY.\n' +
        '  Hint: run fewer or shorter documents at once.',
    );
    expect(kernels.statistics.stores).toBe(stores);
    const error = await fails(kernels.read(small, 0, 4));
    prototype.getError = getError;
    expect(error).toBeInstanceOf(MemoryError);
    expect([...(await kernels.read(small, 0, 1))]).toEqual([0, 0, 0, 0]);
    kernels.dispose();
  });

  it('handles are refused after free, after dispose, from elsewhere and of another kind', async () => {
    const device = await openDevice();
    const [kernels, other] = [await createGpuJsKernels({ device }), await createGpuJsKernels({ device })];
    const [rows, kept] = [kernels.allocate(2, 2), kernels.allocate(2, 2)];
    kernels.free(rows);
    expect(() => kernels.free(rows)).toThrow('gpujs: this Rows was freed before');
    expect(() => kernels.write(rows, Float32Array.of(1))).toThrow(/freed/);
    await expect(other.read(kept, 0, 1)).rejects.toThrow('gpujs: expected a handle of kind Rows made by these kernels');
    expect(() => kernels.gatherRows(kept, kept, kept as never)).toThrow(TypeError);
    await expect(kernels.read(kept, 1, 2)).rejects.toThrow('gpujs: rows 1..3 of a handle with 2 rows');
    expect(() => kernels.write(kept, new Float32Array(6))).toThrow(TypeError);
    kernels.dispose();
    expect(() => kernels.allocate(1, 1)).toThrow('gpujs: these kernels were disposed of');
    device.dispose();
  });

  it.each(['cpu', 'webasm', 'dev', 'gpu', 'webgl'])('the mode %s of gpu.js is refused', async mode => {
    const error = await fails(createGpuJsKernels({ mode: mode as 'webgl2' }));
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(error.message).toContain(`got ${mode}.`);
  });

  it('a browser without WebGL2', async () => {
    page.OffscreenCanvas.prototype.getContext = () => null;
    (await createGpuJsKernels()).dispose(); // on a canvas of the page
    page.HTMLCanvasElement.prototype.getContext = () => null;
    const error = await fails(createGpuJsKernels());
    page.HTMLCanvasElement.prototype.getContext = getContextOfElement;
    expect(error.message).toBe(
      'gpujs: "webgl2" expected a browser with WebGL2 and float32 textures that can be written, got no context.\n' +
        '  Hint: gpu.js can also compute on processors; that is no GPU, and is refused. The backend wasm runs everywhere.',
    );
  });
});

// The last one: a page cannot take a policy back.
it('works under a policy that forbids to make code of text', async () => {
  const { document } = globalThis as unknown as {
    document: { head: { append(node: object): void }; createElement(name: string): object };
  };
  const policy = { httpEquiv: 'Content-Security-Policy', content: "script-src 'self' 'unsafe-inline'" };
  document.head.append(Object.assign(document.createElement('meta'), policy));
  expect(() => new Function('return 1')).toThrow(EvalError);
  const kernels = await createGpuJsKernels();
  const model = await load(kernels);
  expect(numbers(await model.forward(documents)).every(Number.isFinite)).toBe(true);
  kernels.dispose();
});
