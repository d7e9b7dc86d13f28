/** out[i] = input[indices[i]]; rows of `features` float32, indices int32. */
export function gatherRows(out: usize, input: usize, indices: usize, count: i32, features: i32): void {
  const bytes = (<usize>features) << 2;
  for (let i = 0; i < count; i++) {
    memory.copy(out + <usize>i * bytes, input + <usize>load<i32>(indices + ((<usize>i) << 2)) * bytes, bytes);
  }
}
