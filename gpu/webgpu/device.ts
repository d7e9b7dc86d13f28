/// <reference types="@webgpu/types" />
/**
 * Adapter → device: who computes, with which limits and features; and what is missing, said by name.
 *
 * Read next: kernels.ts.
 */
import { UnsupportedError } from '../../contract/errors.ts';
import type { Limits } from './buffers.ts';
import type { Schedule } from './kernels/linear.ts';

export interface AdapterChoice {
  /** `navigator.gpu`, or what another implementation has in its place. */
  readonly gpu: GPU;
  /** Default: `high-performance`. */
  readonly powerPreference?: GPUPowerPreference;
  /** Asks for device timestamps. */
  readonly timings?: boolean;
  /** Asks for `shader-f16`. */
  readonly half?: boolean;
}

/** As much as the adapter has of these is asked for; of the others, what every device has. */
const wantedLimits = ['maxBufferSize', 'maxStorageBufferBindingSize', 'maxComputeWorkgroupStorageSize'] as const;

/** Features that are taken when the adapter has them: weights in float16 are worth asking before they are wanted. */
const welcome: readonly GPUFeatureName[] = ['shader-f16'];

/**
 * A device on the adapter the platform prefers.
 * @throws UnsupportedError when there is none, or when it lacks a feature that was asked for
 */
export async function openDevice({
  gpu,
  powerPreference = 'high-performance',
  timings,
  half,
}: AdapterChoice): Promise<GPUDevice> {
  const adapter = await gpu.requestAdapter({ powerPreference });
  if (!adapter) {
    throw new UnsupportedError({
      where: 'webgpu',
      name: 'adapter',
      expected: 'a GPU with a driver for WebGPU',
      got: 'none',
      hint: 'on Linux install the Vulkan loader and a driver (libvulkan1, mesa-vulkan-drivers or that of the vendor), or use the backend wasm.',
    });
  }
  const requiredFeatures = welcome.filter(feature => adapter.features.has(feature));
  if (half) expectFeature(adapter, 'shader-f16', 'use weights in float32.');
  if (timings) {
    expectFeature(adapter, 'timestamp-query', 'measure without timings.');
    requiredFeatures.push('timestamp-query');
  }
  const requiredLimits = Object.fromEntries(wantedLimits.map(name => [name, adapter.limits[name]]));
  return await adapter.requestDevice({ requiredFeatures, requiredLimits });
}

function expectFeature(from: { readonly features: GPUSupportedFeatures }, feature: GPUFeatureName, hint: string): void {
  if (from.features.has(feature)) return;
  throw new UnsupportedError({
    where: 'webgpu',
    name: feature,
    expected: 'a feature of the adapter',
    got: 'none',
    hint,
  });
}

/** The same question for a device somebody else opened. */
export function expectDeviceFeatures(
  device: GPUDevice,
  { half, timings }: Pick<AdapterChoice, 'half' | 'timings'>,
): void {
  if (half) expectFeature(device, 'shader-f16', 'use weights in float32.');
  if (timings) expectFeature(device, 'timestamp-query', 'measure without timings.');
}

/** Who computes, as far as the platform tells: `nvidia, hopper, NVIDIA H100`. */
export function adapterName({ adapterInfo: { vendor, architecture, description } }: GPUDevice): string {
  return [vendor, architecture, description].filter(Boolean).join(', ') || 'an adapter without a name';
}

/** True for drivers that compute on the processor: SwiftShader, lavapipe, Microsoft's basic renderer. */
export const isSoftware = ({ adapterInfo }: GPUDevice): boolean =>
  adapterInfo.isFallbackAdapter ||
  /swiftshader|llvmpipe|lavapipe|basic render/i.test(`${adapterInfo.architecture} ${adapterInfo.description}`);

/** Barriers cost a processor that plays GPU more than all else; a GPU wants its workgroup memory used. */
export const scheduleFor = (device: GPUDevice): Schedule => (isSoftware(device) ? 'registers' : 'tiled');

/** What the device has, or less if the caller wants to see how a smaller one fares. */
export function limitsOf({ limits }: GPUDevice, mostBindingBytes = Number.POSITIVE_INFINITY): Limits {
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize } = limits;
  return {
    maxBufferSize,
    maxStorageBufferBindingSize: Math.min(maxStorageBufferBindingSize, mostBindingBytes),
    maxComputeWorkgroupStorageSize,
  };
}
