/** The front door in a bundle for a page: it can be made, and nothing of Node's files comes along. */
import { fileURLToPath } from 'node:url';
import { build, type Rolldown } from 'vite';
import { expect, test } from 'vitest';

const api = fileURLToPath(new URL('./', import.meta.url));

/** What "browser" in package.json says of the built files, said of the sources. */
const pagePlatform = {
  name: 'page-platform',
  enforce: 'pre',
  resolveId: (source: string) => (/^\.\/platform\.[jt]s$/.test(source) ? `${api}platform-web.ts` : null),
} as const;

test('a page can be built with it', async () => {
  const result = (await build({
    configFile: false,
    logLevel: 'silent',
    plugins: [pagePlatform],
    build: { write: false, target: 'es2023', lib: { entry: `${api}index.ts`, formats: ['es'] } },
  })) as Rolldown.RolldownOutput[];
  const chunks = result.flatMap(({ output }) => output).filter(each => each.type === 'chunk');
  const modules = chunks.flatMap(({ moduleIds }) => moduleIds).map(id => id.replaceAll('\\', '/'));
  expect(modules.some(id => id.endsWith('api/pipeline.ts'))).toBe(true);
  expect(modules.some(id => id.endsWith('api/hub/url-files.ts'))).toBe(true);
  // gpu.js has to be asked for.
  expect(modules.filter(id => /gpu.gpujs.|node_modules.gpu\.js./.test(id))).toEqual([]);
  const ofNode = modules.filter(id => /-node\.ts$/.test(id) || id.includes('node_modules'));
  // Both are imported only where an address begins with file:.
  expect(ofNode.map(id => id.replace(/.*\//, '')).sort()).toEqual(['read-module-node.ts', 'start-worker-node.ts']);
});
