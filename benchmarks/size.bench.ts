/**
 * What a page downloads: the runtime and one build of the kernels, bundled and minified as a page would have them, gzip.
 *
 *     node benchmarks/size.bench.ts [--json FILE]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import * as compare from './compare.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const kernels = `export { createWasmKernels } from '${root}wasm/index.ts';`;

/** What a program imports, in growing order. */
const programs: Record<string, string> = {
  'engine and kernels': `export { createBackend } from '${root}runtime/index.ts'; ${kernels}`,
  'and checkpoints, tokenizer, batches': `export { createBackend, openModelCheckpointFiles, loadTokenizer, forwardBatch } from '${root}runtime/index.ts'; ${kernels}`,
  'all that runtime/index.ts exports': `export * from '${root}runtime/index.ts'; ${kernels}`,
};

interface Output {
  readonly fileName: string;
  readonly code?: string;
  readonly source?: string | Uint8Array;
}

/** Bytes after gzip of the files of one bundle that a page with one thread and relaxed SIMD loads. */
async function sizeOf(source: string, directory: string): Promise<{ scripts: number; module: number }> {
  const entry = join(directory, 'entry.ts');
  writeFileSync(entry, source);
  const result = await build({
    root: directory,
    configFile: false,
    logLevel: 'error',
    worker: { format: 'es' },
    build: {
      write: false,
      target: 'esnext',
      assetsInlineLimit: 0,
      rollupOptions: { input: entry, preserveEntrySignatures: 'strict', external: [/^node:/] },
    },
  });
  const { output } = result as { output: readonly Output[] };
  const gzipped = (named: RegExp): number =>
    output
      .filter(({ fileName }) => named.test(fileName))
      .reduce((sum, { code, source: data }) => sum + gzipSync(code ?? data!, { level: 9 }).length, 0);
  return { scripts: gzipped(/entry-.*\.js$/), module: gzipped(/kernels-relaxed-[^/]*(?<!threads-[^/]*)\.wasm$/) };
}

const { values: options } = parseArgs({ options: { json: { type: 'string' } } });
const directory = mkdtempSync(join(tmpdir(), 'longformer-size-'));
try {
  const sizes: { program: string; scripts: number; module: number }[] = [];
  for (const [program, source] of Object.entries(programs)) {
    sizes.push({ program, ...(await sizeOf(source, directory)) });
  }
  const kilobytes = (bytes: number): string => (bytes / 1000).toFixed(1);
  const rows = sizes.map(({ program, scripts, module }) => [
    program,
    ...[scripts, module, scripts + module].map(kilobytes),
  ]);
  process.stdout.write(compare.markdownTable([['kB gzip', 'scripts', 'kernels', 'together'], ...rows]));
  if (options.json) compare.writeResult(options.json, { benchmark: 'size', date: compare.today(), sizes });
} finally {
  rmSync(directory, { recursive: true });
}
