/** A label for each token, or for groups of them. Source: HF TokenClassificationPipeline. */
import { ValueRangeError } from '../../contract/errors.ts';
import type { Encoding } from '../tokenizer/encoding.ts';
import {
  argmax,
  encodeDocument,
  expectOneOf,
  forEachDocument,
  longestOf,
  nameOf,
  type Sequence,
  softmax,
  type TaskModel,
  type TaskOptions,
} from './documents.ts';
import { expectHead } from './heads.ts';

export type Aggregation = 'none' | 'simple' | 'first' | 'average' | 'max';

export interface TokenClassificationOptions extends TaskOptions {
  /**
   * none: tokens as they are. simple: neighbours of one label become a group. first, average, max: before that, the
   * tokens of a word are given one label. HF `aggregation_strategy`, default none.
   */
  readonly aggregation?: Aggregation;
  /** Labels that are left out. HF `ignore_labels`, default O. */
  readonly ignoreLabels?: readonly string[];
  /** A text that is too long is read in windows that share this many tokens; needs an aggregation. HF `stride`. */
  readonly stride?: number;
}

/** A labelled token. */
export interface TokenLabel {
  readonly entity: string;
  readonly score: number;
  /** Row of the token in its sequence. */
  readonly index: number;
  readonly word: string;
  readonly start: number;
  readonly end: number;
}

/** A labelled stretch of text. */
export interface EntityGroup {
  readonly entity_group: string;
  readonly score: number;
  /** Its tokens decoded. Differs: HF decodes groups of words twice and so garbles letters beyond ASCII. */
  readonly word: string;
  /** Characters (UTF-16 code units) of the text. */
  readonly start: number;
  readonly end: number;
}

/** Labels of each text, in order. @throws ValueRangeError, UnsupportedError, AbortedError */
export async function tagTexts(
  task: TaskModel,
  texts: readonly string[],
  options: TokenClassificationOptions = {},
): Promise<(TokenLabel | EntityGroup)[][]> {
  const { config } = task.model;
  expectHead('token-classification', config.head, 'tokenClassification');
  const { aggregation = 'none', ignoreLabels = ['O'], stride } = options;
  expectOneOf('token-classification', 'aggregation', aggregation, ['none', 'simple', 'first', 'average', 'max']);
  if (stride !== undefined && aggregation === 'none') {
    throw new ValueRangeError({
      where: 'token-classification',
      name: 'stride',
      expected: 'an aggregation other than none beside it',
      got: 'none',
      hint: 'windows overlap, and only groups can be put together again.',
    });
  }
  return forEachDocument(
    task,
    texts.length,
    index => windowsOf(task, nameOf('text', index, texts.length), texts[index]!, options),
    (index, windows, outputs) => {
      const text = texts[index]!;
      const entities = windows.flatMap(({ encoding }, window): (TokenLabel | EntityGroup)[] => {
        const tokens = labelledTokens(task, text, encoding, outputs[window]!.logits!.data);
        const found =
          aggregation === 'none' ? tokens.map(tokenLabel) : groupEntities(task, wordsOf(tokens, aggregation));
        return found.filter(entity => !ignoreLabels.includes(labelOf(entity)));
      });
      return windows.length > 1 ? withoutOverlap(text, entities as EntityGroup[]) : entities;
    },
    options,
  );

  function tokenLabel(token: LabelledToken): TokenLabel {
    const { index, start, end, scores } = token;
    const id = argmax(scores);
    return { entity: config.labelNames[id]!, score: scores[id]!, index, word: wordOf(task, token), start, end };
  }

  function wordsOf(tokens: readonly LabelledToken[], how: Aggregation): Labelled[] {
    const label = (scores: Float64Array, members: readonly LabelledToken[]): Labelled => {
      const id = argmax(scores);
      const [start, end] = [members[0]!.start, members.at(-1)!.end];
      return { label: config.labelNames[id]!, score: scores[id]!, ids: members.map(member => member.id), start, end };
    };
    if (how === 'simple') return tokens.map(token => label(token.scores, [token]));
    return wordGroups(tokens).map(members => label(scoresOfWord(members, how), members));
  }
}

const labelOf = (entity: TokenLabel | EntityGroup): string =>
  'entity' in entity ? entity.entity : entity.entity_group;

function windowsOf(task: TaskModel, name: string, text: string, options: TokenClassificationOptions): Sequence[] {
  if (options.stride === undefined) return [encodeDocument(task, name, [text], options)];
  const maxLength = longestOf(task, options);
  const encoding = task.tokenizer.encode(text, {
    maxLength,
    truncation: 'longest_first',
    stride: options.stride,
    returnOverflowing: true,
  });
  return [encoding, ...encoding.overflowing].map(window => ({ encoding: window, texts: [text] }));
}

interface LabelledToken {
  readonly id: number;
  readonly index: number;
  readonly start: number;
  readonly end: number;
  /** (labels) probabilities. */
  readonly scores: Float64Array;
  /** No blank stands before it. */
  readonly continuesWord: boolean;
}

/** A token or a word with its label. */
interface Labelled {
  readonly label: string;
  readonly score: number;
  readonly ids: readonly number[];
  readonly start: number;
  readonly end: number;
}

function labelledTokens(
  { model, tokenizer }: TaskModel,
  text: string,
  encoding: Encoding,
  logits: Float32Array | Float64Array,
): LabelledToken[] {
  const { labels } = model.config;
  const tokens: LabelledToken[] = [];
  for (const [index, id] of encoding.inputIds.entries()) {
    if (encoding.specialTokensMask[index]) continue;
    const [start, end] = [encoding.offsets[2 * index]!, encoding.offsets[2 * index + 1]!];
    const scores = softmax(logits.subarray(index * labels, (index + 1) * labels));
    // HF's rule for tokenizers that do not mark continuations; the unknown token always begins a word.
    const continuesWord =
      id !== tokenizer.specialTokens.unk && start > 0 && !text.slice(start - 1, start + 1).includes(' ');
    tokens.push({ id, index, start, end, scores, continuesWord });
  }
  return tokens;
}

/** The token as it stands in the vocabulary (`Ġhouse`). */
const wordOf = ({ tokenizer }: TaskModel, { id }: LabelledToken): string => tokenizer.idToToken(id)!;

function wordGroups(tokens: readonly LabelledToken[]): LabelledToken[][] {
  const words: LabelledToken[][] = [];
  for (const token of tokens) {
    if (words.length > 0 && token.continuesWord) words.at(-1)!.push(token);
    else words.push([token]);
  }
  return words;
}

function scoresOfWord(members: readonly LabelledToken[], how: Aggregation): Float64Array {
  if (how === 'first') return members[0]!.scores;
  if (how === 'max') {
    const strongest = members.map(({ scores }) => Math.max(...scores));
    return members[argmax(strongest)]!.scores;
  }
  const [{ scores: first }] = members as [LabelledToken];
  return first.map((_, id) => members.reduce((sum, { scores }) => sum + scores[id]!, 0) / members.length);
}

/** Neighbours of one label, whatever stands before its hyphen, unless a B- says that a new one begins. */
function groupEntities({ tokenizer }: TaskModel, entities: readonly Labelled[]): EntityGroup[] {
  const groups: Labelled[][] = [];
  for (const entity of entities) {
    const previous = groups.at(-1)?.at(-1);
    const [prefix, tag] = tagOf(entity.label);
    if (previous && prefix !== 'B' && tagOf(previous.label)[1] === tag) groups.at(-1)!.push(entity);
    else groups.push([entity]);
  }
  return groups.map(members => {
    const { label } = members[0]!;
    const hyphen = label.indexOf('-');
    return {
      entity_group: hyphen < 0 ? label : label.slice(hyphen + 1),
      score: members.reduce((sum, { score }) => sum + score, 0) / members.length,
      word: tokenizer.decode(members.flatMap(({ ids }) => ids)),
      start: members[0]!.start,
      end: members.at(-1)!.end,
    };
  });
}

const tagOf = (label: string): [prefix: 'B' | 'I', tag: string] => {
  if (label.startsWith('B-')) return ['B', label.slice(2)];
  return ['I', label.startsWith('I-') ? label.slice(2) : label];
};

/** Of groups that overlap the longer one stays, of equally long ones the likelier. */
function withoutOverlap(text: string, entities: readonly EntityGroup[]): EntityGroup[] {
  // Subtle: in code points, as HF counts; an emoji is not longer than a letter.
  const lengthOf = ({ start, end }: EntityGroup): number => [...text.slice(start, end)].length;
  const sorted = [...entities].sort((a, b) => a.start - b.start);
  const kept: EntityGroup[] = [];
  for (const entity of sorted) {
    const previous = kept.at(-1);
    if (!previous || !(previous.start <= entity.start && entity.start < previous.end)) {
      kept.push(entity);
      continue;
    }
    const [length, previousLength] = [lengthOf(entity), lengthOf(previous)];
    if (length > previousLength || (length === previousLength && entity.score > previous.score)) {
      kept[kept.length - 1] = entity;
    }
  }
  return kept;
}
