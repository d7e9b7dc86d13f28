/** What package.json's scripts must keep to, so that they work in a fresh clone. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  scripts: Record<string, string>;
};

// The first `node` of a fresh clone is the system's, and the shell remembers where it found it: a second `node` of the same line
// would be that one too, although the installation has put another in front.
it.each(Object.entries(scripts).filter(([, line]) => line.startsWith('node scripts/setup.mjs')))(
  '%s runs sources on the Node that was installed',
  (_, line) => {
    const [, ...later] = line.split(' && ');
    expect(later.filter(command => /^node\b/.test(command))).toEqual([]);
  },
);

it('some scripts install what is missing', () => {
  expect(Object.values(scripts).filter(line => line.startsWith('node scripts/setup.mjs')).length).toBeGreaterThan(1);
});
