import { describe, expect, it } from 'vitest';
import { findViolations } from './check-imports.ts';

const violationsOf = (file: string, text: string): string[] => findViolations(new Map([[file, text]]));

describe('check-imports', () => {
  it.each([
    ['reference/a.ts', "import type { Tensor } from '../contract/tensor.ts';"],
    ['conformance/a.ts', "import { linear } from '../reference/1-operations.ts';"],
    ['runtime/checkpoint/open-node.ts', "import { open } from 'node:fs/promises';"],
    ['runtime/index.ts', "export * from './checkpoint/open.ts';"],
  ])('allows %s: %s', (file, text) => expect(violationsOf(file, text)).toEqual([]));

  it.each([
    ['contract/a.ts', "import { linear } from '../reference/1-operations.ts';", 'contract/ may import only contract'],
    ['reference/a.ts', "import { x } from '../runtime/batch.ts';", 'reference/ may import only reference, contract'],
    ['wasm/a.ts', "export { x } from '../gpu/index.ts';", 'wasm/ may import only wasm, contract'],
    ['runtime/a.ts', "const x = await import('../conformance/run.ts');", 'runtime/ may import only runtime, contract'],
    ['runtime/tokenizer/a.ts', "import { x } from '../checkpoint/open.ts';", 'tokenizer and checkpoint are strangers'],
    ['reference/a.ts', "import { readFileSync } from 'node:fs';", 'must run outside Node'],
  ])('refuses %s: %s', (file, text, complaint) => {
    expect(violationsOf(file, text)).toHaveLength(1);
    expect(violationsOf(file, text)[0]).toContain(complaint);
  });
});
