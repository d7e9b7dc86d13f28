/** Numbers for tests and benchmarks that are the same in every run. */
export function randomNumbers(seed: number): (count: number, scale?: number) => Float32Array {
  let state = seed;
  const next = (): number => {
    // Numerical Recipes' generator; the high bits are good enough for test data.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return (count, scale = 1) => Float32Array.from({ length: count }, () => next() * scale);
}
