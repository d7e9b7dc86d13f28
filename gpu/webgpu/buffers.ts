/**
 * Memory of the device: one buffer for each handle, checked against the limits before it is made, counted while it lives.
 *
 * Numbers of GPUBufferUsage and GPUMapMode stand here, because Node has no such globals.
 */
import { type LongformerError, MemoryError } from '../../contract/errors.ts';
import type { Health } from './health.ts';

const usage = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 64, storage: 128, queryResolve: 512 } as const;
const mapModeRead = 1;

/** What may lie in one buffer, and be seen by a kernel at once. */
export interface Limits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
  readonly maxComputeWorkgroupStorageSize: number;
}

/** One buffer of a handle, or scratch. */
export interface Block {
  readonly id: number;
  readonly buffer: GPUBuffer;
  readonly bytes: number;
  /** Holds nothing between two calls of the seam. */
  readonly scratch: boolean;
  /** Set by `release`: nobody will read it any more; commands that were recorded before may. */
  released: boolean;
  /** Why nobody can use what is in it, once that is known: the device did not have it, or a submit that wrote to it failed. */
  refusal: LongformerError | null;
}

/** Idle buffers for reading that are kept, and how large they may be: a decoding step must not make a new one, but a rare large result may. */
const idleStagings = 2;
const mostIdleBytes = 2 ** 24;

export class Buffers {
  readonly #device: GPUDevice;
  readonly #health: Health;
  readonly limits: Limits;
  readonly #maximumBytes: number;
  readonly #idle: GPUBuffer[] = [];
  readonly #refusedStagings = new WeakMap<GPUBuffer, LongformerError>();
  #next = 0;
  #bytes = 0;
  #count = 0;
  #uploaded = 0;

  constructor(device: GPUDevice, health: Health, limits: Limits, maximumBytes: number) {
    this.#device = device;
    this.#health = health;
    this.limits = limits;
    this.#maximumBytes = maximumBytes;
  }

  get availableBytes(): number {
    return this.#maximumBytes - this.#bytes;
  }

  /** Buffers that kernels see, their bytes, and all bytes ever uploaded. */
  get statistics(): { buffers: number; bytes: number; uploadedBytes: number } {
    return { buffers: this.#count, bytes: this.#bytes, uploadedBytes: this.#uploaded };
  }

  /**
   * A buffer that kernels can bind as a whole. name: what it is for, as the message should say it.
   *
   * A device that has less memory than its limits promise says so later; then the handle is refused when it is used.
   * @throws MemoryError
   */
  make(where: string, name: string, wanted: number, scratch = false): Block {
    const bytes = Math.max(16, Math.ceil(wanted / 16) * 16);
    const limit =
      this.limits.maxStorageBufferBindingSize <= this.limits.maxBufferSize
        ? 'maxStorageBufferBindingSize'
        : 'maxBufferSize';
    this.#expect(
      where,
      name,
      bytes,
      this.limits[limit],
      limit,
      'run fewer or shorter documents at once, or use an adapter with a larger limit.',
    );
    this.#expect(
      where,
      name,
      bytes,
      this.availableBytes,
      'left of maximumMemoryBytes',
      'dispose of models that are no longer needed.',
    );
    const flags = usage.storage | usage.copySource | usage.copyTarget;
    const buffer = this.#health.watch(
      `${where} ${name}`,
      () => this.#device.createBuffer({ size: bytes, usage: flags }),
      error => {
        block.refusal ??= error;
      },
    );
    const block: Block = { id: this.#next++, buffer, bytes, scratch, released: false, refusal: null };
    this.#bytes += bytes;
    this.#count++;
    return block;
  }

  #expect(where: string, name: string, bytes: number, most: number, limit: string, hint: string): void {
    if (bytes <= most) return;
    throw new MemoryError({
      where: `webgpu.${where}`,
      name,
      expected: `at most ${most} bytes (${limit})`,
      got: String(bytes),
      hint,
    });
  }

  /** For the numbers of calls. */
  makeUniform(bytes: number): GPUBuffer {
    return this.#device.createBuffer({ size: bytes, usage: usage.uniform | usage.copyTarget });
  }

  /** For the results of a query set. */
  makeResolve(bytes: number): GPUBuffer {
    return this.#device.createBuffer({ size: bytes, usage: usage.queryResolve | usage.copySource });
  }

  upload(block: Block, byteOffset: number, data: ArrayBufferView<ArrayBuffer>): void {
    if (data.byteLength === 0) return;
    this.#uploaded += data.byteLength;
    this.#health.watch(
      'write',
      () => this.#device.queue.writeBuffer(block.buffer, byteOffset, data),
      error => {
        block.refusal ??= error;
      },
    );
  }

  destroy(block: Block): void {
    block.buffer.destroy();
    this.#bytes -= block.bytes;
    this.#count--;
  }

  /** A buffer to copy results into; give it back with `takeResult`. */
  staging(bytes: number): GPUBuffer {
    const at = this.#idle.findIndex(({ size }) => size >= bytes);
    if (at >= 0) return this.#idle.splice(at, 1)[0]!;
    const size = Math.max(4096, 2 ** Math.ceil(Math.log2(bytes)));
    const descriptor = {
      size: Math.min(size, Math.max(bytes, this.limits.maxBufferSize)),
      usage: usage.mapRead | usage.copyTarget,
    };
    const staging = this.#health.watch(
      'read',
      () => this.#device.createBuffer(descriptor),
      error => {
        if (error) this.#refusedStagings.set(staging, error);
      },
    );
    return staging;
  }

  /** Waits for the copy and takes its bytes. @throws DeviceError, MemoryError */
  async takeResult(staging: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    try {
      await staging.mapAsync(mapModeRead, 0, bytes);
      await this.#health.settle();
      const result = staging.getMappedRange(0, bytes).slice(0);
      staging.unmap();
      this.#keep(staging);
      return result;
    } catch (cause) {
      staging.destroy();
      await this.#health.settle();
      throw this.#refusedStagings.get(staging) ?? (await this.#health.explain(cause));
    }
  }

  #keep(staging: GPUBuffer): void {
    if (staging.size > mostIdleBytes) staging.destroy();
    else this.#idle.push(staging);
    this.#idle.sort((a, b) => a.size - b.size);
    while (this.#idle.length > idleStagings) this.#idle.shift()!.destroy(); // the large ones serve every read
  }

  /** The idle ones; blocks belong to whoever made them. */
  dispose(): void {
    for (const staging of this.#idle.splice(0)) staging.destroy();
  }
}
