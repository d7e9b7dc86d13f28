/** What stands behind the handles of the seam. */
import type { Store } from './device.ts';

/** Some stores of one owner; none after `free`. */
export class Handle {
  readonly owner: object;
  stores: Store[];

  constructor(owner: object, stores: Store[]) {
    this.owner = owner;
    this.stores = stores;
  }

  /** The numbers as they are now: a call that writes puts another store in its place. */
  get store(): Store {
    return this.stores[0]!;
  }
}

export class Rows extends Handle {
  rows = 0;
  features = 0;
}

/** One store (inFeatures + 1, outFeatures): see kernels/linear.ts. */
export class Linear extends Handle {
  inFeatures = 0;
  outFeatures = 0;
}

/** One store (2, features): gamma, beta. */
export class Norm extends Handle {
  features = 0;
}

/** One store (length, 1). */
export class Indices extends Handle {
  length = 0;
  /** The host's copy: probabilities ask it how long a document is. */
  values: Int32Array = new Int32Array();
}

/** Stores tokens, documents, globals: see kernels/keys.ts. */
export class Sequence extends Handle {
  length = 0;
  globalCount = 0;
  /** (N + 1) First row of each document, and T. */
  bounds: Int32Array = new Int32Array();
  /** (N + 1) Number of the first global token of each document, and G. */
  firstGlobals: Int32Array = new Int32Array();

  get tokens(): Store {
    return this.stores[0]!;
  }
  get documents(): Store {
    return this.stores[1]!;
  }
  get globals(): Store {
    return this.stores[2]!;
  }
  get longestDocument(): number {
    return longest(this.bounds);
  }
  get mostGlobals(): number {
    return longest(this.firstGlobals);
  }
}

const longest = (starts: Int32Array): number =>
  starts.reduce((most, start, i) => (i === 0 ? 0 : Math.max(most, start - starts[i - 1]!)), 0);

/** A write beyond the end of a handle would be dropped without a word. */
export function expectInside(rows: Rows, first: number, count: number): void {
  if (!(first >= 0 && count >= 0 && first + count <= rows.rows)) {
    throw new TypeError(`gpujs: rows ${first}..${first + count} of a handle with ${rows.rows} rows`);
  }
}
