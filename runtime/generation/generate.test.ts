/** Generation over tables: what is searched and drawn, what is told meanwhile, and what is refused. Real models: conformance/. */
import { readFileSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import type { GenerationOptions } from '../../contract/generation.ts';
import type { EncoderInputs } from '../../contract/model.ts';
import { type GenerateOptions, type GenerationProgress, generate } from './generate.ts';
import type { WrittenToken } from './step-hooks.ts';
import { createTableModel, type Table } from './table-model.ts';

/** Recorded from Hugging Face: a model that is a table, start and end token 2, padding 1. */
const { table, cases } = (
  JSON.parse(readFileSync(new URL('../../conformance/vectors/hf-test-vectors.json', import.meta.url), 'utf8')) as {
    cases: {
      generation_markov_table: {
        table: Table;
        cases: {
          options: Record<string, unknown>;
          expected_sequences_best_first: number[][];
          expected_scores: number[] | null;
        }[];
      };
    };
  }
).cases.generation_markov_table;

const model = createTableModel([table]);
const documents: EncoderInputs[] = [{ inputIds: Int32Array.of(0, 3, 4, 2) }];
const camel = (options: Record<string, unknown>): GenerationOptions =>
  Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name.replace(/_(.)/g, (_, c: string) => c.toUpperCase()), value]),
  );
const idsOf = async (options: GenerateOptions, of = model, sources = documents): Promise<number[][][]> =>
  (await generate(of, sources, options)).map(texts => texts.map(({ ids }) => [...ids]));

describe('a table, as Hugging Face writes it', () => {
  test.each(cases)(
    '$options',
    async ({ options, expected_sequences_best_first: expected, expected_scores: scores }) => {
      const asked = camel(options);
      const [written] = await generate(model, documents, { ...asked, numReturnSequences: asked.numBeams ?? 1 });
      const longest = Math.max(...written!.map(({ ids }) => ids.length));
      expect(written!.map(({ ids }) => [...ids, ...Array<number>(longest - ids.length).fill(1)])).toEqual(expected);
      for (const [i, score] of scores?.entries() ?? []) expect(written![i]!.score).toBeCloseTo(score, 4);
      if (scores === null) expect(written![0]!.score).toBeNull();
      expect(model.open()).toBe(0);
    },
  );
});

describe('documents side by side', () => {
  /** The same table with its columns turned round: another document says something else. */
  const turned = table.map(row => [...row.slice(3), ...row.slice(0, 3)]);
  const two: EncoderInputs[] = [{ inputIds: Int32Array.of(0, 2) }, { inputIds: Int32Array.of(0, 3, 4, 5, 6, 2) }];
  const both = createTableModel([table, turned]);

  it.each<[string, GenerationOptions]>([
    ['greedy', { maxLength: 9 }],
    ['beams', { maxLength: 9, numBeams: 3, numReturnSequences: 2 }],
    ['beams that stop early', { maxLength: 12, numBeams: 2, earlyStopping: true }],
    ['drawn', { maxLength: 9, doSample: true, numReturnSequences: 3, seed: 5 }],
  ])('%s: each writes what it writes alone', async (_, options) => {
    const [first, second] = await idsOf(options, both, two);
    expect(await idsOf(options, createTableModel([table]), [two[0]!])).toEqual([first]);
    expect(await idsOf(options, createTableModel([turned]), [two[1]!])).toEqual([second]);
  });

  it('beams carry the past of their parents', async () => {
    await idsOf({ maxLength: 8, numBeams: 3 });
    // The pasts the model saw are what the beams were made of: they all begin with the prompt and are paths of their own.
    expect(model.pasts().every(past => past[0] === 2 && past.length === 7)).toBe(true);
    expect(new Set(model.pasts().map(String)).size).toBe(3);
  });
});

describe('drawing', () => {
  /** Token 3 with probability 3/4, token 4 with 1/4, the rest never; the end is far. */
  const coin: Table = Array.from({ length: 6 }, () => [-40, -40, -60, Math.log(3), 0, -40]);
  const counts = async (options: GenerationOptions): Promise<number[]> => {
    const of = createTableModel([coin]);
    const written = await idsOf({ doSample: true, maxNewTokens: 20, numReturnSequences: 50, ...options }, of);
    const tokens = written[0]!.flatMap(ids => ids.slice(1));
    return [3, 4].map(token => tokens.filter(each => each === token).length / tokens.length);
  };

  it('has the probabilities of the model', async () => {
    const [often, seldom] = await counts({});
    expect(often! + seldom!).toBe(1);
    expect(often!).toBeGreaterThan(0.7);
    expect(often!).toBeLessThan(0.8);
  });

  it('temperature sharpens and flattens them', async () => {
    expect((await counts({ temperature: 0.25 }))[0]!).toBeGreaterThan(0.97); // 81 to 1
    expect((await counts({ temperature: 100 }))[0]!).toBeLessThan(0.6);
  });

  it('topK and topP leave the best', async () => {
    expect(await counts({ topK: 1 })).toEqual([1, 0]);
    expect(await counts({ topP: 0.7 })).toEqual([1, 0]);
    expect(await counts({ topP: 0.7, topK: 0 })).toEqual([1, 0]);
    expect((await counts({ topP: 0.8, topK: 0 }))[1]!).toBeGreaterThan(0.2);
  });

  it('same seed, same text; another seed or another text of the same seed is another one', async () => {
    const draw = (seed: number): Promise<number[][][]> =>
      idsOf({ doSample: true, maxNewTokens: 20, seed, numReturnSequences: 2 }, createTableModel([coin]));
    const [[first, second]] = (await draw(1)) as [[number[], number[]]];
    expect(await draw(1)).toEqual([[first, second]]);
    expect((await draw(2))[0]![0]).not.toEqual(first);
    expect(second).not.toEqual(first);
  });
});

describe('while it runs', () => {
  it('tells each token of a greedy text once it is certain', async () => {
    const told: WrittenToken[] = [];
    const [[ids]] = (await idsOf({ maxLength: 6, onToken: token => void told.push(token) })) as [[number[]]];
    expect(told).toEqual(ids.slice(1).map(tokenId => ({ document: 0, sequence: 0, tokenId })));
  });

  it('tells nothing of beams before the end', async () => {
    await idsOf({ numBeams: 2, onToken: () => expect.fail('no token is certain') });
  });

  it('reports progress: the encoder, then tokens up to 1', async () => {
    const reports: GenerationProgress[] = [];
    await idsOf({ maxLength: 5, minLength: 5, numBeams: 2, onProgress: report => reports.push(report) });
    expect(reports.map(({ stage, length }) => [stage, length])).toEqual([
      ['encoding', 0],
      ['decoding', 2],
      ['decoding', 3],
      ['decoding', 4],
      ['decoding', 5],
    ]);
    expect(reports.at(-1)!.done).toBe(1);
  });

  it.each([1, 2])('an abort ends it between two tokens, and gives everything back (%d beams)', async numBeams => {
    const controller = new AbortController();
    const reason = new Error('enough');
    let tokens = 0;
    const run = generate(model, documents, {
      numBeams,
      maxLength: 20,
      minLength: 20,
      signal: controller.signal,
      onProgress({ stage }) {
        if (stage === 'decoding' && ++tokens === 3) controller.abort(reason);
      },
    });
    await expect(run).rejects.toMatchObject({
      code: 'E_ABORTED',
      message: 'generate: "signal" expected to finish, got an abort.',
      cause: reason,
    });
    expect(tokens).toBe(3);
    expect(model.open()).toBe(0);
  });

  it('an abort before the beginning: nothing is encoded', async () => {
    await expect(generate(model, documents, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'E_ABORTED',
    });
    expect(model.open()).toBe(0);
  });
});

describe('what is refused', () => {
  const wrong: [string, GenerateOptions, string, string?][] = [
    ['no beams', { numBeams: 0 }, '"numBeams" expected an integer >= 1, got 0.'],
    [
      'more sequences than beams',
      { numBeams: 2, numReturnSequences: 3 },
      '"numReturnSequences" expected at most numBeams (2), got 3.\n' +
        '  Hint: search with more beams, or draw several texts with doSample.',
    ],
    [
      'beams drawn by lot',
      { numBeams: 2, doSample: true },
      '"doSample" expected false with more than one beam, got true with 2 beams.\n' +
        '  Hint: set numBeams to 1 to draw tokens, or doSample to false to search.',
      'E_UNSUPPORTED',
    ],
    [
      'a minimum above the maximum',
      { minLength: 9, maxLength: 8 },
      '"minLength" expected a length of at most 8, the longest allowed, got 9.\n' +
        '  Hint: a text cannot be forbidden to end before it has to.',
    ],
    [
      'more new tokens at least than at most',
      { minNewTokens: 6, maxNewTokens: 5 },
      '"minNewTokens" expected a length of at most 6, the longest allowed, got 7.\n' +
        '  Hint: a text cannot be forbidden to end before it has to.',
    ],
    [
      'a prompt as long as the text may be',
      { maxLength: 3, decoderInputIds: [Int32Array.of(2, 3, 4)] },
      '"decoderInputIds" expected a prompt shorter than 3, the longest allowed, got 3 tokens.\n' +
        '  Hint: raise maxLength or maxNewTokens, or shorten the prompt.',
    ],
    [
      'a text longer than the position table',
      { maxLength: 26 },
      '"maxLength" expected at most 25 (max_decoder_position_embeddings 24), got 26.\n' +
        '  Hint: ask for a shorter text, or use a checkpoint with a larger position table.',
    ],
    [
      'more new tokens than the position table has left',
      { maxNewTokens: 25 },
      '"maxNewTokens" expected at most 24 (max_decoder_position_embeddings 24), got 25.\n' +
        '  Hint: ask for a shorter text, or use a checkpoint with a larger position table.',
    ],
    [
      'prompts for other documents',
      { decoderInputIds: [Int32Array.of(2), Int32Array.of(2)] },
      '"decoderInputIds" expected 1 prompts, one for each document, got 2.',
    ],
    [
      'an empty prompt',
      { decoderInputIds: [new Int32Array()] },
      '"decoderInputIds[0]" expected at least one token, got none.\n' +
        '  Hint: leave decoderInputIds away to begin with nothing.',
    ],
    ['a token outside the vocabulary', { forcedBosTokenId: 7 }, '"forcedBosTokenId[0]" expected 0..6, got 7.'],
    ['an empty bad word', { badWordsIds: [[]] }, '"badWordsIds[0]" expected at least one token, got none.'],
    ['a penalty of 0', { repetitionPenalty: 0 }, '"repetitionPenalty" expected a number > 0, got 0.'],
    [
      'a penalty that is no number',
      { lengthPenalty: Number.NaN },
      '"lengthPenalty" expected a finite number, got NaN.',
    ],
    ['no heat', { temperature: 0, doSample: true }, '"temperature" expected a number > 0, got 0.'],
    ['a share above 1', { topP: 1.5, doSample: true }, '"topP" expected a number in 0..1, got 1.5.'],
    [
      'another word for stopping',
      { earlyStopping: 'soon' as 'never' },
      '"earlyStopping" expected true, false or \'never\', got "soon".',
    ],
    ['a number as a word', { numBeams: '4' as never }, '"numBeams" expected an integer >= 1, got "4".'],
    [
      'a flat list of bad words',
      { badWordsIds: [5] as never },
      '"badWordsIds[0]" expected a list of token ids, got 5.',
    ],
    [
      'bad words as a word',
      { badWordsIds: 'x' as never },
      '"badWordsIds" expected a list of lists of token ids, got "x".',
    ],
    ['a lot by word', { doSample: 'yes' as never }, '"doSample" expected true or false, got "yes".'],
    [
      'one prompt instead of a list',
      { decoderInputIds: Int32Array.of(2) as never },
      '"decoderInputIds[0]" expected the token ids of a prompt, got 2.',
    ],
    [
      'a name of Python',
      { num_beams: 4 } as object,
      '"num_beams" expected an option of generate, got an unknown name.\n  Hint: it is called numBeams here.',
    ],
  ];
  test('a name nobody knows', async () => {
    await expect(generate(model, documents, { beams: 4 } as object)).rejects.toMatchObject({
      subject: 'beams',
      hint: expect.stringMatching(/^there are maxLength, .*numBeams/),
    });
  });
  test.each(wrong)('%s', async (_, options, message, code = 'E_RANGE') => {
    await expect(generate(model, documents, options)).rejects.toMatchObject({ code, message: `generate: ${message}` });
    expect(model.open()).toBe(0);
  });

  test('no token to start with', async () => {
    const without = createTableModel([table], { decoder_start_token_id: null });
    await expect(generate(without, documents)).rejects.toMatchObject({
      code: 'E_RANGE',
      message:
        'generate: "decoderStartTokenId" expected a token id (decoder_start_token_id), got null.\n' +
        '  Hint: give decoderStartTokenId, or put decoder_start_token_id into config.json: LED starts with its eos_token_id.',
    });
    expect(await idsOf({ decoderStartTokenId: 2, maxLength: 8 }, without)).toEqual(await idsOf({ maxLength: 8 }));
  });

  test('a model without a head that writes', async () => {
    const bare = createTableModel([table], { architectures: ['LEDModel'] });
    await expect(generate(bare, documents)).rejects.toMatchObject({ code: 'E_UNSUPPORTED', got: 'none' });
  });

  test('no documents', async () => {
    await expect(generate(model, [])).rejects.toMatchObject({
      message: 'generate: "documents" expected at least one document, got none.',
    });
  });

  test('n-grams of a source that has no ids', async () => {
    const embeds = { inputsEmbeds: { shape: [1, 16], data: new Float32Array(16) } };
    await expect(generate(model, [embeds], { encoderNoRepeatNgramSize: 2 })).rejects.toMatchObject({
      message:
        'generate: "encoderNoRepeatNgramSize" expected inputIds for every document, got embeddings for document 0.\n' +
        '  Hint: n-grams of a source are n-grams of its ids.',
    });
  });
});

describe('what the files of a checkpoint say', () => {
  const endless = createTableModel([Array.from({ length: 6 }, () => [0, 0, -50, 9, 0, 0])]);
  const eager = createTableModel([Array.from({ length: 6 }, () => [0, 0, 9, 0, 0, 0])]);
  const lengthOf = async (of: typeof model, options: GenerateOptions): Promise<number> =>
    (await idsOf(options, of))[0]![0]!.length;

  it('counts where nothing was asked for', async () => {
    expect(await lengthOf(endless, { settings: { maxLength: 7 } })).toBe(7);
    expect(await lengthOf(endless, { settings: { maxLength: 7 }, maxLength: 5 })).toBe(5);
    expect(await lengthOf(endless, { settings: { maxLength: 7 }, maxLength: undefined })).toBe(7);
  });

  it('null turns it off: the default is back, and no end token is no end', async () => {
    expect(await lengthOf(endless, { settings: { maxLength: 7 }, maxLength: null })).toBe(21);
    expect(await lengthOf(endless, { settings: { maxNewTokens: 9, maxLength: 7 }, maxNewTokens: null })).toBe(7);
    expect(await lengthOf(endless, { settings: { maxNewTokens: 9, maxLength: 7 }, maxLength: null })).toBe(10);
    const forced = { settings: { forcedBosTokenId: 5, badWordsIds: [[3]], maxLength: 4 } };
    expect(await idsOf(forced, endless)).toEqual([[[2, 5, 0, 0]]]);
    expect(await idsOf({ ...forced, forcedBosTokenId: null, badWordsIds: null }, endless)).toEqual([[[2, 3, 3, 3]]]);
    expect(await lengthOf(eager, { maxLength: 6 })).toBe(2);
    expect(await lengthOf(eager, { settings: { eosTokenId: 2 }, eosTokenId: null, maxLength: 6 })).toBe(6);
    expect(await lengthOf(eager, { settings: { minLength: 5 }, minLength: null })).toBe(2);
    expect(await lengthOf(endless, { settings: { decoderStartTokenId: 2 }, decoderStartTokenId: null })).toBe(21);
  });

  it('of two ways to say a length the one that was asked for counts', async () => {
    expect(await lengthOf(endless, { settings: { maxNewTokens: 9 }, maxLength: 5 })).toBe(5);
    expect(await lengthOf(endless, { settings: { maxLength: 9 }, maxNewTokens: 3 })).toBe(4);
    expect(await lengthOf(eager, { settings: { minNewTokens: 9 }, minLength: 4 })).toBe(5);
  });

  it('a minimum of the file gives way to a maximum that was asked for; the other way round is a contradiction', async () => {
    expect(await lengthOf(eager, { settings: { minLength: 15, maxLength: 20 }, maxLength: 6 })).toBe(6);
    await expect(generate(eager, documents, { settings: { maxLength: 6 }, minLength: 15 })).rejects.toMatchObject({
      code: 'E_RANGE',
      subject: 'minLength',
    });
  });
});

describe('lengths and prompts', () => {
  it('20 tokens after the prompt by default, fewer where the position table ends', async () => {
    const endless = createTableModel([Array.from({ length: 6 }, () => [0, 0, -50, 9, 0, 0])]);
    const lengthOf = async (options: GenerateOptions): Promise<number> =>
      (await idsOf(options, endless))[0]![0]!.length;
    expect(await lengthOf({})).toBe(21);
    expect(await lengthOf({ decoderInputIds: [new Int32Array(9).fill(2)] })).toBe(25);
    expect(await lengthOf({ maxLength: 6 })).toBe(6);
    expect(await lengthOf({ maxLength: 6, maxNewTokens: 9 })).toBe(10);
  });

  it('the start token is put before prompts unless one of them has it', async () => {
    const three = Int32Array.of(3);
    expect((await idsOf({ maxLength: 5, decoderInputIds: [three] }))[0]![0]!.slice(0, 2)).toEqual([2, 3]);
    expect((await idsOf({ maxLength: 5, decoderInputIds: [Int32Array.of(2, 5)] }))[0]![0]!.slice(0, 2)).toEqual([2, 5]);
  });
});
