/** Options of generation by Hugging Face's names, as cases and files of vectors have them, in our words. */
import { CaseError } from '../contract/errors.ts';
import type { GenerationOptions } from '../contract/generation.ts';

/** Every option a case may name. */
const names: ReadonlyMap<string, keyof GenerationOptions> = new Map([
  ['max_length', 'maxLength'],
  ['max_new_tokens', 'maxNewTokens'],
  ['min_length', 'minLength'],
  ['min_new_tokens', 'minNewTokens'],
  ['num_beams', 'numBeams'],
  ['num_return_sequences', 'numReturnSequences'],
  ['length_penalty', 'lengthPenalty'],
  ['early_stopping', 'earlyStopping'],
  ['repetition_penalty', 'repetitionPenalty'],
  ['no_repeat_ngram_size', 'noRepeatNgramSize'],
  ['encoder_no_repeat_ngram_size', 'encoderNoRepeatNgramSize'],
  ['bad_words_ids', 'badWordsIds'],
  ['forced_bos_token_id', 'forcedBosTokenId'],
  ['forced_eos_token_id', 'forcedEosTokenId'],
  ['decoder_start_token_id', 'decoderStartTokenId'],
  ['eos_token_id', 'eosTokenId'],
  ['pad_token_id', 'padTokenId'],
]);

/** @throws CaseError for an option that has no name here: a case must not pass because half of it was not read. */
export function optionsFromHuggingFace(options: Readonly<Record<string, unknown>>): GenerationOptions {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => {
      const ours = names.get(name);
      if (ours) return [ours, value];
      const expected = `one of ${[...names.keys()].join(', ')}`;
      throw new CaseError({ where: 'readCase', name: 'options', expected, got: name });
    }),
  );
}
