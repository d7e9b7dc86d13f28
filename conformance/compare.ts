/** Numbers → how far apart, and where. Judges nothing; budget.ts does. */

/** Values with a shape; what subjects hand in and cases expect. */
export interface NamedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array;
}

export interface Comparison {
  /** Largest |actual - expected|; Infinity when a value is not finite or the shapes differ. */
  readonly worst: number;
  /** Index of the worst element, as [1, 0, 3]; or what is wrong with the shape. */
  readonly where: string;
  /** Elements that are not finite. */
  readonly nonFinite: number;
  /** Elements that should be exactly 0 and are not. */
  readonly brokenZeros: number;
}

/** Compares element by element. `exactZeros`: an expected 0 must be met exactly. */
export function compareTensors(
  actual: NamedTensor | undefined,
  expected: NamedTensor,
  exactZeros: boolean,
): Comparison {
  if (!actual) return { worst: Number.POSITIVE_INFINITY, where: 'missing', nonFinite: 0, brokenZeros: 0 };
  if (actual.shape.join() !== expected.shape.join() || actual.data.length !== expected.data.length) {
    const where = `shape (${actual.shape.join(', ')}) instead of (${expected.shape.join(', ')})`;
    return { worst: Number.POSITIVE_INFINITY, where, nonFinite: 0, brokenZeros: 0 };
  }
  let worst = 0;
  let at = 0;
  let nonFinite = 0;
  let brokenZeros = 0;
  for (let i = 0; i < expected.data.length; i++) {
    const value = actual.data[i]!;
    if (!Number.isFinite(value)) nonFinite++;
    if (exactZeros && expected.data[i] === 0 && value !== 0) brokenZeros++;
    const error = Math.abs(value - expected.data[i]!);
    // Written so that NaN counts as the worst there is.
    if (!(error <= worst)) {
      worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
      at = i;
    }
  }
  return { worst, where: `[${indexOf(at, expected.shape).join(', ')}]`, nonFinite, brokenZeros };
}

export interface Directions {
  /** 1 - cosine of the angle between the tensors as vectors; 0 for two zero vectors, Infinity when that cannot be said. */
  readonly distance: number;
  /** Vectors along the last axis whose largest element is another one. */
  readonly otherLargest: number;
}

/** For number formats that cannot match digits. */
export function compareDirections(actual: NamedTensor | undefined, expected: NamedTensor): Directions {
  const width = expected.shape.at(-1) ?? 1;
  if (!actual || actual.shape.join() !== expected.shape.join()) {
    return { distance: Number.POSITIVE_INFINITY, otherLargest: 0 };
  }
  let [product, ours, theirs, otherLargest] = [0, 0, 0, 0];
  for (let first = 0; first < expected.data.length; first += width) {
    let [largest, expectedLargest] = [first, first];
    for (let i = first; i < first + width; i++) {
      const [a, b] = [actual.data[i]!, expected.data[i]!];
      product += a * b;
      ours += a * a;
      theirs += b * b;
      if (a > actual.data[largest]!) largest = i;
      if (b > expected.data[expectedLargest]!) expectedLargest = i;
    }
    otherLargest += Number(largest !== expectedLargest);
  }
  const distance = ours === 0 && theirs === 0 ? 0 : 1 - product / Math.sqrt(ours * theirs);
  return { distance: Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance, otherLargest };
}

function indexOf(flat: number, shape: readonly number[]): number[] {
  const index: number[] = [];
  let rest = flat;
  for (const extent of shape.toReversed()) {
    index.unshift(rest % extent);
    rest = Math.floor(rest / extent);
  }
  return index;
}
