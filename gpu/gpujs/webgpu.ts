/// <reference types="@webgpu/types" />
/** Stores as buffers of WebGPU; kernels as compute shaders made by gpu.js. For Node, where there is no WebGL2: index-node.ts. */
import { DeviceError, LongformerError, MemoryError } from '../../contract/errors.ts';
import type { Argument, Device, Statistics, Store } from './device.ts';
import { create, type GpuJs, type GpuJsInstance, type GpuJsKernel } from './gpu-js.ts';
import { programs } from './kernels/programs.ts';
import { Ledger } from './memory.ts';
import type { Program } from './program.ts';

/** What gpu.js keeps of the one device it has in this mode. */
export interface WebGpuContext {
  readonly device: GPUDevice;
  readonly isLost: boolean;
}

export interface WebGpuOptions {
  readonly maximumMemoryBytes: number;
  readonly mostScores: number;
}

/** A kernel of gpu.js in this mode. */
interface WebGpuKernel {
  /** Of the last run. Set to null, it belongs to whoever took it. */
  outputBuffer: GPUBuffer | null;
  build(...values: unknown[]): Promise<void>;
}

interface BufferStore extends Store {
  readonly buffer: GPUBuffer;
}

/** Numbers of GPUBufferUsage and GPUMapMode, because Node has no such globals. */
const usage = { mapRead: 1, copySource: 4, copyTarget: 8, storage: 128 } as const;
const mapModeRead = 1;
/** Rows along y; more lie along z. A dispatch may have 65,535 groups of 8. */
const mostRows = 2 ** 18;

export class WebGpuDevice implements Device {
  readonly #library: GpuJs;
  readonly #context: WebGpuContext;
  readonly #gpu: GpuJsInstance;
  readonly #ledger: Ledger;
  readonly #mostScores: number;
  readonly #compiled = new Map<string, GpuJsKernel>();
  /** What the GPU said about an earlier call, until somebody asks. */
  #failure: LongformerError | null = null;
  readonly #complaint = ({ error }: GPUUncapturedErrorEvent): void => {
    this.#failure ??= typed(error);
  };
  readonly #disposeContext: () => void;
  #disposed = false;

  /** disposeContext: called when this device needs the context no longer. */
  constructor(
    library: GpuJs,
    gpu: GpuJsInstance,
    context: WebGpuContext,
    { maximumMemoryBytes, mostScores }: WebGpuOptions,
    disposeContext: () => void,
  ) {
    this.#disposeContext = disposeContext;
    this.#library = library;
    this.#gpu = gpu;
    this.#context = context;
    this.#mostScores = mostScores;
    const { maxBufferSize, maxStorageBufferBindingSize } = context.device.limits;
    const limit = maxStorageBufferBindingSize <= maxBufferSize ? 'maxStorageBufferBindingSize' : 'maxBufferSize';
    const bytes = Math.min(maxStorageBufferBindingSize, maxBufferSize);
    this.#ledger = new Ledger(maximumMemoryBytes, Math.floor(bytes / 4), `${limit} ${bytes}`);
    context.device.onuncapturederror = null; // gpu.js would only print it
    context.device.addEventListener('uncapturederror', this.#complaint);
  }

  get statistics(): Statistics {
    const { stores, bytes, uploadedBytes, runs } = this.#ledger;
    return { stores, bytes, uploadedBytes, compiled: this.#compiled.size, runs };
  }

  get availableBytes(): number {
    return this.#ledger.availableBytes;
  }

  get mostScores(): number {
    return Math.min(this.#mostScores, this.#ledger.largest);
  }

  /** gpu.js compiles when it can wait; the seam cannot. So everything is compiled before anybody calls. */
  async compile(): Promise<void> {
    const store = this.make('compile', 'nothing', 1, 1);
    await Promise.all(
      programs.map(async program => {
        const compiled = create(this.#gpu, program, 'WebGPUBuffer');
        const values = Object.values(program.arguments).map(type => (type === 'Rows' ? store.value : 0));
        await (compiled.kernel as unknown as WebGpuKernel).build(...values);
        this.#compiled.set(program.name, compiled);
      }),
    );
    this.delete(store);
  }

  make(where: string, name: string, rows: number, features: number): Store {
    this.expectAlive();
    const numbers = Math.max(1, rows * features);
    this.#ledger.expectRoom(where, name, numbers);
    const flags = usage.storage | usage.copySource | usage.copyTarget;
    return this.#own(this.#context.device.createBuffer({ size: 4 * numbers, usage: flags }), rows, features);
  }

  #own(buffer: GPUBuffer, rows: number, features: number): BufferStore {
    const settings = { buffer, output: [features, rows, 1], context: this.#context, kernel: {} };
    this.#ledger.add(buffer.size);
    return { rows, features, bytes: buffer.size, value: new this.#library.WebGPUBufferResult(settings), buffer };
  }

  upload(given: Store, first: number, values: Float32Array<ArrayBuffer>): Store {
    this.expectAlive();
    if (values.length === 0) return given;
    const store = this.#writable(given as BufferStore);
    this.#context.device.queue.writeBuffer(store.buffer, 4 * first, values);
    this.#ledger.uploadedBytes += values.byteLength;
    return store;
  }

  /** The store, or a copy in its place: buffers that gpu.js makes for results cannot be written from here. */
  #writable(store: BufferStore): BufferStore {
    if (store.buffer.usage & usage.copyTarget) return store;
    const { rows, features } = store;
    const copy = this.make('write', `rows (${rows}, ${features})`, rows, features) as BufferStore;
    const { device } = this.#context;
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(store.buffer, 0, copy.buffer, 0, 4 * rows * features);
    device.queue.submit([encoder.finish()]);
    this.delete(store);
    return copy;
  }

  run(program: Program, rows: number, features: number, values: readonly Argument[]): Store {
    this.expectAlive();
    this.#ledger.expectRoom(program.name, `result (${rows}, ${features})`, rows * features);
    const compiled = this.#compiled.get(program.name)!;
    const flat = rows <= mostRows;
    compiled.setOutput(flat ? [features, rows, 1] : [features, mostRows, Math.ceil(rows / mostRows)]);
    const result = compiled(...values.map(value => (typeof value === 'number' ? value : value.value)));
    (result as Promise<unknown>).catch((cause: unknown) => {
      this.#failure ??= typed(cause);
    });
    const kernel = compiled.kernel as unknown as WebGpuKernel;
    const buffer = kernel.outputBuffer;
    if (!buffer) throw this.#failure ?? typed(`no result of ${program.name}`);
    // The buffer changes its owner: the next run of this kernel makes a new one.
    kernel.outputBuffer = null;
    this.#ledger.runs++;
    return this.#own(buffer, rows, features);
  }

  async read(given: Store, first: number, count: number): Promise<Float32Array> {
    this.expectAlive();
    const { device } = this.#context;
    const bytes = 4 * count;
    const staging = device.createBuffer({ size: bytes, usage: usage.mapRead | usage.copyTarget });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer((given as BufferStore).buffer, 4 * first, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    try {
      await staging.mapAsync(mapModeRead, 0, bytes);
      this.expectAlive();
      return new Float32Array(staging.getMappedRange(0, bytes).slice(0));
    } catch (cause) {
      await Promise.race([device.lost, new Promise(resolve => setTimeout(resolve, 100))]);
      this.expectAlive();
      throw typed(cause);
    } finally {
      staging.destroy();
    }
  }

  delete(given: Store): void {
    if (this.#disposed) return;
    const { buffer, bytes } = given as BufferStore;
    buffer.destroy();
    this.#ledger.remove(bytes);
  }

  expectAlive(): void {
    if (this.#disposed) throw new TypeError('gpujs: these kernels were disposed of');
    if (this.#context.isLost) throw lost();
    const failure = this.#failure;
    this.#failure = null;
    if (failure) throw failure;
  }

  dispose(): void {
    if (this.#disposed) return;
    for (const { kernel } of this.#compiled.values()) kernel.destroy();
    this.#compiled.clear();
    this.#disposed = true;
    this.#ledger.stores = 0;
    this.#ledger.bytes = 0;
    this.#context.device.removeEventListener('uncapturederror', this.#complaint);
    this.#disposeContext();
  }
}

const typed = (cause: unknown): LongformerError => {
  if (cause instanceof LongformerError) return cause;
  const message = String((cause as { message?: string }).message ?? cause).split('\n', 1)[0]!;
  const complaint = { where: 'gpujs', name: 'call', expected: 'to be accepted by the GPU', got: message, cause };
  return /OutOfMemory/.test(Object(cause).constructor.name)
    ? new MemoryError({ ...complaint, hint: 'run fewer or shorter documents at once.' })
    : new DeviceError({ ...complaint, reason: 'Validation' });
};

const lost = (): DeviceError =>
  new DeviceError({
    where: 'gpujs',
    name: 'device',
    expected: 'to answer',
    got: 'a lost device',
    hint: 'make new kernels; everything on this device is gone.',
    reason: 'Lost',
  });
