/** One linear memory and a list of its free pieces. Growth happens in `allocate` and nowhere else. */
import { MemoryError } from '../contract/errors.ts';

/** What the arena needs of a WebAssembly.Memory. */
export interface LinearMemory {
  readonly buffer: ArrayBufferLike;
  grow(pages: number): number;
}

const pageBytes = 65_536;
/** Regions begin at cache lines, so no vector of a packed panel straddles two of them. */
const alignment = 64;
/** Nothing lies at address 0. */
const firstByte = 1024;
/** 32-bit addresses; the last page stays free, so that the end of a region is still an address. */
export const mostBytes = 65_535 * pageBytes;

interface Region {
  offset: number;
  bytes: number;
}

const roundUp = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

export class Arena {
  readonly memory: LinearMemory;
  readonly maximumBytes: number;
  /** Free regions, ascending, never touching each other. */
  #free: Region[] = [];
  /** First byte behind all regions ever handed out. */
  #end = firstByte;
  #floats: Float32Array;
  #integers: Int32Array;
  #bytes: Uint8Array;

  constructor(memory: LinearMemory, maximumBytes: number = mostBytes) {
    this.memory = memory;
    this.maximumBytes = Math.min(maximumBytes, mostBytes);
    this.#floats = new Float32Array(memory.buffer);
    this.#integers = new Int32Array(memory.buffer);
    this.#bytes = new Uint8Array(memory.buffer);
  }

  /** Views of the whole memory; valid until the next `allocate`. */
  get floats(): Float32Array {
    return this.#floats;
  }
  get integers(): Int32Array {
    return this.#integers;
  }
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Bytes in free regions and beyond the last one. A single region of that size need not fit. */
  get availableBytes(): number {
    return this.#free.reduce((sum, region) => sum + region.bytes, this.maximumBytes - this.#end);
  }

  /**
   * Address of `bytes` new bytes, a multiple of 64. Their content is whatever was there.
   * @throws MemoryError; nothing has changed then.
   */
  allocate(bytes: number, where: string): number {
    const size = roundUp(Math.max(bytes, 1));
    const fitting = this.#free.findIndex(region => region.bytes >= size);
    if (fitting >= 0) {
      const region = this.#free[fitting]!;
      const { offset } = region;
      region.offset += size;
      region.bytes -= size;
      if (region.bytes === 0) this.#free.splice(fitting, 1);
      return offset;
    }
    // The last free region may reach up to the end: then only the rest is new.
    const last = this.#free.at(-1);
    const offset = last !== undefined && last.offset + last.bytes === this.#end ? last.offset : this.#end;
    this.#growTo(offset + size, size, where);
    if (offset !== this.#end) this.#free.pop();
    this.#end = offset + size;
    return offset;
  }

  /**
   * Grows once for what `allocate` will be asked for, as far as that is possible. After each growth the garbage collector looks at its whole
   * heap: 19 times for the weights of a base model, a quarter of a second.
   */
  reserve(bytes: number): void {
    try {
      this.#growTo(this.#end + bytes, bytes, 'reserve');
    } catch (error) {
      // Whoever asks for too much hears of it then; smaller growths may still be granted.
      if (!(error instanceof MemoryError)) throw error;
    }
  }

  /** Gives back what `allocate` gave for the same number of bytes. */
  free(offset: number, bytes: number): void {
    const size = roundUp(Math.max(bytes, 1));
    const after = this.#free.findIndex(region => region.offset > offset);
    const index = after < 0 ? this.#free.length : after;
    this.#free.splice(index, 0, { offset, bytes: size });
    this.#joinWithNext(index);
    if (index > 0) this.#joinWithNext(index - 1);
  }

  #joinWithNext(index: number): void {
    const region = this.#free[index]!;
    const next = this.#free[index + 1];
    if (next === undefined || region.offset + region.bytes !== next.offset) return;
    region.bytes += next.bytes;
    this.#free.splice(index + 1, 1);
  }

  #growTo(end: number, wanted: number, where: string): void {
    const missing = end - this.memory.buffer.byteLength;
    if (missing <= 0) return;
    // Written so that NaN fails too.
    if (!(end <= this.maximumBytes)) {
      throw new MemoryError({
        where,
        name: 'memory',
        expected: `at most ${this.maximumBytes} bytes in all`,
        got: `${end} with the ${wanted} asked for`,
        hint: 'WebAssembly addresses 4 GB; free models and documents that are done, or ask for fewer tokens at a time.',
      });
    }
    try {
      this.#growBy(Math.ceil(missing / pageBytes));
    } catch (cause) {
      throw new MemoryError({
        where,
        name: 'memory',
        expected: `${wanted} more bytes`,
        got: `a refusal at ${this.memory.buffer.byteLength} bytes`,
        cause,
      });
    }
    this.#floats = new Float32Array(this.memory.buffer);
    this.#integers = new Int32Array(this.memory.buffer);
    this.#bytes = new Uint8Array(this.memory.buffer);
  }

  /** An eighth more than asked for, when there is as much: each growth costs a millisecond, and untouched pages cost nothing. */
  #growBy(pages: number): void {
    const held = this.memory.buffer.byteLength / pageBytes;
    const ample = Math.min(Math.max(pages, Math.floor(held / 8)), Math.floor(this.maximumBytes / pageBytes) - held);
    if (ample > pages) {
      try {
        this.memory.grow(ample);
        return;
      } catch {
        // then only what is needed
      }
    }
    this.memory.grow(pages);
  }
}
