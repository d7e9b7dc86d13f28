/** docs/api.md against what `import … from 'longformer'` gives: every export, and every option, is mentioned. */
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import * as api from '../api/index.ts';

const root = resolve(fileURLToPath(new URL('..', import.meta.url)));
const document = readFileSync(join(root, 'docs/api.md'), 'utf8');
const isMentioned = (name: string): boolean => new RegExp(`\\b${name}\\b`).test(document);

interface Exported {
  readonly name: string;
  /** The source that declares it. */
  readonly path: string;
}

/** Names that a source exports, types included; what it hands on is followed. */
function exportsOf(path: string): Exported[] {
  const text = readFileSync(path, 'utf8');
  const beside = (target: string): string => join(dirname(path), target);
  const handedOn = [...text.matchAll(/^export (?:type )?\{([^}]*)\} from '([^']+)'/gm)].flatMap(([, list, target]) =>
    list!
      .split(',')
      .map(each => each.trim().replace(/^type /, ''))
      .filter(each => each !== '')
      .map(name => exportsOf(beside(target!)).find(each => each.name === name) ?? { name, path: beside(target!) }),
  );
  const all = [...text.matchAll(/^export \* from '([^']+)'/gm)].flatMap(([, target]) => exportsOf(beside(target!)));
  const own = [...text.matchAll(/^export (?:async )?(?:const|class|function|interface|type) (\w+)/gm)];
  return [...handedOn, ...all, ...own.map(([, name]) => ({ name: name!, path }))];
}

const exported = exportsOf(join(root, 'api/index.ts'));

/** The fields of an interface as its source lists them. */
function fieldsOf({ name, path }: Exported): string[] {
  const text = readFileSync(path, 'utf8');
  const body = new RegExp(`^export interface ${name}\\b[^{]*\\{([\\s\\S]*?)^\\}`, 'm').exec(text)?.[1] ?? '';
  return [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, field]) => field!);
}

it('this test sees every value that is exported', () => {
  expect(Object.keys(api).filter(name => !exported.some(each => each.name === name))).toEqual([]);
});

it('every export is in docs/api.md', () => {
  expect(exported.map(({ name }) => name).filter(name => !isMentioned(name))).toEqual([]);
});

it('every option is in docs/api.md', () => {
  const interfaces = exported.filter(({ name }) => /Options$|^GlobalAttention$|^TokenSpan$|Want$/.test(name));
  const options = interfaces.flatMap(fieldsOf);
  for (const known of ['topK', 'isGlobal', 'localFilesOnly', 'threads', 'numBeams', 'splitSpecialTokens', 'pooling']) {
    expect(options).toContain(known);
  }
  expect(options.filter(name => !isMentioned(name))).toEqual([]);
});
