/** What stands behind the opaque handles: regions of the arena, and what is known about them. */
import type { Store } from './store.ts';

/** One region of the arena. Freed: address -1. */
export class Handle {
  readonly owner: Store;
  readonly bytes: number;
  address: number;

  constructor(owner: Store, address: number, bytes: number) {
    this.owner = owner;
    this.address = address;
    this.bytes = bytes;
  }
}

export class Rows extends Handle {
  rows = 0;
  features = 0;
}

export class Linear extends Handle {
  inFeatures = 0;
  outFeatures = 0;
}

export class Norm extends Handle {
  features = 0;
}

export class Indices extends Handle {
  length = 0;
}

/** In memory: document starts and the end (N + 1), first global tokens and the end (N + 1), global rows (G), roles (T bytes). */
export class Sequence extends Handle {
  length = 0;
  globalCount = 0;
  documentStarts: Int32Array = new Int32Array();
  get documentCount(): number {
    return this.documentStarts.length - 1;
  }
  get globalStartsAddress(): number {
    return this.address + 4 * this.documentStarts.length;
  }
  get globalRowsAddress(): number {
    return this.globalStartsAddress + 4 * this.documentStarts.length;
  }
  /** Tokens of each document. */
  get lengths(): number[] {
    return Array.from({ length: this.documentCount }, (_, i) => this.documentStarts[i + 1]! - this.documentStarts[i]!);
  }
  get rolesAddress(): number {
    return this.globalRowsAddress + 4 * this.globalCount;
  }
}

/** A write beyond the end of a handle would silently change another one's numbers. */
export function expectInside(rows: Rows, first: number, count: number): void {
  if (!(first >= 0 && count >= 0 && first + count <= rows.rows)) {
    throw new TypeError(`wasm: rows ${first}..${first + count} of a handle with ${rows.rows} rows`);
  }
}

/** Number of the first global token of each document, and the end. Shape (documents + 1). */
export function firstGlobals(documentStarts: Int32Array, globalIndices: Int32Array): Int32Array {
  let slot = 0;
  return documentStarts.map(start => {
    while (slot < globalIndices.length && globalIndices[slot]! < start) slot++;
    return slot;
  });
}
