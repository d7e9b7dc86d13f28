/**
 * Sources in, targets out: encode once, then search or draw step by step.
 *
 * Knows a model only by its seam. Read before: options.ts, greedy.ts, beam-search.ts. Source: HF GenerationMixin.generate.
 */
import { AbortedError, UnsupportedError, ValueRangeError } from '../../contract/errors.ts';
import type { GeneratedSequence, GenerationOptions } from '../../contract/generation.ts';
import type { EncoderInputs, LedModel } from '../../contract/model.ts';
import { eventLoopTurn } from '../event-loop-turn.ts';
import { searchBeams } from './beam-search.ts';
import { writeOneByOne } from './greedy.ts';
import { createProcessor } from './logits-processors.ts';
import { type AskedOptions, type Settings, settingsOf } from './options.ts';
import type { StepHooks, WrittenToken } from './step-hooks.ts';

export interface GenerationProgress {
  readonly stage: 'encoding' | 'decoding';
  /** Share of this stage that is done, 0..1; decoding may end before its last token. */
  readonly done: number;
  /** Length of the targets so far, prompt included; 0 while encoding. */
  readonly length: number;
  /** Documents (samples) that are finished. */
  readonly finished: number;
}

export interface GenerateOptions extends AskedOptions {
  /** What the checkpoint's files say: readGenerationSettings. Options win over it. */
  readonly settings?: GenerationOptions;
  /** Looked at between two layers of the encoder and between two tokens. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: GenerationProgress) => void;
  /** Each token as soon as it is certain: greedy search and sampling. Beams are certain at the end, and their tokens are not told. */
  readonly onToken?: (token: WrittenToken) => void | Promise<void>;
}

/**
 * Writes numReturnSequences targets for each document, best first.
 *
 * Every group of beams reads its own source; documents may have any lengths, and a document's targets do not depend on the others.
 * Differs: HF falls back on bos_token_id where decoder_start_token_id is missing; here that is an error.
 * @throws ValueRangeError, ShapeError, UnsupportedError for what cannot be done; MemoryError; AbortedError
 */
export async function generate(
  model: LedModel,
  documents: readonly EncoderInputs[],
  options: GenerateOptions = {},
): Promise<GeneratedSequence[][]> {
  const { config } = model;
  const where = 'generate';
  if (config.head !== 'conditionalGeneration') {
    const hint = 'open the checkpoint of LEDForConditionalGeneration, or another one with the option `head`.';
    throw new UnsupportedError({ where, name: 'head', expected: 'conditionalGeneration', got: config.head, hint });
  }
  if (documents.length === 0) {
    throw new ValueRangeError({ where, name: 'documents', expected: 'at least one document', got: 'none' });
  }
  const settings = settingsOf(optionsOf(options), config, documents.length, options.settings);
  const process = createProcessor(settings, documents);
  const { signal, onProgress } = options;
  expectNotAborted(signal);

  const source = await model.encode(documents, {
    signal,
    onProgress: done => onProgress?.({ stage: 'encoding', done, length: 0, finished: 0 }),
  });
  try {
    const perDocument = settings.numBeams > 1 ? settings.numBeams : settings.numReturnSequences;
    const groupDocuments = Int32Array.from({ length: documents.length * perDocument }, (_, group) =>
      Math.floor(group / perDocument),
    );
    // The last token that is written is not read.
    const decoding = model.startDecoding(source, groupDocuments, settings.maxLength - 1);
    try {
      const hooks = hooksOf(settings, options);
      if (settings.numBeams > 1) return await searchBeams(decoding, settings, process, hooks, config.vocabSize);
      const sequences = await writeOneByOne(decoding, settings, process, hooks, config.vocabSize);
      return documents.map((_, document) => sequences.slice(document * perDocument, (document + 1) * perDocument));
    } finally {
      decoding.dispose();
    }
  } finally {
    source.dispose();
  }
}

/** Without what does not concern the search. */
function optionsOf({
  settings: _,
  signal: _s,
  onProgress: _p,
  onToken: _t,
  ...options
}: GenerateOptions): AskedOptions {
  return options;
}

function hooksOf({ promptLength, maxLength }: Settings, { signal, onProgress, onToken }: GenerateOptions): StepHooks {
  return {
    onToken,
    async turn(length, finished, last) {
      const done = last ? 1 : (length - promptLength) / (maxLength - promptLength);
      onProgress?.({ stage: 'decoding', done, length, finished });
      await eventLoopTurn();
      if (!last) expectNotAborted(signal);
    },
  };
}

function expectNotAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new AbortedError({
    where: 'generate',
    name: 'signal',
    expected: 'to finish',
    got: 'an abort',
    cause: signal.reason,
  });
}
