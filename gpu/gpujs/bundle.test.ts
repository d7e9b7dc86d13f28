/** gpu.js in a bundle: whoever asks for it gets it, in a chunk of its own that is loaded with the first kernels; nobody else does. */
import { fileURLToPath } from 'node:url';
import { build, type Rolldown } from 'vite';
import { expect, test } from 'vitest';

const entry = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

async function chunksOf(path: string): Promise<Rolldown.OutputChunk[]> {
  const result = (await build({
    configFile: false,
    logLevel: 'silent',
    build: { write: false, target: 'es2023', lib: { entry: entry(path), formats: ['es'] } },
  })) as Rolldown.RolldownOutput[];
  return result.flatMap(({ output }) => output).filter(each => each.type === 'chunk');
}

const hasGpuJs = ({ moduleIds }: Rolldown.OutputChunk): boolean =>
  moduleIds.some(id => id.replaceAll('\\', '/').includes('node_modules/gpu.js/'));

test('the kernels of gpu.js bring it in a chunk that is not loaded before', async () => {
  const chunks = await chunksOf('index.ts');
  const withIt = chunks.filter(hasGpuJs);
  expect(withIt.length).toBe(1);
  expect(withIt[0]!.isDynamicEntry).toBe(true);
  const [main] = chunks.filter(({ isEntry }) => isEntry);
  expect(main!.imports).not.toContain(withIt[0]!.fileName);
});

test.each(['../webgpu/index.ts', '../../wasm/index.ts', '../../runtime/index.ts'])('%s does not', async path => {
  expect((await chunksOf(path)).filter(hasGpuJs)).toEqual([]);
});
