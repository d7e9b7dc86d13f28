/**
 * Options of generation as flags, by Hugging Face's names: --num-beams 4 --no-repeat-ngram-size 3.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { AskedOptions } from '../runtime/generation/options.ts';

/** What `none` becomes until generationOptionsOf makes null of it, which commander would take for a missing value. */
const off = Symbol('none');

const orNone =
  (parse: (text: string) => unknown) =>
  (text: string): unknown =>
    text === 'none' ? off : parse(text);

const number = (text: string): number => {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('Not a number.');
  return value;
};

const integer = (text: string): number => {
  const value = number(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('Not a whole number.');
  return value;
};

const integers = (text: string): number[] => text.split(',').map(integer);

const wordList = (text: string): number[][] => text.split(';').map(integers);

const stopping = (text: string): boolean | 'never' => {
  if (text === 'never') return text;
  if (text !== 'true' && text !== 'false') throw new InvalidArgumentError('Not true, false or never.');
  return text === 'true';
};

const yesOrNo = (text: string): boolean => {
  if (text !== 'true' && text !== 'false') throw new InvalidArgumentError('Not true or false.');
  return text === 'true';
};

type Flag = readonly [flags: string, description: string, parse: (text: string) => unknown];

const flags: readonly Flag[] = [
  ['--max-length <tokens>', 'longest text, its prompt included', integer],
  ['--max-new-tokens <tokens>', 'most tokens after the prompt', integer],
  ['--min-length <tokens>', 'no end before, prompt included', integer],
  ['--min-new-tokens <tokens>', 'no end before, prompt not counted', integer],
  ['--num-beams <count>', 'hypotheses of a beam search', integer],
  ['--num-return-sequences <count>', 'texts for each source', integer],
  ['--length-penalty <exponent>', '> 0 favours long texts', number],
  ['--early-stopping <when>', 'true, false or never', stopping],
  ['--repetition-penalty <factor>', '> 1 discourages words that were written', number],
  ['--no-repeat-ngram-size <size>', 'no n-gram twice', integer],
  ['--encoder-no-repeat-ngram-size <size>', 'no n-gram of the source', integer],
  ['--bad-words-ids <ids>', 'sequences that are not written: 5;17,42', wordList],
  ['--forced-bos-token-id <id>', 'first token after the prompt', integer],
  ['--forced-eos-token-id <ids>', 'last token at the greatest length', integers],
  ['--do-sample [true|false]', 'draw tokens by lot', yesOrNo],
  ['--temperature <value>', 'below 1 draws likely tokens more often', number],
  ['--top-k <count>', 'draw among so many', integer],
  ['--top-p <share>', 'draw among the likeliest that reach it', number],
  ['--seed <number>', 'same seed, same draw', integer],
  ['--decoder-start-token-id <id>', 'first token of the prompt', integer],
  ['--eos-token-id <ids>', 'tokens that end a text', integers],
  ['--pad-token-id <id>', 'fills up shorter texts', integer],
];

/** Subtle: --no-… would mean the opposite of an option …; there is no such thing here, only a name that begins so. */
function optionsOfFlags(): Option[] {
  return flags.map(([names, description, parse]) => {
    const option = new Option(names, description).argParser(orNone(parse));
    option.negate = false;
    if (option.optional) option.preset('true');
    return option.helpGroup('Generation (default: what the checkpoint says; none turns that off):');
  });
}

/** Adds them all. What is not given is what generation_config.json or config.json says. */
export function addGenerationFlags(command: Command): Command {
  for (const option of optionsOfFlags()) command.addOption(option);
  return command;
}

/** The flags that were given, out of all options of a command. */
export function generationOptionsOf(options: Readonly<Record<string, unknown>>): AskedOptions {
  const names = optionsOfFlags().map(option => option.attributeName());
  const given = names.filter(name => options[name] !== undefined);
  return Object.fromEntries(given.map(name => [name, options[name] === off ? null : options[name]]));
}
