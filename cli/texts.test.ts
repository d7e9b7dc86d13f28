/** The commands on texts from outside: a process, what it reads, what it prints where, its exit code, and what it leaves on the disk. */
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { createMemorySource } from '../runtime/checkpoint/byte-source.ts';
import { openSafetensors } from '../runtime/checkpoint/safetensors.ts';
import { highlight } from './text-options.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const root = fileURLToPath(new URL('..', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'longformer-texts-'));
afterAll(() => rmSync(temporary, { recursive: true }));

const modelOf = (name: string): string => join(root, 'conformance/pipelines/models', name);

/** `longformer <command> --model <its checkpoint> …` */
function run(
  command: string,
  args: readonly string[],
  { model = command, input = '' }: { model?: string; input?: string | Uint8Array } = {},
): SpawnSyncReturns<string> {
  const line = [main, command, '--model', modelOf(model), ...args];
  return spawnSync(process.execPath, line, { encoding: 'utf8', input, cwd: temporary });
}

const write = (name: string, content: string | Uint8Array): string => {
  const path = join(temporary, name);
  writeFileSync(path, content);
  return path;
};

describe('where texts come from', () => {
  const classify = (args: readonly string[], input?: string | Uint8Array) =>
    run('classify', [...args, '--top-k', '4'], { model: 'text-classification', input });
  const letter = write('letter.txt', 'the old letter');
  const expected = classify(['the old letter']).stdout;

  it('an argument, a file, or standard input with or without a dash: the same answer', () => {
    expect(expected).toMatch(/^( *\d+\.\d % {2}(joy|anger|fear|calm)\n){4}$/);
    expect(classify(['--file', letter]).stdout).toBe(expected);
    expect(classify(['-'], 'the old letter').stdout).toBe(expected);
    expect(classify([], 'the old letter').stdout).toBe(expected);
  });

  it('several are answered in order, each under its name', () => {
    const { stdout, stderr, status } = classify(['one', 'two', '--file', letter, '--file', letter]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.match(/^\S.*:$/gm)).toEqual(['text 1:', 'text 2:', `${letter}:`, `${letter}:`]);
    expect(stdout).toContain(`${letter}:\n${expected}`);
  });

  it('JSON is one result for one text, and an array for several', () => {
    const one = JSON.parse(classify(['the old letter', '--json']).stdout);
    const two = JSON.parse(classify(['the old letter', 'x', '--json']).stdout);
    expect(one.map(({ label }: { label: string }) => label).sort()).toEqual(['anger', 'calm', 'fear', 'joy']);
    expect(two).toHaveLength(2);
    expect(two[0]).toEqual(one);
  });

  it.each<[string, readonly string[], string | Uint8Array, number, string]>([
    ['blanks', [], ' \n', 1, 'E_RANGE: classify: "-" expected some text, got none.\n'],
    [
      'no such file',
      ['--file', 'nowhere.txt'],
      '',
      1,
      'E_IO: classify: "nowhere.txt" expected readable UTF-8 text, got ENOENT.\n',
    ],
    [
      'bytes that are no UTF-8',
      [],
      Uint8Array.of(0x61, 0xff),
      1,
      'E_IO: classify: "standard input" expected readable UTF-8 text, got other bytes.\n',
    ],
    [
      'a text that is too long',
      ['a '.repeat(300)],
      '',
      1,
      'E_RANGE: tasks: "text" expected at most 192 tokens, got 303.\n' +
        '  Hint: set truncation to cut it, or, where the task has it, stride to read it in windows.\n',
    ],
    [
      'another backend',
      ['a', '--backend', 'abacus'],
      '',
      1,
      'E_UNSUPPORTED: createDevice: "device" expected one of wasm, reference, webgpu, gpujs, got abacus.\n',
    ],
    ['a flag nobody knows', ['a', '--loud'], '', 2, "error: unknown option '--loud'\n"],
  ])('refuses %s', (_, args, input, code, message) => {
    const { status, stdout, stderr } = classify(args, input);
    expect({ status, stdout, stderr: stderr.slice(0, message.length) }).toEqual({
      status: code,
      stdout: '',
      stderr: message,
    });
  });

  it('cuts a text that is too long when told to', () => {
    expect(classify(['a '.repeat(300), '--truncate']).status).toBe(0);
  });

  it('refuses a checkpoint of another task', () => {
    const { status, stderr } = run('classify', ['a'], { model: 'fill-mask' });
    expect([status, stderr.split('\n')[0]]).toEqual([
      1,
      'E_UNSUPPORTED: text-classification: "model" expected LongformerForSequenceClassification, got LongformerForMaskedLM.',
    ]);
  });
});

describe('what is printed', () => {
  it('answer: the answer in its sentence and where it stands, without colours in a pipe', () => {
    const text = 'It rained. Anna reads the old letter! Then she went.';
    const { stdout, stderr } = run('answer', ['Who reads?', text], { model: 'question-answering' });
    const { answer, start, end } = JSON.parse(
      run('answer', ['Who reads?', text, '--json'], { model: 'question-answering' }).stdout,
    );
    expect(text.slice(start, end)).toBe(answer);
    expect(stdout.split('\n')[0]).toMatch(new RegExp(`^ *\\d+\\.\\d %  ${answer}$`));
    expect(stdout).toContain(`(text 1, characters ${start}–${end})\n`);
    expect(stdout).not.toContain('\u001b');
    expect(stderr).toMatch(/^\d+ tokens in \d+\.\d\d s, \d+ a second \(wasm\)\n$/);
  });

  it('answer finds the fact in the sample document of the checkpoint in the box', () => {
    const folder = join(root, 'models/needle-qa');
    const questions = JSON.parse(readFileSync(join(folder, 'sample-questions.json'), 'utf8'));
    const { question, answer, start } = questions.at(-1) as { question: string; answer: string; start: number };
    const document = join(folder, 'sample-document.txt');
    const line = [main, 'answer', '--model', folder, question, '--file', document, '--json'];
    const { stdout } = spawnSync(process.execPath, line, { encoding: 'utf8' });
    expect(JSON.parse(stdout)).toMatchObject({ answer, start });
  });

  it('answer: several answers, windows of a long text, and an answer that is none', () => {
    const args = ['Who?', 'a '.repeat(400), '--stride', '32', '--top-k', '3', '--json'];
    expect(JSON.parse(run('answer', args, { model: 'question-answering' }).stdout)).toHaveLength(3);
  });

  it('fill-mask, tag and choose', () => {
    expect(run('fill-mask', ['Anna <mask> a letter.', '--top-k', '2']).stdout).toMatch(/^( *\d+\.\d % .*\n){2}$/);
    const targets = run('fill-mask', ['Anna <mask>', '--targets', 'Ġthe,Ġa', '--json']).stdout;
    expect(JSON.parse(targets)).toHaveLength(2);
    const tagged = run('tag', ['Anna in Paris', '--ignore', 'none'], { model: 'token-classification' }).stdout;
    expect(tagged).toMatch(/^( *\d+\.\d % {2}\w+ +.*\(characters \d+–\d+\)\n)+$/);
    const none = ['Anna in Paris', '--ignore', 'none', '--aggregation', 'none', '--json'];
    expect(JSON.parse(run('tag', none, { model: 'token-classification' }).stdout)[0]).toHaveProperty('entity');
  });

  it('fill-mask: several texts under their names, and a target that is no token is said', () => {
    const { stdout, stderr } = run('fill-mask', ['<mask>', '<mask> <mask>', '--top-k', '1', '--targets', 'riverbank']);
    const line = ' *\\d+\\.\\d % {2}.*\n';
    expect(stdout).toMatch(new RegExp(`^text 1:\n${line}text 2:\nmask 1\n${line}mask 2\n${line}$`));
    expect(stderr).toBe('"riverbank" is no token; its first one is taken, as Hugging Face does.\n');
  });

  it('choose: the text as an argument, from a file or from standard input', () => {
    const choices = ['It is wet.', 'It is dry.'];
    const choose = (args: readonly string[], input?: string) =>
      run('choose', args, { model: 'multiple-choice', input });
    const { stdout } = choose(['It rained.', ...choices]);
    expect(stdout).toMatch(/^( *\d+\.\d % {2}It is (wet|dry)\.\n){2}$/);
    expect(choose(['-', ...choices], 'It rained.').stdout).toBe(stdout);
    expect(choose(['--file', write('rain.txt', 'It rained.'), ...choices]).stdout).toBe(stdout);
    const refused = [
      ['It rained.', 'It is wet.'],
      ['It rained.', 'wet', ' '],
      ['', ...choices],
    ];
    expect(refused.map(args => choose(args).stderr)).toEqual([
      'E_RANGE: choose: "choices" expected two or more, got 1.\n',
      'E_RANGE: choose: "choice 2" expected some text, got none.\n',
      'E_RANGE: choose: "text" expected some text, got none.\n',
    ]);
  });

  it('colours are for people: not in pipes, not with NO_COLOR, not on a dumb terminal', () => {
    const { isTTY } = process.stdout;
    const coloured = (tty: boolean, env: Record<string, string>): boolean => {
      process.stdout.isTTY = tty;
      for (const name of ['NO_COLOR', 'TERM']) vi.stubEnv(name, env[name]);
      return highlight('a') !== 'a';
    };
    try {
      expect(coloured(true, { TERM: 'xterm' })).toBe(true);
      expect(coloured(false, { TERM: 'xterm' })).toBe(false);
      expect(coloured(true, { TERM: 'xterm', NO_COLOR: '1' })).toBe(false);
      expect(coloured(true, { TERM: 'dumb' })).toBe(false);
    } finally {
      process.stdout.isTTY = isTTY;
      vi.unstubAllEnvs();
    }
  });

  it('a reader that has seen enough is no fault', () => {
    const command = `'${process.execPath}' '${main}' embed --model '${modelOf('fill-mask')}' ${'a '.repeat(200)}| head -c 9`;
    const { stdout, stderr } = spawnSync('bash', ['-c', `${command}; echo " \${PIPESTATUS[0]}"`], { encoding: 'utf8' });
    expect([stdout, stderr]).toEqual(['{"name":" 0\n', '']);
  });

  it('nothing in a text of others reaches the terminal as a command', () => {
    const { stdout } = run('answer', ['Who?', 'red\u001b[31m\u202e Anna'], { model: 'question-answering' });
    for (const character of ['\u001b', '\u202e']) expect(stdout).not.toContain(character);
  });
});

describe('embed', () => {
  const embed = (...args: string[]) => run('embed', args, { model: 'fill-mask' });
  const leftovers = (): string[] => readdirSync(temporary).filter(name => name.includes('vectors'));

  it('a line for each text, or a row in a file', async () => {
    const { stdout } = embed('one', 'two words', '--normalize');
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line));
    expect(lines.map(({ name, embedding }) => [name, embedding.length])).toEqual([
      ['text 1', 24],
      ['text 2', 24],
    ]);
    expect(Math.hypot(...lines[0].embedding)).toBeCloseTo(1, 6);

    const texts = write('texts.jsonl', '{"body":"one"}\n\n{"body":"two words","n":1}\n');
    const args = ['--jsonl', texts, '--field', 'body', '--normalize', '--out'];
    expect(embed(...args, 'vectors.safetensors').status).toBe(0);
    const bytes = new Uint8Array(readFileSync(join(temporary, 'vectors.safetensors')));
    const { shape, data } = await (await openSafetensors(createMemorySource(bytes))).floats('embeddings');
    expect([shape, [...data]]).toEqual([[2, 24], lines.flatMap(({ embedding }) => embedding)]);

    expect(embed(...args, 'vectors.jsonl').status).toBe(0);
    const written = readFileSync(join(temporary, 'vectors.jsonl'), 'utf8').trimEnd().split('\n');
    expect(written.map(line => JSON.parse(line))).toEqual([
      { name: `${texts}:1`, embedding: lines[0].embedding },
      { name: `${texts}:3`, embedding: lines[1].embedding },
    ]);
    for (const name of leftovers()) rmSync(join(temporary, name));
  });

  it('takes lines or texts, and at least one', () => {
    const empty = write('empty.jsonl', '\n');
    expect(
      [embed('--jsonl', empty), embed('a', '--jsonl', empty)].map(({ status, stderr }) => [status, stderr]),
    ).toEqual([
      [1, `E_RANGE: embed: "${empty}" expected at least one line with a text, got none.\n`],
      [1, 'E_RANGE: embed: "--jsonl" expected to be alone, got other texts beside it.\n'],
    ]);
  });

  it('names the line that has no text, and writes nothing', () => {
    const texts = write('texts.jsonl', '{"text":"one"}\n{"text":2}\n');
    const { status, stderr } = embed('--jsonl', texts, '--out', 'vectors.jsonl');
    expect([status, stderr, leftovers()]).toEqual([
      1,
      `E_RANGE: embed: "${texts}:2" expected a JSON object with a text in "text", got {"text":2}.\n`,
      [],
    ]);
    const other = embed('a', '--out', 'vectors.csv');
    expect([other.status, other.stderr]).toEqual([
      1,
      'E_RANGE: embed: "--out" expected a name that ends in .safetensors or .jsonl, got vectors.csv.\n',
    ]);
    expect(embed('a', '--out', 'nowhere/vectors.jsonl').stderr).toContain('E_IO: createSafetensorsFile');
  });

  it('stops at Ctrl-C and leaves the old file', async () => {
    const old = write('vectors.jsonl', 'old');
    const texts = write('many.jsonl', `${JSON.stringify({ text: 'a '.repeat(180) })}\n`.repeat(3000));
    const line = [
      main,
      'embed',
      '--model',
      modelOf('fill-mask'),
      '--jsonl',
      texts,
      '--out',
      old,
      '--backend',
      'reference',
    ];
    const child = spawn(process.execPath, line, { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', chunk => {
      stderr += chunk;
    });
    await new Promise(resolve => setTimeout(resolve, 2500));
    child.kill('SIGINT');
    const code = await new Promise(resolve => child.on('exit', resolve));
    expect([code, stderr.slice(0, 10), readFileSync(old, 'utf8')]).toEqual([130, 'E_ABORTED:', 'old']);
    expect(leftovers()).toEqual(['vectors.jsonl']);
  });
});

describe('help', () => {
  it.each(['answer', 'classify', 'tag', 'fill-mask', 'choose', 'embed', 'download', 'cache'])(
    '%s --help explains itself, with an example; a wrong flag points there',
    command => {
      const help = spawnSync(process.execPath, [main, command, '--help'], { encoding: 'utf8' });
      expect(help.status).toBe(0);
      expect(help.stdout).toContain(`Usage: longformer ${command}`);
      expect(help.stdout).toMatch(/Examples?:\n {2}/);
      const wrong = spawnSync(process.execPath, [main, command, '--loud'], { encoding: 'utf8' });
      expect([wrong.status, wrong.stdout]).toEqual([2, '']);
      expect(wrong.stderr).toMatch(/^error: .*\n(\n)?\(add --help for the options\)\n$/);
    },
  );
});
