/** What the documents say is there: files, functions in files, and the output of every program in an exercise. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = resolve(fileURLToPath(new URL('..', import.meta.url)));
const isFile = (path: string): boolean => existsSync(join(root, path)) && statSync(join(root, path)).isFile();

const documents = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter(name => name.endsWith('.md'))
    .map(name => `docs/${name}`),
  ...['benchmarks', 'conformance', 'gpu', 'reference', 'wasm'].map(folder => `${folder}/README.md`),
].filter(isFile);

const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const withoutPrograms = (text: string): string => text.replace(/^```[\s\S]*?^```$/gm, '');

/** Targets of Markdown links that are files of ours. */
function links(text: string): string[] {
  return [...withoutPrograms(text).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!.replace(/#.*$/, ''))
    .filter(target => target !== '' && !/^[a-z]+:/.test(target));
}

/** `reference/5-global-attention.ts` and the like: paths in backticks, from the top folder. */
function paths(text: string): string[] {
  const inBackticks = [...withoutPrograms(text).matchAll(/`([\w.-]+(?:\/[\w.-]+)+)`/g)].map(([, path]) => path!);
  return inBackticks.filter(path =>
    /^(api|benchmarks|cli|conformance|contract|docs|reference|runtime|scripts)\//.test(path),
  );
}

/** `name` in [file](file) or `name` in `file`: a function and where it is said to be. */
function functions(text: string): { name: string; file: string }[] {
  const said = /`([A-Za-z]\w*)`(?:\(\))? in (?:`([\w./-]+\.ts)`|\[[^\]]*\]\(([^)\s]+\.ts)\))/g;
  return [...withoutPrograms(text).matchAll(said)].map(([, name, bare, linked]) => ({
    name: name!,
    file: bare ?? linked!,
  }));
}

/** `file` “piece of the name of a test”. */
function tests(text: string): { file: string; name: string }[] {
  return [...text.matchAll(/`([\w./-]+\.ts)` “([^”]+)”/g)].map(([, file, name]) => ({ file: file!, name: name! }));
}

/** The package's entries by name, each with the source it is built from: tests run before, and without, a build. */
const entries = Object.entries(JSON.parse(read('package.json')).exports as Record<string, string>).map(
  ([entry, built]) => ({
    name: `longformer${entry.slice(1)}`,
    source: built.replace('./dist/', './').replace(/\.js$/, '.ts'),
  }),
);

/** A program of a document with the sources in place of the package. */
function onSources(program: string): string {
  return program.replace(/ from '(longformer[^']*)'/g, (_, name: string) => {
    const entry = entries.find(entry => entry.name === name);
    if (!entry) throw new Error(`no entry of package.json is called ${name}`);
    return ` from '${entry.source}'`;
  });
}

/** Each TypeScript program that is followed by its output. */
function programs(text: string): { program: string; output: string }[] {
  const pairs = /^```ts\n([\s\S]*?)^```$(?:(?!^```)[\s\S])*?^```text\n([\s\S]*?)^```$/gm;
  return [...text.matchAll(pairs)].map(([, program, output]) => ({ program: program!, output: output! }));
}

describe.each(documents)('%s', document => {
  const text = read(document);
  const besideDocument = (target: string): string => normalize(join(dirname(document), target));

  it('links to files that exist', () => {
    expect(links(text).filter(target => !existsSync(join(root, besideDocument(target))))).toEqual([]);
  });

  it('names files that exist', () => {
    expect(paths(text).filter(path => !existsSync(join(root, path)))).toEqual([]);
  });

  it('names functions that stand where it says', () => {
    const missing = functions(text).filter(({ name, file }) => {
      const path = isFile(besideDocument(file)) ? besideDocument(file) : file;
      const declared = new RegExp(`\\b(?:function\\*?|const|class|interface|type)\\s+${name}\\b|^\\s+${name}\\(`, 'm');
      return !isFile(path) || !declared.test(read(path));
    });
    expect(missing).toEqual([]);
  });

  it('names tests that are in their files', () => {
    expect(tests(text).filter(({ file, name }) => !isFile(file) || !read(file).includes(name))).toEqual([]);
  });

  const examples = programs(text);
  if (examples.length > 0) {
    it.each(examples.map((example, index) => ({ ...example, number: index + 1 })))(
      'program $number prints what is written below it',
      ({ program, output }) => {
        const args = ['--input-type=module-typescript', '--eval', onSources(program)];
        expect(execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' })).toBe(output);
      },
    );
  }
});

describe('the checks themselves', () => {
  it('find links, paths, functions and programs', () => {
    const text =
      '[a](b.md#c) [d](https://e.f) `cli/main.ts` `g` in [h](h.ts) and `i` in `j/k.ts`\n' +
      '```ts\n1;\n```\n\n<details>\n\n```text\n2\n```\n';
    expect(links(text)).toEqual(['b.md', 'h.ts']);
    expect(paths(text)).toEqual(['cli/main.ts']);
    expect(functions(text)).toEqual([
      { name: 'g', file: 'h.ts' },
      { name: 'i', file: 'j/k.ts' },
    ]);
    expect(programs(text)).toEqual([{ program: '1;\n', output: '2\n' }]);
  });

  it('find the tests of hostile input', () => {
    expect(tests('| `a/b.test.ts` “c d” |')).toEqual([{ file: 'a/b.test.ts', name: 'c d' }]);
    expect(tests(read('docs/hostile-input.md')).length).toBeGreaterThan(45);
  });

  it('run programs on the sources of the entries they import', () => {
    expect(onSources("import { a } from 'longformer';\nimport { b } from 'longformer/runtime/node';")).toBe(
      "import { a } from './api/index.ts';\nimport { b } from './runtime/index-node.ts';",
    );
    expect(() => onSources("import { a } from 'longformer/nowhere';")).toThrow(
      'no entry of package.json is called longformer/nowhere',
    );
  });

  it('find every exercise', () => {
    expect(programs(read('reference/README.md'))).toHaveLength(14);
  });
});
