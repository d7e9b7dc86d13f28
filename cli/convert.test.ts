/** convert from outside: what it prints, where it ends, and what it leaves on the disk. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it, test } from 'vitest';
import { conformanceDirectory } from '../conformance/read-case.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'longformer-convert-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const models = join(conformanceDirectory(), 'conversions');
const convert = (...args: string[]) =>
  spawnSync(process.execPath, [main, 'convert', ...args], { encoding: 'utf8', cwd: temporary });
const configOf = (directory: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(temporary, directory, 'config.json'), 'utf8')) as Record<string, unknown>;

it('turns BART into LED', () => {
  const { status, stdout } = convert(join(models, 'bart'), 'led', '--to', 'led', '--max-positions', '64', '--json');
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ directory: 'led', files: ['config.json', 'model.safetensors'] });
  expect(configOf('led')).toMatchObject({ model_type: 'led', attention_window: [1024, 1024] });
});

it('asks whose layout it is where the files do not tell, and writes the answer down', () => {
  const unclear = join(temporary, 'unclear');
  cpSync(join(models, 'authors-longformer'), unclear, { recursive: true });
  const { attention_mode: _, ...config } = configOf('unclear');
  writeFileSync(join(unclear, 'config.json'), JSON.stringify(config));
  const refused = convert('unclear', 'clear');
  expect(refused).toMatchObject({ status: 1, stdout: '' });
  expect(refused.stderr).toMatch(/^E_CONFIG: openCheckpoint: "layout" .*\n {2}Hint: .*convert --layout/);
  expect(existsSync(join(temporary, 'clear'))).toBe(false);
  expect(convert('unclear', 'clear', '--layout', 'authors').status).toBe(0);
  expect(configOf('clear')).toMatchObject({ model_type: 'longformer', attention_window: [80, 80] });
});

test.each([
  [['bart', 'x', '--to', 'longformer'], 1, /E_UNSUPPORTED: robertaToLongformer: "model_type"/],
  [['roberta', 'x', '--to', 'longformer', '--max-positions', '100'], 1, /E_RANGE: convert: "maxPositions"/],
  [['roberta', 'x', '--attention-window', '4'], 1, /E_RANGE: convert: "--attention-window" expected --to beside it/],
  [['roberta', 'x', '--to', 'longformer', '--layout', 'authors'], 1, /E_RANGE: convert: "--layout"/],
  [['roberta', 'x', '--to', 'gpt'], 2, /Allowed choices are longformer, led/],
  [['roberta'], 2, /missing required argument 'to'/],
])('%j is refused', ([from, ...rest], code, message) => {
  const { status, stderr } = convert(join(models, from!), ...rest);
  expect(status).toBe(code);
  expect(stderr).toMatch(message);
  expect(readdirSync(temporary).filter(name => name.startsWith('x'))).toEqual([]);
});
