/** Programs → compiled pipelines, once for each device; kernels that share a device share them. */
import type { Program } from './program.ts';

export interface Compiled {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Bytes of the numbers of one call: the alignment every device accepts for an offset into a uniform buffer. */
export const slotBytes = 256;

const computeStage = 4; // GPUShaderStage.COMPUTE

const devices = new WeakMap<GPUDevice, Map<Program, Compiled>>();

/** A shader that the device does not take is a validation error of the device; health.ts hears of it. */
export function compiled(device: GPUDevice, program: Program): Compiled {
  const known = devices.get(device) ?? new Map<Program, Compiled>();
  devices.set(device, known);
  const made = known.get(program) ?? compile(device, program);
  known.set(program, made);
  return made;
}

function compile(device: GPUDevice, { name, bindings, code }: Program): Compiled {
  const numbers: GPUBindGroupLayoutEntry = {
    binding: 0,
    visibility: computeStage,
    buffer: { type: 'uniform', hasDynamicOffset: true, minBindingSize: 0 },
  };
  const buffers = Object.values(bindings).map(
    ({ access }, index): GPUBindGroupLayoutEntry => ({
      binding: index + 1,
      visibility: computeStage,
      buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
    }),
  );
  const layout = device.createBindGroupLayout({ label: name, entries: [numbers, ...buffers] });
  const pipeline = device.createComputePipeline({
    label: name,
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module: device.createShaderModule({ label: name, code }), entryPoint: 'main' },
  });
  return { pipeline, layout };
}
