/**
 * Text in, text out: a tokenizer, an LED and its generation settings, put together for people who want a summary.
 *
 * Knows no kernels and no tensors. Read before: text-stream.ts, generation/generate.ts. Source: HF Text2TextGenerationPipeline.
 */
import { ValueRangeError } from '../../contract/errors.ts';
import type { GenerationOptions } from '../../contract/generation.ts';
import type { EncoderInputs, LedModel } from '../../contract/model.ts';
import { type GenerateOptions, generate } from '../generation/generate.ts';
import type { Encoding, Tokenizer } from '../tokenizer/index.ts';
import { type GlobalAttention, globalMaskOf } from './global-attention.ts';
import { TextStream } from './text-stream.ts';

/** What writes texts. */
export interface TextWriter {
  readonly model: LedModel;
  readonly tokenizer: Tokenizer;
  /** What the checkpoint's files say: readGenerationSettings. Options of a call win. */
  readonly settings?: GenerationOptions;
}

/**
 * Global attention by default: the start token, as the paper does for summaries.
 * Differs: HF's pipelines give none; `isGlobal: () => false` does as they do.
 */
export interface WriteOptions
  extends Omit<GenerateOptions, 'decoderInputIds' | 'onToken' | 'settings'>,
    GlobalAttention {
  /** A source that is too long: true cuts its end off, false (default) is an error. */
  readonly truncation?: boolean;
  /** Pieces of a text as they become certain: greedy search and sampling. */
  readonly onText?: (piece: { readonly document: number; readonly sequence: number; readonly text: string }) => void;
}

/**
 * numReturnSequences texts for each source, best first.
 *
 * @throws TokenizerError, and as generate; ValueRangeError for a source that is too long
 */
export async function writeTexts(
  { model, tokenizer, settings }: TextWriter,
  sources: readonly string[],
  options: WriteOptions = {},
): Promise<string[][]> {
  const { globalAttentionMask: mask, isGlobal, truncation = false, onText, ...asked } = options;
  const documents = sources.map((text, document): EncoderInputs => {
    const encoding = encodeSource(model, tokenizer, text, document, truncation);
    const { inputIds } = encoding;
    const globalAttentionMask =
      globalMaskOf(encoding, [text], { globalAttentionMask: mask, isGlobal }) ??
      inputIds.map((_, t) => Number(t === 0));
    return { inputIds, globalAttentionMask };
  });
  const streams = new Map<string, TextStream>();
  const sequences = await generate(model, documents, {
    settings,
    ...asked,
    ...(onText && {
      onToken({ document, sequence, tokenId }) {
        const key = `${document} ${sequence}`;
        const stream = streams.get(key) ?? new TextStream(tokenizer);
        streams.set(key, stream);
        const text = stream.push(tokenId);
        if (text !== '') onText({ document, sequence, text });
      },
    }),
  });
  for (const [key, stream] of streams) {
    const [document, sequence] = key.split(' ').map(Number) as [number, number];
    const text = stream.end();
    if (text !== '') onText!({ document, sequence, text });
  }
  return sequences.map(texts => texts.map(({ ids }) => tokenizer.decode(ids, { skipSpecialTokens: true })));
}

function encodeSource(
  { config }: LedModel,
  tokenizer: Tokenizer,
  text: string,
  document: number,
  truncation: boolean,
): Encoding {
  const longest = config.maxEncoderPositionEmbeddings;
  const encoding = tokenizer.encode(text, truncation ? { truncation: 'only_first', maxLength: longest } : {});
  const { length } = encoding.inputIds;
  if (length <= longest) return encoding;
  throw new ValueRangeError({
    where: 'writeTexts',
    name: `sources[${document}]`,
    expected: `at most ${longest} tokens (max_encoder_position_embeddings)`,
    got: String(length),
    hint: 'set truncation to cut the end off, or split the text.',
  });
}

/** The shape people know from HF's pipeline: (sources)(numReturnSequences). @throws as writeTexts */
export async function summarize(
  writer: TextWriter,
  sources: readonly string[],
  options: WriteOptions = {},
): Promise<{ summary_text: string }[][]> {
  const texts = await writeTexts(writer, sources, options);
  return texts.map(of => of.map(summary_text => ({ summary_text })));
}

/** The same under the name of the general task. @throws as writeTexts */
export async function text2text(
  writer: TextWriter,
  sources: readonly string[],
  options: WriteOptions = {},
): Promise<{ generated_text: string }[][]> {
  const texts = await writeTexts(writer, sources, options);
  return texts.map(of => of.map(generated_text => ({ generated_text })));
}
