/** Commands that the documents and `--help` show: they run, and print what is written below them. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCase, readManifest } from '../conformance/read-case.ts';
import { writeSafetensors } from '../runtime/checkpoint/safetensors-writer.ts';
import { showModels } from './show-models.ts';

const root = resolve(fileURLToPath(new URL('..', import.meta.url)));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const main = join(root, 'cli/main.ts');

const documents = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter(name => name.endsWith('.md'))
    .map(name => `docs/${name}`),
  ...['models', 'conformance', 'reference'].map(folder => `${folder}/README.md`),
];

/** A copy of the repository as a reader sees it, in which commands may leave files. */
let workplace: string;
beforeAll(async () => {
  workplace = mkdtempSync(join(tmpdir(), 'longformer-docs-'));
  for (const name of ['models', 'conformance', 'docs']) symlinkSync(join(root, name), join(workplace, name));
  await writePort(join(workplace, 'my-port/outputs/layer'));
});
afterAll(() => rmSync(workplace, { recursive: true }));

/** What a port in another language would have written by now: one case, and right. */
async function writePort(folder: string): Promise<void> {
  const directory = join(root, 'conformance');
  const { expected } = await readCase(directory, 'layer/plain', await readManifest(directory));
  mkdirSync(folder, { recursive: true });
  const tensors = [...expected].map(([name, { tensor }]) => ({ name, dtype: 'F32', ...tensor }));
  writeFileSync(join(folder, 'plain.safetensors'), writeSafetensors(tensors));
}

const inRepository = 'npm run -s longformer -- ';

/** What a reader has to bring along himself. */
const needsMore = (command: string): boolean => /\bmy-(?!port)|\bowner\/|\ballenai\/|…/.test(command);

/** Blocks of our commands, each with the output that stands in the next block, if that is one. */
function blocks(text: string): { commands: string[]; output: string | undefined }[] {
  const pattern = /^```sh\n([\s\S]*?)^```$(?:\n\n^```text\n([\s\S]*?)^```$)?/gm;
  return [...text.matchAll(pattern)]
    .map(([, lines, output]) => ({
      commands: lines!.split('\n').filter(line => line.includes(inRepository) && !needsMore(line)),
      output,
    }))
    .filter(({ commands }) => commands.length > 0);
}

/** Runs a line of a shell. `longformer` is the sources. */
function run(line: string): string {
  const quoted = (path: string): string => `'${path.replaceAll("'", `'\\''`)}'`;
  const command = line.replaceAll(inRepository, `${quoted(process.execPath)} ${quoted(main)} `);
  const { status, stdout, stderr } = spawnSync('sh', ['-c', command], { cwd: workplace, encoding: 'utf8' });
  expect([status, stderr.match(/^(E_\w+|error):.*/m)?.[0]], line).toEqual([0, undefined]);
  return stdout;
}

describe.each(documents)('%s', document => {
  const found = blocks(read(document));
  if (found.length === 0) it('shows no commands of ours', () => {});
  it.each(found.map((block, index) => ({ ...block, number: index + 1 })))(
    'block $number runs',
    ({ commands, output }) => {
      const printed = commands.map(run).join('');
      if (output !== undefined) expect(printed).toBe(output);
    },
  );
});

describe('--help', () => {
  const help = (...words: string[]): string =>
    spawnSync(process.execPath, [main, ...words, '--help'], { encoding: 'utf8' }).stdout;
  const names = [...help().matchAll(/^ {2}([a-z-]+) .*$/gm)].map(([, name]) => name!).filter(name => name !== 'help');
  const examples = (name: string): string[] => {
    const lines = help(name).split(/^Examples?:\n/m)[1] ?? '';
    return lines.split('\n').filter(line => /^ {2}\S/.test(line));
  };

  it('lists the commands', () => expect(names.length).toBeGreaterThanOrEqual(18));

  describe.each(names)('%s', name => {
    it('shows examples, with flags it has, and those with a model in the box run', () => {
      const shown = examples(name);
      expect(shown.length).toBeGreaterThan(0);
      for (const example of shown) {
        expect(example).toContain(`longformer ${name}`);
        const asked = name === 'cache' ? example.trim().split(' ').slice(1, 3) : [name];
        const known = [...help(...asked).matchAll(/^ {2}(?:-\w, )?(--[a-z-]+\d?)/gm)].map(([, flag]) => flag!);
        for (const [, flag] of example.matchAll(/ (--[a-z-]+\d?)/g)) expect(known, example).toContain(flag);
        if (/models\/[a-z]/.test(example) && !needsMore(example))
          run(example.trim().replace('longformer ', inRepository));
      }
    });
  });
});

it('README.md shows what npm start prints', async () => {
  const lines: string[] = [];
  await showModels(line => lines.push(line));
  const printed = stripVTControlCharacters(lines.join('\n'));
  const shown = /npm start` shows after the oracle:\n\n```\n([\s\S]*?)^```$/m.exec(read('README.md'))![1]!;
  expect(
    shown
      .trim()
      .split('\n')
      .filter(line => line !== '' && !printed.includes(line)),
  ).toEqual([]);
});

it('the check itself finds commands with their output', () => {
  const text =
    '```sh\nnpm run -s longformer -- a b\nls\n```\n\n```text\n1\n```\n\n```sh\nnpm run -s longformer -- c my-model\n```\n';
  expect(blocks(text)).toEqual([{ commands: ['npm run -s longformer -- a b'], output: '1\n' }]);
});
