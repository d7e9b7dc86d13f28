/**
 * gpu.js in Node as a subject. All cases share one device, so that each kernel is compiled once.
 *
 * A machine without an adapter reports its cases as skipped, never as passed; with LONGFORMER_REQUIRE_ADAPTER=1, as in CI, they fail.
 */
import { UnsupportedError } from '../../contract/errors.ts';
import { createGpuJsKernels, type Device, openDevice } from '../../gpu/gpujs/index-node.ts';
import type { Subject } from '../run.ts';
import { engineSubject } from './engine.ts';

let opened: Promise<Device | UnsupportedError> | null = null;

/** The one device of this process, or why there is none. With LONGFORMER_REQUIRE_ADAPTER=1 a missing adapter is an error. @throws UnsupportedError */
export function gpuJsDeviceOrReason(): Promise<Device | UnsupportedError> {
  opened ??= openDevice().catch((error: unknown) => {
    const isRequired = process.env.LONGFORMER_REQUIRE_ADAPTER === '1';
    if (!(error instanceof UnsupportedError) || isRequired) throw error;
    return error;
  });
  return opened;
}

export async function gpuJsSubject(): Promise<Subject> {
  const device = await gpuJsDeviceOrReason();
  const missing = device instanceof UnsupportedError ? device.message.split('\n', 1)[0]! : null;
  const subject = engineSubject('gpujs', 'float32', () => createGpuJsKernels({ device: device as Device }));
  return missing === null ? subject : { ...subject, skips: () => missing };
}
