/**
 * Tokens per second of our tokenizer, character offsets included, beside `@huggingface/tokenizers`, which gives ids only.
 *
 *     node benchmarks/tokenizer.bench.ts [--rounds 15] [--json FILE]
 *
 * Texts are the documents of this repository: prose and code. The two take turns on the same texts, ids are compared first, and
 * what is printed last is the ratio of the medians of their CPU time.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Tokenizer as PeerTokenizer } from '@huggingface/tokenizers';
import { loadTokenizer, type Tokenizer } from '../runtime/tokenizer/index.ts';

const { values: options } = parseArgs({
  options: { rounds: { type: 'string', default: '15' }, json: { type: 'string' } },
});

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(`${root}${path}`, 'utf8');
const texts = [
  'README.md',
  'docs/paper-to-code.md',
  'docs/windows.md',
  'reference/README.md',
  'conformance/FORMAT.md',
  'runtime/tokenizer/tokenizer.ts',
].map(read);

const model = 'conformance/models/tokenizer-gpt2';
const vocabJson = read(`${model}/vocab.json`);
const mergesText = read(`${model}/merges.txt`);

/** The tokenizer.json that the package wants, of the same vocabulary. */
function createPeer({ definition, tokenToId }: Tokenizer): PeerTokenizer {
  const special = definition.addedTokens.map(({ id, content, lstrip, rstrip, singleWord, normalized }) => {
    return { id, content, lstrip, rstrip, single_word: singleWord, normalized, special: true };
  });
  const json = {
    added_tokens: special,
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true, trim_offsets: true },
    post_processor: {
      type: 'RobertaProcessing',
      cls: ['<s>', tokenToId('<s>')],
      sep: ['</s>', tokenToId('</s>')],
      trim_offsets: true,
      add_prefix_space: false,
    },
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab: JSON.parse(vocabJson), merges: definition.merges.map(pair => pair.join(' ')) },
  };
  return new PeerTokenizer(json, {});
}

/** Milliseconds of the processor that `work` takes. */
function cpuMilliseconds(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

function measure(contestants: Readonly<Record<string, (text: string) => ArrayLike<number>>>, rounds: number) {
  const names = Object.keys(contestants);
  const [first] = names;
  let tokens = 0;
  for (const text of texts) {
    const ids = Array.from(contestants[first!]!(text));
    tokens += ids.length;
    for (const name of names) {
      const others = Array.from(contestants[name]!(text));
      if (others.join() !== ids.join()) throw new Error(`${name} and ${first} give other ids of the same text`);
    }
  }
  const times: Record<string, number[]> = Object.fromEntries(names.map(name => [name, []]));
  for (let round = -2; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const time = cpuMilliseconds(() => {
        for (const text of texts) contestants[name]!(text);
      });
      if (round >= 0) times[name]!.push(time);
    }
  }
  const rate = Object.fromEntries(names.map(name => [name, (1000 * tokens) / median(times[name]!)]));
  return { tokens, rounds, rate };
}

const ours = loadTokenizer({ vocabJson, mergesText });
const peer = createPeer(ours);
const contestants = {
  'ours, with offsets': (text: string) => ours.encode(text).inputIds,
  '@huggingface/tokenizers, without': (text: string) => peer.encode(text).ids,
};
const { tokens, rounds, rate } = measure(contestants, Number(options.rounds));
for (const [name, perSecond] of Object.entries(rate)) {
  console.log(`${name.padEnd(34)} ${(perSecond / 1e6).toFixed(2)} million tokens a second`);
}
const [own, others] = Object.values(rate) as [number, number];
console.log(`ratio ${(own / others).toFixed(2)} (${tokens} tokens, median of ${rounds} rounds)`);
if (options.json !== undefined) {
  writeFileSync(options.json, `${JSON.stringify({ node: process.version, tokens, rounds, rate }, null, 1)}\n`);
}
