/** What stands behind the handles of the seam. */
import type { Block } from './buffers.ts';

/** Some blocks of one owner; none after `free`. */
export class Handle {
  readonly owner: object;
  blocks: readonly Block[];

  constructor(owner: object, blocks: readonly Block[]) {
    this.owner = owner;
    this.blocks = blocks;
  }

  get block(): Block {
    return this.blocks[0]!;
  }
}

export class Rows extends Handle {
  rows = 0;
  features = 0;
}

/** Columns of a linear layer that lie in one buffer. */
export interface LinearPart {
  readonly block: Block;
  readonly firstColumn: number;
  readonly columns: number;
}

export class Linear extends Handle {
  inFeatures = 0;
  outFeatures = 0;
  parts: readonly LinearPart[] = [];
}

export class Norm extends Handle {
  features = 0;
}

export class Indices extends Handle {
  length = 0;
  /** The host's copy: probabilities ask it how long a document is. */
  values: Int32Array = new Int32Array();
}

export class Sequence extends Handle {
  length = 0;
  globalCount = 0;
  /** (N + 1) First row of each document, and T. */
  bounds: Int32Array = new Int32Array();
  /** (N + 1) Number of the first global token of each document, and G. */
  globals: Int32Array = new Int32Array();
  get documents(): number {
    return this.bounds.length - 1;
  }
}

/** A write beyond the end of a handle would be dropped without a word. */
export function expectInside(rows: Rows, first: number, count: number): void {
  if (!(first >= 0 && count >= 0 && first + count <= rows.rows)) {
    throw new TypeError(`webgpu: rows ${first}..${first + count} of a handle with ${rows.rows} rows`);
  }
}
