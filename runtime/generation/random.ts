/**
 * Reproducible random numbers: the same seed and stream give the same ones on every machine.
 *
 * Source: Blackman and Vigna, xoshiro128**; Steele, Lea and Flood, SplitMix, 32-bit mixing of the seed.
 */

/** Numbers in [0, 1) with 53 random bits. stream: texts drawn with one seed differ. */
export function createRandom(seed: number, stream: number): () => number {
  let mixed = Math.imul(seed ^ (seed / 2 ** 32), 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b);
  const next = (): number => {
    mixed = (mixed + 0x9e3779b9) | 0;
    let z = mixed;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return z ^ (z >>> 15);
  };
  let [a, b, c, d] = [next(), next(), next(), next()];
  const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));
  const bits = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9);
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotate(d, 11);
    return result >>> 0;
  };
  return () => ((bits() >>> 5) * 2 ** 26 + (bits() >>> 6)) / 2 ** 53;
}
