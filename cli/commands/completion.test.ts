/** Completion scripts in the shells themselves. fish and zsh are asked where they are installed. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'longformer-completion-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const completion = (shell: string) => spawnSync(process.execPath, [main, 'completion', shell], { encoding: 'utf8' });
const isInstalled = (shell: string): boolean => spawnSync(shell, ['-c', 'true']).status === 0;

/** What a shell prints that has read its script and then these lines. */
function inShell(shell: string, lines: string): string {
  const script = join(temporary, shell);
  writeFileSync(script, `${completion(shell).stdout}\n${lines}\n`);
  const { stdout, stderr } = spawnSync(shell, [script], { encoding: 'utf8', cwd: temporary });
  expect(stderr).toBe('');
  return stdout;
}

const asked: [typed: string[], offered: string][] = [
  [['an'], 'answer'],
  [['answer', '--str'], '--stride'],
  [['cache', 'li'], 'list'],
  [['cache', '--dry'], '--dry-run'],
  [['completion', 'z'], 'zsh'],
  [['embed', '--pooling', 'm'], 'mean'],
  [['tag', '--aggregation', 'a'], 'average'],
];

/** bash and zsh run the same function; it reads COMP_WORDS. */
const words = asked.map(([typed]) => {
  const quoted = ['longformer', ...typed].map(word => `'${word}'`).join(' ');
  return `COMP_WORDS=(${quoted}) COMP_CWORD=${typed.length}; _longformer; echo "\${COMPREPLY[@]}"`;
});
const offered = asked.map(([, offer]) => `${offer}\n`).join('');

it('bash completes commands, flags and values', () => {
  expect(inShell('bash', words.join('\n'))).toBe(offered);
});

it.skipIf(!isInstalled('zsh'))('zsh starts what it needs; it cuts the words down itself', () => {
  const [command, ...lists] = inShell('zsh', ['echo "$_comps[longformer]"', 'setopt ksh_arrays', ...words].join('\n'))
    .trimEnd()
    .split('\n');
  expect(command).toContain('_longformer');
  for (const [i, [, offer]] of asked.entries()) expect(lists[i]!.split(' ')).toContain(offer);
});

it.skipIf(!isInstalled('fish'))('fish completes the same', () => {
  const lines = asked.map(([typed]) => `complete -C 'longformer ${typed.join(' ')}' | string split -f 1 \\t`);
  expect(inShell('fish', lines.join('\n'))).toBe(offered);
});

it('another shell is refused', () => {
  expect(completion('tcsh')).toMatchObject({ status: 2, stdout: '' });
});
