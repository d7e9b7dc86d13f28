/**
 * The memory half of the seam: what is loaded, allocated, written, read and given back. Only `read` runs what was recorded, and waits.
 *
 * Read before: contract/kernels.ts, buffers.ts, recorder.ts. Read next: kernels.ts.
 */
import type {
  DeviceHandle,
  DeviceIndices,
  DeviceLinear,
  DeviceNorm,
  DeviceRows,
  DeviceSequence,
  SequenceRoles,
} from '../../contract/kernels.ts';
import type { Tensor } from '../../contract/tensor.ts';
import { type Block, Buffers, type Limits } from './buffers.ts';
import { expectInside, Handle, Indices, Linear, type LinearPart, Norm, Rows, Sequence } from './handles.ts';
import { Health } from './health.ts';
import type { Schedule } from './kernels/linear.ts';
import { boundsOf, firstGlobals, packLinear, packSequence } from './pack.ts';
import type { Dispatch } from './program.ts';
import { Recorder } from './recorder.ts';
import { Scratch } from './scratch.ts';
import { type Timing, Timings } from './timings.ts';

export interface KernelSettings {
  readonly name: string;
  readonly schedule: Schedule;
  readonly limits: Limits;
  readonly maximumMemoryBytes: number;
  /** Weights in float16. */
  readonly half: boolean;
  readonly timings: boolean;
  /** Floating-point operations of one submit, at most. */
  readonly mostFlops: number;
  /** Whether `dispose` destroys the device. */
  readonly ownsDevice: boolean;
}

/** What tests and benchmarks look at. */
export interface Statistics {
  readonly buffers: number;
  readonly bytes: number;
  /** Of handles, since the kernels were made: weights, documents, activations. */
  readonly uploadedBytes: number;
  readonly submits: number;
  readonly reads: number;
}

export class DeviceMemory {
  readonly name: string;
  readonly #device: GPUDevice;
  protected readonly settings: KernelSettings;
  readonly #health: Health;
  readonly #buffers: Buffers;
  readonly #recorder: Recorder;
  readonly #timings: Timings | null;
  protected readonly scratch: Scratch;
  readonly #handles = new Set<Handle>();
  #reads = 0;
  #disposed = false;

  /** @throws MemoryError */
  constructor(device: GPUDevice, settings: KernelSettings) {
    this.name = settings.name;
    this.#device = device;
    this.settings = settings;
    this.#health = new Health(device);
    this.#buffers = new Buffers(device, this.#health, settings.limits, settings.maximumMemoryBytes);
    this.#timings = settings.timings ? new Timings(device, this.#buffers) : null;
    this.#recorder = new Recorder(device, this.#health, this.#buffers, settings.mostFlops, this.#timings);
    this.scratch = new Scratch(this.#buffers, this.#recorder);
  }

  get statistics(): Statistics {
    return { ...this.#buffers.statistics, submits: this.#recorder.submits, reads: this.#reads };
  }

  /** Device time of each kernel since the last call. Only with the setting `timings`. */
  async takeTimings(): Promise<Timing[]> {
    this.#alive();
    return (await this.#timings?.take()) ?? [];
  }

  loadLinear(weight: Tensor, bias: Tensor | null): DeviceLinear {
    const [outFeatures, inFeatures] = weight.shape as [number, number];
    const { half, limits } = this.settings;
    const columnBytes = (half ? 2 : 4) * (inFeatures + 1);
    // One binding holds so many columns; a vocabulary may need several.
    const most =
      4 * Math.floor(Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize) / (4 * columnBytes)) || 4;
    const sizes = Array.from({ length: Math.ceil(outFeatures / most) }, (_, i) =>
      Math.min(most, outFeatures - i * most),
    );
    if (inFeatures === outFeatures) this.scratch.reserveFeatures(outFeatures);
    const name = `weight (${outFeatures}, ${inFeatures})`;
    const handle = this.#make(
      Linear,
      'loadLinear',
      name,
      sizes.map(columns => columnBytes * 4 * Math.ceil(columns / 4)),
    );
    const parts = handle.blocks.map((block, i): LinearPart => ({ block, firstColumn: i * most, columns: sizes[i]! }));
    try {
      for (const { block, firstColumn, columns } of parts) {
        packLinear(weight, bias, firstColumn, columns, half, (values, at) => this.#buffers.upload(block, at, values));
      }
    } catch (error) {
      this.#forget(new Set([handle]));
      throw error;
    }
    return Object.assign(handle, { inFeatures, outFeatures, parts }) as unknown as DeviceLinear;
  }

  loadNorm(gamma: Tensor, beta: Tensor): DeviceNorm {
    const features = gamma.data.length;
    const handle = this.#make(Norm, 'loadNorm', `norm (${features})`, [8 * features]);
    this.#buffers.upload(handle.block, 0, new Float32Array(gamma.data));
    this.#buffers.upload(handle.block, 4 * features, new Float32Array(beta.data));
    return Object.assign(handle, { features }) as unknown as DeviceNorm;
  }

  loadSequence(roles: SequenceRoles): DeviceSequence {
    const { attentionMask, globalIndices } = roles;
    const length = attentionMask.length;
    const globalCount = globalIndices.length;
    const bounds = boundsOf(roles);
    const globals = firstGlobals(bounds, globalIndices);
    const packed = packSequence(roles, bounds, globals);
    this.scratch.reserveSequence(length, globalCount);
    const handle = this.#make(Sequence, 'loadSequence', `sequence of ${length} tokens`, [packed.byteLength]);
    this.#buffers.upload(handle.block, 0, packed);
    return Object.assign(handle, { length, globalCount, bounds, globals }) as unknown as DeviceSequence;
  }

  loadIndices(rows: Int32Array): DeviceIndices {
    const handle = this.#make(Indices, 'loadIndices', `indices (${rows.length})`, [4 * rows.length]);
    const values = new Int32Array(rows);
    this.#buffers.upload(handle.block, 0, values);
    return Object.assign(handle, { length: rows.length, values }) as unknown as DeviceIndices;
  }

  writeIndices(target: DeviceIndices, rows: Int32Array): void {
    const handle = this.use(target, Indices);
    if (rows.length !== handle.length) {
      throw new TypeError(`webgpu: ${rows.length} row numbers for a handle with ${handle.length}`);
    }
    this.#recorder.flushUsesOf(handle.block);
    handle.values = new Int32Array(rows);
    this.#buffers.upload(handle.block, 0, new Int32Array(rows));
  }

  allocate(rows: number, features: number): DeviceRows {
    const handle = this.#make(Rows, 'allocate', `rows (${rows}, ${features})`, [4 * rows * features]);
    return Object.assign(handle, { rows, features }) as unknown as DeviceRows;
  }

  write(target: DeviceRows, values: Float32Array | Float64Array, firstRow = 0): void {
    const rows = this.use(target, Rows);
    expectInside(rows, firstRow, values.length / rows.features);
    this.#recorder.flushUsesOf(rows.block);
    this.#buffers.upload(rows.block, 4 * firstRow * rows.features, new Float32Array(values));
  }

  /** Runs everything recorded so far. @throws DeviceError, MemoryError, also for earlier calls that the device refused */
  async read(source: DeviceRows, firstRow: number, rowCount: number): Promise<Float32Array> {
    const from = this.use(source, Rows);
    expectInside(from, firstRow, rowCount);
    const bytes = 4 * rowCount * from.features;
    if (bytes === 0) return new Float32Array(0);
    this.#reads++;
    const staging = this.#buffers.staging(bytes);
    const { block } = from;
    const submitted = this.#recorder.flush({
      from: block,
      byteOffset: 4 * firstRow * from.features,
      to: staging,
      bytes,
    });
    const result = await this.#buffers.takeResult(staging, bytes);
    this.#recorder.judge();
    if (block.refusal ?? submitted.error) throw block.refusal ?? submitted.error;
    return new Float32Array(result);
  }

  /** Also on a lost device: whoever cleans up after an error must not meet another. */
  free(...handles: DeviceHandle[]): void {
    this.#forget(new Set(handles.map(given => this.#own(given, Handle))));
  }

  availableBytes(): number {
    return this.#buffers.availableBytes;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#recorder.dispose();
    for (const { blocks } of this.#handles) for (const block of blocks) this.#buffers.destroy(block);
    for (const block of this.scratch.blocks()) this.#buffers.destroy(block);
    this.#handles.clear();
    this.#buffers.dispose();
    if (this.settings.ownsDevice) this.#device.destroy();
  }

  protected record(dispatches: readonly Dispatch[]): void {
    for (const dispatch of dispatches) this.#recorder.record(dispatch);
  }

  /** A new handle with a block for each size. When one is refused, nothing has changed. */
  #make<Kind extends Handle>(
    kind: new (owner: object, blocks: readonly Block[]) => Kind,
    where: string,
    name: string,
    sizes: readonly number[],
  ): Kind {
    this.#alive();
    const blocks: Block[] = [];
    try {
      for (const bytes of sizes) blocks.push(this.#buffers.make(where, name, bytes));
    } catch (error) {
      this.#recorder.release(blocks);
      throw error;
    }
    const handle = new kind(this, blocks);
    this.#handles.add(handle);
    return handle;
  }

  #forget(handles: ReadonlySet<Handle>): void {
    const blocks = [...handles].flatMap(handle => handle.blocks);
    for (const handle of handles) {
      this.#handles.delete(handle);
      handle.blocks = [];
    }
    this.#recorder.release(blocks);
  }

  /** @throws TypeError after dispose, DeviceError when the device is lost */
  #alive(): void {
    if (this.#disposed) throw new TypeError('webgpu: these kernels were disposed of');
    if (this.#health.loss) throw this.#health.loss;
  }

  /** A handle that can be computed with. @throws MemoryError, DeviceError when the device refused its memory, or what should be in it */
  protected use<Kind extends Handle>(
    given: DeviceHandle,
    kind: new (owner: object, blocks: readonly Block[]) => Kind,
  ): Kind {
    this.#alive();
    const handle = this.#own(given, kind);
    for (const { refusal } of handle.blocks) if (refusal) throw refusal;
    return handle;
  }

  /** @throws TypeError when the handle is of another kind or backend, or was given back already. */
  #own<Kind extends Handle>(given: DeviceHandle, kind: new (owner: object, blocks: readonly Block[]) => Kind): Kind {
    const handle: unknown = given;
    if (this.#disposed) throw new TypeError('webgpu: these kernels were disposed of');
    if (!(handle instanceof kind) || handle.owner !== this) {
      throw new TypeError(`webgpu: expected a handle of kind ${kind.name} made by these kernels`);
    }
    if (handle.blocks.length === 0) throw new TypeError(`webgpu: this ${handle.constructor.name} was freed before`);
    return handle;
  }
}
