/**
 * WebGPU in Node as a subject. All cases share one device, so that each shader is compiled once.
 *
 * A machine without an adapter (or an adapter without float16) reports its cases as skipped, never as passed. With
 * LONGFORMER_REQUIRE_ADAPTER=1, as in CI, they fail instead.
 */
import { UnsupportedError } from '../../contract/errors.ts';
import { createWebGpuKernels, gpuOfNode, openDevice, type Schedule } from '../../gpu/webgpu/index-node.ts';
import type { Subject } from '../run.ts';
import { engineSubject } from './engine.ts';

export interface WebGpuSubjectOptions {
  readonly weights?: 'float32' | 'float16';
  readonly schedule?: Schedule | 'auto';
}

/** `webgpu`, `webgpu-f16`, or with a schedule of its own `webgpu-tiled`, `webgpu-registers`. */
export async function webGpuSubject({
  weights = 'float32',
  schedule = 'auto',
}: WebGpuSubjectOptions = {}): Promise<Subject> {
  const half = weights === 'float16';
  const name = half ? 'webgpu-f16' : schedule === 'auto' ? 'webgpu' : `webgpu-${schedule}`;
  const precision = half ? 'float16' : 'float32';
  try {
    const device = await openDevice({ gpu: await gpuOfNode(), half });
    return engineSubject(name, precision, () => createWebGpuKernels({ device, weights, schedule }));
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    const { levels } = engineSubject(name, precision, () => Promise.reject(error));
    const required = process.env.LONGFORMER_REQUIRE_ADAPTER === '1' && error.subject !== 'shader-f16';
    return {
      name,
      precision,
      levels,
      skips: () => (required ? null : error.message.split('\n', 1)[0]!),
      run: () => Promise.reject(error),
    };
  }
}
