/** out[i] = input[indices[i]], one invocation for each number. */
import type { Block } from '../buffers.ts';
import { type Dispatch, mostAcross, program } from '../program.ts';

const threads = 64;

export function gatherRows(out: Block, input: Block, indices: Block, rows: number, features: number): Dispatch {
  const elements = rows * features;
  return {
    program: gather(),
    blocks: [out, input, indices],
    numbers: { elements, features },
    workgroups: [Math.min(mostAcross, Math.ceil(elements / threads)), 1, 1],
    cost: { flops: 0, bytes: 8 * elements },
  };
}

const gather = () =>
  program('gatherRows', () => ({
    numbers: { elements: 'u32', features: 'u32' },
    bindings: {
      out: { access: 'write', type: 'array<f32>' },
      input: { access: 'read', type: 'array<f32>' },
      indices: { access: 'read', type: 'array<i32>' },
    },
    body: `
@compute @workgroup_size(${threads})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < numbers.elements; i += ${threads} * groups.x) {
    let row = u32(indices[i / numbers.features]);
    out[i] = input[row * numbers.features + i % numbers.features];
  }
}`,
  }));
