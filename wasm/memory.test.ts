/** Memory, handles and instantiation: what is refused, and that the instance still answers afterwards. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MemoryError, UnsupportedError, ValueRangeError } from '../contract/errors.ts';
import type { DeviceHandle, DeviceIndices, DeviceNorm, Kernels } from '../contract/kernels.ts';
import { Arena, type LinearMemory } from './arena.ts';
import { tileSource } from './generate-tile.ts';
import { createWasmKernels } from './index.ts';
import { chooseBuild, instantiate, loadModule } from './instantiate.ts';
import { WasmKernels } from './kernels.ts';
import { randomNumbers } from './random.ts';

/** A memory without an engine, whose n-th growth (from 0) is refused. */
class FakeMemory implements LinearMemory {
  buffer = new ArrayBuffer(65_536);
  growths = 0;
  readonly refused: number;
  constructor(refused = -1) {
    this.refused = refused;
  }
  grow(pages: number): number {
    if (this.growths++ === this.refused) throw new RangeError('refused');
    const before = this.buffer.byteLength / 65_536;
    this.buffer = this.buffer.transfer(this.buffer.byteLength + pages * 65_536);
    return before;
  }
}

/** A layer's worth of calls on T tokens; returns the result and gives everything back. */
async function smallRun(kernels: Kernels, length: number): Promise<Float32Array> {
  const random = randomNumbers(length);
  const [heads, hiddenSize] = [2, 16];
  const made: DeviceHandle[] = [];
  const keep = <Kind extends DeviceHandle>(handle: Kind): Kind => {
    made.push(handle);
    return handle;
  };
  try {
    const sequence = keep(
      kernels.loadSequence({
        documentStarts: Int32Array.of(0),
        attentionMask: new Uint8Array(length).fill(1),
        globalIndices: Int32Array.of(0),
      }),
    );
    const weights = keep(
      kernels.loadLinear(
        { shape: [hiddenSize, hiddenSize], data: random(hiddenSize ** 2) },
        { shape: [hiddenSize], data: random(hiddenSize) },
      ),
    );
    const [states, key, out] = [0, 1, 2].map(() => keep(kernels.allocate(length, hiddenSize))) as [never, never, never];
    const first = keep(kernels.loadIndices(Int32Array.of(0)));
    const query = keep(kernels.allocate(1, hiddenSize));
    kernels.write(states, random(length * hiddenSize));
    kernels.linear(key, states, weights, { activation: 'gelu' });
    const band = { heads, oneSidedWindow: 3, dilation: [1, 2], causal: false };
    kernels.slidingWindowAttention(out, states, key, key, sequence, band);
    kernels.gatherRows(query, states, first);
    kernels.globalAttention(out, query, states, weights, weights, sequence, heads, false, first);
    return (await kernels.read(out, 0, length)) as Float32Array;
  } finally {
    kernels.free(...made.reverse());
  }
}

describe('arena', () => {
  it('gives back regions in any order and joins them', () => {
    const memory = new FakeMemory();
    const arena = new Arena(memory);
    const before = arena.availableBytes;
    const addresses = [100, 1000, 64, 5000, 1].map(bytes => arena.allocate(bytes, 'test'));
    for (const address of addresses) expect(address % 64).toBe(0);
    for (const i of [3, 0, 4, 2, 1]) arena.free(addresses[i]!, [100, 1000, 64, 5000, 1][i]!);
    expect(arena.availableBytes).toBe(before);
    expect(arena.allocate(6000, 'test')).toBe(addresses[0]);
    expect(memory.growths).toBe(0);
  });

  it('never gives out a byte twice', () => {
    const arena = new Arena(new FakeMemory());
    const random = randomNumbers(3);
    const live: { address: number; bytes: number; mark: number }[] = [];
    for (let step = 1; step < 3000; step++) {
      if (random(1)[0]! > 0 || live.length === 0) {
        const bytes = Math.ceil(Math.abs(random(1)[0]!) * 3000);
        const address = arena.allocate(bytes, 'test');
        arena.bytes.fill(step % 251, address, address + bytes);
        live.push({ address, bytes, mark: step % 251 });
      } else {
        const [gone] = live.splice(Math.floor(Math.abs(random(1)[0]!) * live.length), 1);
        expect(arena.bytes.subarray(gone!.address, gone!.address + gone!.bytes).every(b => b === gone!.mark)).toBe(
          true,
        );
        arena.free(gone!.address, gone!.bytes);
      }
    }
  });

  it('grows once for what was reserved, and piece by piece when that is refused', () => {
    for (const refused of [-1, 0]) {
      const memory = new FakeMemory(refused);
      const arena = new Arena(memory);
      arena.reserve(20 * 100_000);
      for (let i = 0; i < 20; i++) arena.allocate(100_000 - 64, 'test');
      if (refused < 0) expect(memory.growths).toBe(1);
      else expect(memory.growths).toBeGreaterThan(5);
    }
    const memory = new FakeMemory();
    const arena = new Arena(memory, 2 ** 20);
    arena.reserve(2 ** 21);
    expect(memory.growths).toBe(0);
    expect(() => arena.allocate(2 ** 21, 'test')).toThrow(MemoryError);
  });

  it('refuses by arithmetic what cannot be addressed, without asking', () => {
    const memory = new FakeMemory();
    const arena = new Arena(memory);
    for (const bytes of [2 ** 32, 2 ** 40, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => arena.allocate(bytes, 'test')).toThrow(MemoryError);
    }
    expect(memory.growths).toBe(0);
    expect(arena.allocate(10, 'test')).toBeGreaterThan(0);
  });
});

describe('memory of the kernels', () => {
  afterEach(() => vi.restoreAllMocks());

  it('is refused at the n-th growth with a MemoryError, and the instance still answers', async () => {
    const module = await loadModule('baseline');
    const expected = await smallRun(await createWasmKernels({ build: 'baseline', module }), 2000);
    let refusals = 0;
    for (let n = 0; n < 50; n++) {
      const { memory, exports } = await instantiate(module, 2 ** 28);
      let growths = 0;
      const real = memory.grow.bind(memory);
      memory.grow = pages => {
        if (growths++ === n) throw new RangeError('refused');
        return real(pages);
      };
      let kernels: WasmKernels;
      try {
        kernels = new WasmKernels('wasm', memory, exports);
      } catch (error) {
        expect(error).toBeInstanceOf(MemoryError);
        refusals++;
        continue;
      }
      const before = kernels.availableBytes();
      const first = await smallRun(kernels, 2000).catch((error: unknown) => error);
      if (growths <= n) {
        expect(first).toEqual(expected);
        break;
      }
      expect(first).toBeInstanceOf(MemoryError);
      refusals++;
      expect(kernels.availableBytes()).toBeGreaterThan(before - 8e6); // the scratch may have grown
      expect(await smallRun(kernels, 2000)).toEqual(expected);
    }
    expect(refusals).toBeGreaterThan(2);
  });

  it('is bounded by maximumMemoryBytes', async () => {
    const kernels = await createWasmKernels({ maximumMemoryBytes: 2 ** 24 });
    expect(() => kernels.allocate(2 ** 12, 2 ** 11)).toThrow(MemoryError);
    expect(() => kernels.allocate(2 ** 20, 2 ** 20)).toThrow(/at most 16777216 bytes/);
    expect(await smallRun(kernels, 20)).toHaveLength(320);
    await expect(createWasmKernels({ maximumMemoryBytes: 65_536 })).rejects.toThrow(MemoryError);
  });

  it('does not grow in 1,000 runs', async () => {
    const { memory, exports } = await instantiate(await loadModule('baseline'), 2 ** 28);
    const kernels = new WasmKernels('wasm', memory, exports);
    for (const length of [64, 3, 17]) await smallRun(kernels, length);
    const bytes = memory.buffer.byteLength;
    const available = kernels.availableBytes();
    for (let run = 0; run < 1000; run++) await smallRun(kernels, 1 + (run % 64));
    expect(memory.buffer.byteLength).toBe(bytes);
    expect(kernels.availableBytes()).toBe(available);
  });

  it('does not grow while computing', async () => {
    const { memory, exports } = await instantiate(await loadModule('baseline'), 2 ** 28);
    const kernels = new WasmKernels('wasm', memory, exports);
    const rows = Array.from({ length: 4 }, () => kernels.allocate(900, 40));
    for (const row of rows) kernels.write(row, randomNumbers(1)(900 * 40));
    const sequence = kernels.loadSequence({
      documentStarts: Int32Array.of(0),
      attentionMask: new Uint8Array(900).fill(1),
      globalIndices: Int32Array.from({ length: 300 }, (_, i) => 3 * i),
    });
    memory.grow = () => expect.unreachable('growth during a compute call') as never;
    for (const oneSidedWindow of [1, 400, 5000]) {
      const band = { heads: 1, oneSidedWindow, dilation: [1], causal: false };
      kernels.slidingWindowAttention(rows[0]!, rows[1]!, rows[2]!, rows[3]!, sequence, band);
    }
    expect((await kernels.read(rows[0]!, 1, 1)).every(Number.isFinite)).toBe(true);
  });
});

describe('handles', () => {
  it('are refused after free, after dispose, from elsewhere and of another kind', async () => {
    const kernels = await createWasmKernels();
    const other = await createWasmKernels();
    const [rows, kept] = [kernels.allocate(2, 2), kernels.allocate(2, 2)];
    kernels.free(rows);
    expect(() => kernels.free(rows)).toThrow(TypeError);
    expect(() => kernels.write(rows, Float32Array.of(1))).toThrow(/freed/);
    expect(() => other.read(kept, 0, 1)).toThrow(TypeError);
    expect(() => kernels.addLayerNorm(kept, kept, null, kept as unknown as DeviceNorm, 1)).toThrow(TypeError);
    expect(() => kernels.gatherRows(kept, kept, kept as unknown as DeviceIndices)).toThrow(TypeError);
    expect(() => kernels.read(kept, 1, 2)).toThrow(TypeError);
    expect(() => kernels.write(kept, new Float32Array(6))).toThrow(TypeError);
    kernels.dispose();
    expect(() => kernels.read(kept, 0, 1)).toThrow(/disposed/);
  });
});

describe('instantiation', () => {
  afterEach(() => vi.restoreAllMocks());

  it('takes a module, its bytes and a URL', async () => {
    const url = new URL('./build/kernels-baseline.wasm', import.meta.url);
    const bytes = readFileSync(url);
    const expected = await smallRun(await createWasmKernels({ build: 'baseline' }), 9);
    const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    for (const module of [url, url.href, bytes, copy, await loadModule('baseline')]) {
      expect(await smallRun(await createWasmKernels({ build: 'baseline', module }), 9)).toEqual(expected);
    }
  });

  it('falls back to the baseline build and says what is missing', async () => {
    expect(chooseBuild('auto')).toBe('relaxed');
    const { WebAssembly } = globalThis as unknown as { WebAssembly: { validate(bytes: Uint8Array): boolean } };
    const validate = vi.spyOn(WebAssembly, 'validate');
    validate.mockImplementation(bytes => bytes.length < 34); // the probe of the baseline build is shorter
    expect(chooseBuild('auto')).toBe('baseline');
    expect(() => chooseBuild('relaxed')).toThrow(/relaxed SIMD/);
    validate.mockReturnValue(false);
    await expect(createWasmKernels()).rejects.toThrow(UnsupportedError);
    await expect(createWasmKernels()).rejects.toThrow(/WebAssembly SIMD/);
  });

  it.each([1, 2])('says what a limit on the address space does (%i threads)', async threads => {
    const { WebAssembly } = globalThis as unknown as { WebAssembly: { Memory: new () => unknown } };
    vi.spyOn(WebAssembly, 'Memory').mockImplementation(
      class {
        constructor() {
          throw new RangeError('WebAssembly.Memory(): could not allocate memory');
        }
      },
    );
    await expect(createWasmKernels({ threads })).rejects.toThrow(MemoryError);
    await expect(createWasmKernels({ threads })).rejects.toThrow(/`ulimit -v`/);
  });

  it('refuses a number of threads that is none', async () => {
    for (const threads of [0, 1.5, -1, 65, Number.NaN]) {
      await expect(createWasmKernels({ threads })).rejects.toThrow(ValueRangeError);
    }
  });
});

describe('assembly/tile.ts', () => {
  it('is what generate-tile.ts writes', () => {
    expect(readFileSync(new URL('./assembly/tile.ts', import.meta.url), 'utf8')).toBe(tileSource());
  });
});
