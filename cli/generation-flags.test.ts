import { Command } from 'commander';
import { describe, expect, it, test } from 'vitest';
import type { AskedOptions } from '../runtime/generation/options.ts';
import { addGenerationFlags, generationOptionsOf } from './generation-flags.ts';

function optionsOf(...args: string[]): AskedOptions {
  const command = addGenerationFlags(new Command().exitOverride().configureOutput({ writeErr: () => {} }));
  return generationOptionsOf(command.parse(args, { from: 'user' }).opts());
}

const flags: [args: string, options: AskedOptions][] = [
  ['--max-length 9', { maxLength: 9 }],
  ['--max-new-tokens 8', { maxNewTokens: 8 }],
  ['--min-length 3', { minLength: 3 }],
  ['--min-new-tokens 2', { minNewTokens: 2 }],
  ['--num-beams 4', { numBeams: 4 }],
  ['--num-return-sequences 2', { numReturnSequences: 2 }],
  ['--length-penalty -0.5', { lengthPenalty: -0.5 }],
  ['--early-stopping true', { earlyStopping: true }],
  ['--early-stopping false', { earlyStopping: false }],
  ['--early-stopping never', { earlyStopping: 'never' }],
  ['--repetition-penalty 1.5', { repetitionPenalty: 1.5 }],
  ['--no-repeat-ngram-size 3', { noRepeatNgramSize: 3 }],
  ['--encoder-no-repeat-ngram-size 2', { encoderNoRepeatNgramSize: 2 }],
  ['--bad-words-ids 5;17,42', { badWordsIds: [[5], [17, 42]] }],
  ['--forced-bos-token-id 0', { forcedBosTokenId: 0 }],
  ['--forced-eos-token-id 2,7', { forcedEosTokenId: [2, 7] }],
  ['--do-sample', { doSample: true }],
  ['--do-sample true', { doSample: true }],
  ['--do-sample false', { doSample: false }],
  ['--temperature 0.7', { temperature: 0.7 }],
  ['--top-k 10', { topK: 10 }],
  ['--top-p 0.9', { topP: 0.9 }],
  ['--seed 7', { seed: 7 }],
  ['--decoder-start-token-id 2', { decoderStartTokenId: 2 }],
  ['--eos-token-id 2', { eosTokenId: [2] }],
  ['--pad-token-id 1', { padTokenId: 1 }],
];

describe('flags of generation', () => {
  test.each(flags)('%s', (args, options) => expect(optionsOf(...args.split(' '))).toEqual(options));

  it('nothing given is nothing asked for', () => expect(optionsOf()).toEqual({}));

  it('none turns off what the checkpoint says, whatever it is', () => {
    for (const [args] of flags) {
      const [flag] = args.split(' ') as [string];
      const [value] = Object.values(optionsOf(flag, 'none'));
      expect(value, flag).toBeNull();
    }
  });

  test.each([
    '--num-beams 2.5',
    '--num-beams four',
    '--num-beams Infinity',
    '--early-stopping soon',
    '--bad-words-ids 5;;6',
    '--top-p',
    '--do-sample maybe',
  ])('%s is a wrong usage', args => expect(() => optionsOf(...args.split(' '))).toThrow());
});
