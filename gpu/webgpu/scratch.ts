/**
 * Memory that holds nothing between two calls. It grows with what is loaded, never in a forward pass, and never shrinks.
 *
 * Global attention needs most of it: keys and values of a chunk of the documents at a time, or, for few global tokens, what
 * kernels/folded-attention.ts keeps. `partials` is what parts of an attention leave for `combine`.
 */
import type { Block, Buffers } from './buffers.ts';
import type { Recorder } from './recorder.ts';

export type ScratchName =
  | 'globalKeys'
  | 'globalValues'
  | 'partials'
  | 'foldedQueries'
  | 'foldedScores'
  | 'foldedMaxima'
  | 'foldedSums'
  | 'foldedStates';

/** Tokens whose global keys and values exist at once. Longer documents have at most four chunks. */
const shortestChunk = 2048;
const mostChunks = 4;
/** Attention with few queries is cut into about this many workgroups for each head. */
const wantedParts = 64;
const mostSplits = 16;
/** Always there, so that a decoder can cut its keys into parts too. */
const leastPartials = 2 ** 21;

/** Global tokens x heads, at most, whose projections are folded into the queries. */
export const mostFolded = 64;
const tokensOfPart = 128;
const mostFoldedParts = 32;

/** How global attention over T tokens is cut. */
export interface Chunks {
  readonly rows: number;
  readonly count: number;
  /** Parts of each chunk. */
  readonly splits: number;
}

/** For `globals` global tokens over all documents, at least one. */
export function chunksOf(tokens: number, globals: number): Chunks {
  const rows = Math.min(tokens, Math.max(shortestChunk, Math.ceil(tokens / mostChunks)));
  const splits = Math.max(1, Math.min(mostSplits, Math.floor(wantedParts / globals)));
  return { rows, count: Math.ceil(tokens / rows), splits };
}

/** Tokens of a part when projections are folded. */
export const foldedPart = (tokens: number): number => Math.max(tokensOfPart, Math.ceil(tokens / mostFoldedParts));

/** The largest of everything that was loaded so far. */
interface Needs {
  /** Features of the hidden states: any square linear layer may become a projection. */
  readonly features: number;
  readonly tokens: number;
  /** Rows of the longest chunk. */
  readonly rows: number;
  /** Parts of all chunks x global tokens. */
  readonly slots: number;
}

export class Scratch {
  readonly #buffers: Buffers;
  readonly #recorder: Recorder;
  readonly #blocks = new Map<ScratchName, Block>();
  #needs: Needs = { features: 0, tokens: 0, rows: 0, slots: 0 };

  constructor(buffers: Buffers, recorder: Recorder) {
    this.#buffers = buffers;
    this.#recorder = recorder;
    this.#blocks.set(
      'partials',
      this.#make('partials', Math.min(leastPartials, buffers.limits.maxStorageBufferBindingSize)),
    );
  }

  get(name: ScratchName): Block {
    return this.#blocks.get(name)!;
  }

  /** @throws MemoryError */
  reserveFeatures(features: number): void {
    this.#grow({ ...this.#needs, features });
  }

  /** @throws MemoryError */
  reserveSequence(tokens: number, globals: number): void {
    if (globals === 0) return;
    const { rows, count, splits } = chunksOf(tokens, globals);
    this.#grow({ ...this.#needs, tokens, rows, slots: count * splits * globals });
  }

  /** When the device refuses, nothing has changed. */
  #grow(wanted: Needs): void {
    const old = this.#needs;
    const needs = {
      features: Math.max(old.features, wanted.features),
      tokens: Math.max(old.tokens, wanted.tokens),
      rows: Math.max(old.rows, wanted.rows),
      slots: Math.max(old.slots, wanted.slots),
    };
    const made = new Map<ScratchName, Block>();
    try {
      for (const [name, floats] of Object.entries(floatsOf(needs)) as [ScratchName, number][]) {
        if (4 * floats > this.#roomOf(name)) made.set(name, this.#make(name, 4 * floats));
      }
    } catch (error) {
      this.#recorder.release([...made.values()]);
      throw error;
    }
    for (const [name, block] of made) {
      const before = this.#blocks.get(name);
      if (before) this.#recorder.release([before]);
      this.#blocks.set(name, block);
    }
    this.#needs = needs;
  }

  /** None in a block that the device turned out not to have. */
  #roomOf(name: ScratchName): number {
    const block = this.#blocks.get(name);
    return block && !block.refusal ? block.bytes : 0;
  }

  #make(name: ScratchName, bytes: number): Block {
    return this.#buffers.make('scratch', name, bytes, true);
  }

  blocks(): Block[] {
    return [...this.#blocks.values()];
  }
}

function floatsOf({ features, tokens, rows, slots }: Needs): Record<ScratchName, number> {
  const any = features > 0 && tokens > 0 ? 1 : 0;
  return {
    globalKeys: features * rows,
    globalValues: features * rows,
    // Maximum and sum of each head beside its values; a head has at least one feature.
    partials: 3 * features * slots,
    foldedQueries: any * (features + 1) * mostFolded,
    foldedScores: any * tokens * mostFolded,
    foldedMaxima: any * 2 * mostFoldedParts * mostFolded,
    foldedSums: any * features * mostFoldedParts * mostFolded,
    foldedStates: any * features * mostFolded,
  };
}
