/**
 * Memory that holds nothing between two calls: keys and values of global attention, a chunk of the documents at a time, and
 * what parts of an attention leave for `combine`. It grows with what is loaded, never in a forward pass, and never shrinks.
 */
import type { Block, Buffers } from './buffers.ts';
import type { Recorder } from './recorder.ts';

/** Tokens whose global keys and values exist at once. Longer documents have at most four chunks. */
const shortestChunk = 2048;
const mostChunks = 4;
/** Attention with few queries is cut into about this many workgroups for each head. */
const wantedParts = 64;
const mostSplits = 16;
/** Always there, so that a decoder can cut its keys into parts too. */
const leastPartials = 2 ** 21;

/** How global attention over T tokens is cut. */
export interface Chunks {
  readonly rows: number;
  readonly count: number;
  /** Parts of each chunk. */
  readonly splits: number;
}

export function chunksOf(tokens: number, globals: number): Chunks {
  const rows = Math.min(tokens, Math.max(shortestChunk, Math.ceil(tokens / mostChunks)));
  const splits = Math.max(1, Math.min(mostSplits, Math.floor(wantedParts / globals)));
  return { rows, count: Math.ceil(tokens / rows), splits };
}

export class Scratch {
  readonly #buffers: Buffers;
  readonly #recorder: Recorder;
  #projections: { readonly key: Block; readonly value: Block; readonly floats: number } | null = null;
  #partials: Block | null = null;
  #features = 0;
  #rows = 0;
  /** Parts of all chunks x global tokens. */
  #slots = 0;

  constructor(buffers: Buffers, recorder: Recorder) {
    this.#buffers = buffers;
    this.#recorder = recorder;
    this.#partials = buffers.make(
      'scratch',
      'partials',
      Math.min(leastPartials, buffers.limits.maxStorageBufferBindingSize),
      true,
    );
  }

  get key(): Block {
    return this.#projections!.key;
  }

  get value(): Block {
    return this.#projections!.value;
  }

  get partials(): Block {
    return this.#partials!;
  }

  /** Of the hidden states: any square linear layer may become a projection. @throws MemoryError */
  reserveFeatures(features: number): void {
    if (features > this.#features) this.#grow(features, this.#rows, this.#slots);
  }

  /** @throws MemoryError */
  reserveSequence(tokens: number, globals: number): void {
    if (globals === 0) return;
    const { rows, count, splits } = chunksOf(tokens, globals);
    const [mostRows, mostSlots] = [Math.max(rows, this.#rows), Math.max(count * splits * globals, this.#slots)];
    if (mostRows > this.#rows || mostSlots > this.#slots) this.#grow(this.#features, mostRows, mostSlots);
  }

  /** When the device refuses, nothing has changed. */
  #grow(features: number, rows: number, slots: number): void {
    const floats = features * rows;
    // Maximum and sum of each head beside its values; a head has at least one feature.
    const partialBytes = 4 * slots * 3 * features;
    const made: Block[] = [];
    const make = (name: string, bytes: number): Block => {
      const block = this.#buffers.make('scratch', name, bytes, true);
      made.push(block);
      return block;
    };
    try {
      const grown = floats > (this.#projections?.floats ?? 0);
      const projections = grown
        ? { key: make('global keys', 4 * floats), value: make('global values', 4 * floats), floats }
        : null;
      const partials = partialBytes > this.partials.bytes ? make('partials', partialBytes) : null;
      if (projections) {
        if (this.#projections)
          for (const block of [this.#projections.key, this.#projections.value]) this.#recorder.release(block);
        this.#projections = projections;
      }
      if (partials) {
        this.#recorder.release(this.partials);
        this.#partials = partials;
      }
      this.#features = features;
      this.#rows = rows;
      this.#slots = slots;
    } catch (error) {
      for (const block of made) this.#recorder.release(block);
      throw error;
    }
  }

  blocks(): Block[] {
    const { key, value } = this.#projections ?? {};
    return [key, value, this.#partials].filter(block => block != null);
  }
}
