/**
 * wasm/assembly/*.ts → wasm/build/kernels-{relaxed,baseline}{,-threads}.wasm. Does nothing when the sources are as they were at the last build.
 *
 * --force builds anyway.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { tileSource } from '../wasm/generate-tile.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = `${root}wasm/assembly/`;
const target = `${root}wasm/build/`;
const largestGzip = 20_000;
/** The same code each time; with `threads` its memory may be shared. */
const builds = ['relaxed', 'baseline', 'relaxed-threads', 'baseline-threads'];

if (readFileSync(`${sources}tile.ts`, 'utf8') !== tileSource()) writeFileSync(`${sources}tile.ts`, tileSource());
const hash = createHash('sha256').update(readFileSync(fileURLToPath(import.meta.url)));
hash.update(readFileSync(`${root}node_modules/assemblyscript/package.json`));
for (const name of readdirSync(sources).sort()) {
  if (name.endsWith('.ts')) hash.update(name).update(readFileSync(sources + name));
}
const stamp = `${target}sources.sha256`;
const digest = hash.digest('hex');
const built =
  existsSync(stamp) &&
  readFileSync(stamp, 'utf8') === digest &&
  builds.every(build => existsSync(`${target}kernels-${build}.wasm`));

if (!built || process.argv.includes('--force')) {
  mkdirSync(target, { recursive: true });
  await Promise.all(builds.map(compile)); // a compiler takes one core for three seconds
  writeFileSync(stamp, digest);
}

async function compile(build: string): Promise<void> {
  const file = `${target}new-${build}.wasm`;
  const { stderr } = await promisify(execFile)(
    process.execPath,
    [
      `${root}node_modules/assemblyscript/bin/asc.js`,
      `${sources}index.ts`,
      ...['--outFile', file, '--runtime', 'stub', '--enable', 'simd', '-O3', '--converge', '--noAssert'],
      ...['--uncheckedBehavior', 'always', '--importMemory', '--noExportMemory', '--initialMemory', '1'],
      ...(build.startsWith('relaxed') ? ['--enable', 'relaxed-simd'] : []),
      ...(build.endsWith('threads') ? ['--enable', 'threads', '--sharedMemory', '--maximumMemory', '65536'] : []),
    ],
    { cwd: root },
  );
  // What the optimiser says of itself ("Last converge was suboptimal.") is no news; a warning of the compiler is.
  if (/WARNING|ERROR/.test(stderr)) throw new Error(stderr);
  const bytes = readFileSync(file);
  const zipped = gzipSync(bytes).length;
  console.log(`wasm/build/kernels-${build}.wasm: ${bytes.length} bytes, ${zipped} gzip`);
  if (zipped > largestGzip) throw new Error(`kernels-${build}.wasm is larger than ${largestGzip} bytes gzip`);
  // At once, so that a program that starts meanwhile sees the old module or the new one.
  renameSync(file, `${target}kernels-${build}.wasm`);
}
