/** Sources → dist/: JavaScript, types, source maps and the compiled kernels. The sources run unbuilt too; dist is for the published package. */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
rmSync(`${root}dist`, { recursive: true, force: true });
execFileSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, '-p', `${root}tsconfig.build.json`], {
  stdio: 'inherit',
});
// tsc rewrites the endings of imports, not those of other addresses.
for (const platform of ['node', 'web']) {
  const file = `${root}dist/wasm/start-worker-${platform}.js`;
  const source = readFileSync(file, 'utf8');
  const built = source.replace(`'./worker-${platform}.ts'`, `'./worker-${platform}.js'`);
  if (built === source) throw new Error(`${file}: found no address of a worker`);
  writeFileSync(file, built);
}
execFileSync(process.execPath, [`${root}scripts/build-wasm.ts`], { stdio: 'inherit' });
cpSync(`${root}wasm/build`, `${root}dist/wasm/build`, { recursive: true, filter: path => !path.endsWith('.sha256') });
chmodSync(`${root}dist/cli/main.js`, 0o755);
