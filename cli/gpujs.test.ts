/** `--backend gpujs` from outside: what it writes with an adapter, and what it says without one. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { conformanceDirectory } from '../conformance/read-case.ts';
import { gpuJsDeviceOrReason } from '../conformance/subjects/gpujs-node.ts';
import { UnsupportedError } from '../contract/errors.ts';
import { createMemorySource } from '../runtime/checkpoint/byte-source.ts';
import { openSafetensors } from '../runtime/checkpoint/safetensors.ts';
import { writeSafetensors } from '../runtime/checkpoint/safetensors-writer.ts';

const missing = (await gpuJsDeviceOrReason()) instanceof UnsupportedError;
const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'longformer-gpujs-'));
afterAll(() => rmSync(temporary, { recursive: true }));
const inputs = join(temporary, 'in.safetensors');
const ids = { name: 'input_ids', dtype: 'I64', shape: [1, 5], data: Int32Array.of(0, 5, 6, 7, 2) } as const;
writeFileSync(inputs, writeSafetensors([ids]));

function forward(backend: string, environment: NodeJS.ProcessEnv = {}) {
  const outputs = join(temporary, `${backend}.safetensors`);
  const model = join(conformanceDirectory(), 'models', 'encoder-2-layers');
  const line = ['forward', '--model', model, '--inputs', inputs, '--outputs', outputs, '--backend', backend];
  const options = { encoding: 'utf8', env: { ...process.env, ...environment } } as const;
  return { outputs, ...spawnSync(process.execPath, [main, ...line], options) };
}

async function hiddenStates(path: string): Promise<number[]> {
  const file = await openSafetensors(createMemorySource(new Uint8Array(readFileSync(path))));
  return [...(await file.floats('last_hidden_state')).data];
}

describe('--backend gpujs', () => {
  it.skipIf(missing)('writes nearly what the reference writes', async () => {
    const [ours, reference] = [forward('gpujs'), forward('reference')];
    expect([ours.status, reference.status]).toEqual([0, 0]);
    const expected = await hiddenStates(reference.outputs);
    const worst = Math.max(...(await hiddenStates(ours.outputs)).map((value, i) => Math.abs(value - expected[i]!)));
    expect(worst).toBeLessThan(1e-5);
  });

  // Elsewhere Dawn does not look for Vulkan drivers.
  it.skipIf(process.platform !== 'linux')('says what to install when there is no adapter', () => {
    const { status, stderr } = forward('gpujs', { VK_ICD_FILENAMES: '/nonexistent', VK_DRIVER_FILES: '/nonexistent' });
    expect(status).toBe(1);
    expect(stderr).toContain(
      'E_UNSUPPORTED: gpujs: "adapter" expected a GPU with a driver for WebGPU, which gpu.js needs in Node, got none.\n' +
        '  Hint: on Linux install the Vulkan loader and a driver (libvulkan1, mesa-vulkan-drivers or that of the vendor), or use the backend wasm.',
    );
  });
});
