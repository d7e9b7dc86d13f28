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

/** A device, or why there is none. With LONGFORMER_REQUIRE_ADAPTER=1 a missing adapter is an error. @throws UnsupportedError */
export async function deviceOrReason(half = false): Promise<GPUDevice | UnsupportedError> {
  try {
    return await openDevice({ gpu: await gpuOfNode(), half });
  } catch (error) {
    const isFeature = error instanceof UnsupportedError && error.subject === 'shader-f16';
    const required = process.env.LONGFORMER_REQUIRE_ADAPTER === '1' && !isFeature;
    if (!(error instanceof UnsupportedError) || required) throw error;
    return error;
  }
}

/** `webgpu`, `webgpu-f16`, or with a schedule of its own `webgpu-tiled`, `webgpu-registers`. */
export async function webGpuSubject({
  weights = 'float32',
  schedule = 'auto',
}: WebGpuSubjectOptions = {}): Promise<Subject> {
  const half = weights === 'float16';
  const name = half ? 'webgpu-f16' : schedule === 'auto' ? 'webgpu' : `webgpu-${schedule}`;
  const device = await deviceOrReason(half);
  const missing = device instanceof UnsupportedError ? device.message.split('\n', 1)[0]! : null;
  const subject = engineSubject(name, half ? 'float16' : 'float32', () =>
    createWebGpuKernels({ device: device as GPUDevice, weights, schedule }),
  );
  return missing === null ? subject : { ...subject, skips: () => missing };
}
