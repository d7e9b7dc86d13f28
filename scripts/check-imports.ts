/**
 * Enforces the dependency rule of docs/decisions.md: a file imports only from its own folder and from folders below it.
 * reference, runtime, wasm and gpu are strangers: they import nothing of ours but contract/.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(fileURLToPath(new URL('..', import.meta.url)));

const middle = ['reference', 'runtime', 'wasm', 'gpu'];
/** Folder → folders of ours it may import besides itself. */
const allowed: Record<string, readonly string[]> = {
  contract: [],
  reference: ['contract'],
  runtime: ['contract'],
  wasm: ['contract'],
  gpu: ['contract'],
  api: ['contract', ...middle],
  conformance: ['contract', 'api', ...middle],
  benchmarks: ['contract', 'api', 'conformance', ...middle],
  cli: ['contract', 'api', 'conformance', ...middle],
  examples: ['contract', 'api', 'conformance', ...middle],
};

/** Inside runtime/: parts that know nothing of each other. */
const strangersInRuntime = new Set(['checkpoint', 'tokenizer']);

const importPattern = /\b(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g;

export function findViolations(files: ReadonlyMap<string, string>): string[] {
  const violations: string[] = [];
  for (const [file, text] of files) {
    const [folder = '', part = ''] = file.split('/');
    const mayImport = allowed[folder];
    if (mayImport === undefined) continue;
    for (const [, specifier = ''] of text.matchAll(importPattern)) {
      if (specifier.startsWith('node:') && mustRunAnywhere(file)) {
        violations.push(`${file}: imports ${specifier}, but must run outside Node`);
      }
      if (!specifier.startsWith('.')) continue;
      const target = join(dirname(file), specifier).split(sep).join('/');
      const [targetFolder = '', targetPart = ''] = target.split('/');
      if (targetFolder === folder) {
        const strangers =
          folder === 'runtime' &&
          part !== targetPart &&
          strangersInRuntime.has(part) &&
          strangersInRuntime.has(targetPart);
        if (strangers) violations.push(`${file}: imports ${target}, but ${part} and ${targetPart} are strangers`);
      } else if (!mayImport.includes(targetFolder)) {
        violations.push(
          `${file}: imports ${target}, but ${folder}/ may import only ${[folder, ...mayImport].join(', ')}`,
        );
      }
    }
  }
  return violations;
}

/** Only files named *-node.ts (and tests) of the contract, the reference and the runtime may know Node. */
function mustRunAnywhere(file: string): boolean {
  return /^(contract|reference|runtime)\//.test(file) && !/(-node|\.test)\.ts$/.test(file);
}

function readSources(): Map<string, string> {
  const files = new Map<string, string>();
  for (const folder of Object.keys(allowed)) {
    let entries: ReturnType<typeof list>;
    try {
      entries = list(folder);
    } catch {
      continue; // a folder of the design that has no content yet
    }
    for (const path of entries) files.set(path, readFileSync(join(root, path), 'utf8'));
  }
  return files;
}

function list(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter(path => !path.includes('node_modules/')); // the peers of the benchmarks have their own
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = readSources();
  const violations = findViolations(files);
  for (const violation of violations) console.error(violation);
  console.log(`imports: ${files.size} files, ${violations.length} violations`);
  process.exitCode = violations.length === 0 ? 0 : 1;
}
