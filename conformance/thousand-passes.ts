/**
 * A process of its own, for engine-memory.test.ts: a thousand passes of the engine over wasm, and how much larger the process and its linear memory are
 * after them. Prints {"bufferBytes", "residentBytes", "externalBytes"}, the growth. Needs --expose-gc.
 */

import { openCheckpoint } from '../runtime/checkpoint/open-node.ts';
import { createBackend } from '../runtime/engine/backend.ts';
import { instantiate, loadModule } from '../wasm/instantiate.ts';
import { WasmKernels } from '../wasm/kernels.ts';
import { conformanceDirectory } from './read-case.ts';

const { memory, exports } = await instantiate(await loadModule('baseline'), 2 ** 28);
const kernels = new WasmKernels('wasm-baseline', memory, exports, 2 ** 28);
const checkpoint = await openCheckpoint(`${conformanceDirectory()}/models/sequence-classification`);
const model = await createBackend(kernels).loadLongformer(checkpoint);
await checkpoint.close();

async function passes(count: number): Promise<void> {
  for (let pass = 0; pass < count; pass++) {
    const length = 1 + ((7 * pass) % 40);
    const inputIds = Int32Array.from({ length }, (_, t) => (t === 0 ? 0 : 3 + ((7 * t + pass) % 28)));
    await model.forward([{ inputIds }], { want: { hiddenStates: () => {} } });
  }
}

function held(): { bufferBytes: number; residentBytes: number; externalBytes: number } {
  globalThis.gc!();
  const { rss, external } = process.memoryUsage();
  return { bufferBytes: memory.buffer.byteLength, residentBytes: rss, externalBytes: external };
}

await passes(300); // every length, and time for the compiler
const before = held();
await passes(1000);
const after = held();
const growth = Object.entries(after).map(([name, bytes]) => [name, bytes - before[name as keyof typeof before]]);
process.stdout.write(JSON.stringify(Object.fromEntries(growth)) + '\n');
