/**
 * The literal vectors of vectors/hf-test-vectors.json that concern LED and generation, against the reference.
 *
 * Left out: losses (training), and the tokenizer's padding of global masks (tokenizer).
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { LedConfig } from '../contract/config.ts';
import type { GenerationOptions } from '../contract/generation.ts';
import { decoderIdsOf } from '../contract/led-inputs.ts';
import type { Tensor64 } from '../contract/tensor.ts';
import type { Weights } from '../reference/7-longformer.ts';
import { beamSearch, generate, greedySearch, logitsProcessors, resolveOptions } from '../reference/index.ts';
import { createReferenceLedModel } from '../reference/led-model.ts';
import { memorySink } from '../runtime/batch.ts';
import { parseLedConfig } from '../runtime/checkpoint/parse-led-config.ts';
import { forwardLedBatch, type LedBatchInputs } from '../runtime/led-batch.ts';
import { optionsFromHuggingFace } from './generation-options.ts';

// biome-ignore lint/suspicious/noExplicitAny: literal JSON of many shapes
type Json = any;
const { cases } = JSON.parse(readFileSync(new URL('./vectors/hf-test-vectors.json', import.meta.url), 'utf8')) as Json;

function tensor(nested: Json): Tensor64 {
  const shape: number[] = [];
  for (let level = nested; Array.isArray(level); level = level[0]) shape.push(level.length);
  return { shape, data: Float64Array.from(nested.flat(Number.POSITIVE_INFINITY)) };
}

const integers = (nested: Json): { shape: readonly number[]; data: Int32Array } => {
  const { shape, data } = tensor(nested);
  return { shape, data: Int32Array.from(data) };
};

function expectClose(actual: Tensor64, expected: Tensor64, tolerance: number): void {
  expect(actual.shape).toEqual(expected.shape);
  const worst = actual.data.reduce((most, x, at) => Math.max(most, Math.abs(x - expected.data[at]!)), 0);
  expect(worst).toBeLessThan(tolerance);
}

const tiny = cases.led_tiny_model;
const config = parseLedConfig(
  JSON.stringify({ model_type: 'led', architectures: ['LEDForConditionalGeneration'], ...tiny.config }),
);
const weights: Weights = name => tensor(tiny.weights[`led.${name}`] ?? tiny.weights[name]);

const batchOf = (example: Json): LedBatchInputs => {
  const inputs: Record<string, unknown> = {};
  for (const name of ['input_ids', 'attention_mask', 'global_attention_mask', 'decoder_attention_mask']) {
    if (example[name]) inputs[name] = integers(example[name]);
  }
  const target = example.decoder_input_ids ?? example.decoder_input_ids_made;
  if (target) inputs.decoder_input_ids = integers(target);
  return inputs;
};

describe('led_tiny_model', () => {
  it.each(tiny.cases as Json[])('$name', async (example: Json) => {
    const sink = memorySink();
    await forwardLedBatch(createReferenceLedModel(config, weights), batchOf(example), sink, { want: 'all' });
    const { loss: _, ...expected } = example.expected;
    for (const [name, values] of Object.entries<Json>(expected)) {
      if (['encoder_last_hidden_state', 'logits'].includes(name)) {
        expectClose(sink.tensors.get(name)!, tensor(values), 1e-5);
        continue;
      }
      values.forEach((each: Json, layer: number) => {
        expectClose(sink.tensors.get(`${name}.${layer}`)!, tensor(each), 1e-5);
      });
    }
  });
});

/** Rows padded with 1 to the longest, as HF returns them. */
const padded = (rows: readonly Int32Array[]): number[][] => {
  const longest = Math.max(...rows.map(ids => ids.length));
  return rows.map(ids => [...ids, ...new Array(longest - ids.length).fill(1)]);
};

describe('led_tiny_generate', () => {
  const shared = cases.led_tiny_generate;
  it.each(shared.cases as Json[])('$options', (example: Json) => {
    const inputs = batchOf({ ...shared, ...example });
    const n = inputs.input_ids!.shape[1]!;
    const row = (of: keyof LedBatchInputs, b: number): Int32Array =>
      (inputs[of] as ReturnType<typeof integers>).data.slice(b * n, (b + 1) * n);
    const written = Array.from({ length: inputs.input_ids!.shape[0]! }, (_, b) => {
      const document = {
        inputIds: row('input_ids', b),
        attentionMask: row('attention_mask', b),
        globalAttentionMask: row('global_attention_mask', b),
      };
      return generate(document, weights, config, optionsFromHuggingFace(example.options));
    }).flat();
    expect(padded(written.map(({ ids }) => ids))).toEqual(example.expected_sequences);
    example.expected_sequences_scores?.forEach((score: number, at: number) => {
      expect(written[at]!.score).toBeCloseTo(score, 5);
    });
  });
});

describe('generation_markov_table', () => {
  const { table, cases: examples } = cases.generation_markov_table;
  const next = (target: readonly number[]): Float64Array => Float64Array.from(table[target.at(-1)!]);
  const small = {
    ...config,
    vocabSize: 7,
    padTokenId: 1,
    eosTokenId: 2,
    decoderStartTokenId: 2,
  } satisfies LedConfig;
  it.each(examples as Json[])('$options', (example: Json) => {
    const options: GenerationOptions = optionsFromHuggingFace(example.options);
    const resolved = resolveOptions({ ...options, numReturnSequences: options.numBeams }, small, 0);
    const processors = logitsProcessors(resolved, []);
    const written =
      resolved.numBeams === 1 ? [greedySearch(next, processors, resolved)] : beamSearch(next, processors, resolved);
    expect(padded(written.map(({ ids }) => ids))).toEqual(example.expected_sequences_best_first);
    example.expected_scores?.forEach((score: number, at: number) => {
      expect(written[at]!.score).toBeCloseTo(score, 4);
    });
  });
});

it('shift_tokens_right', () => {
  const { labels, expected, start } = cases.shift_tokens_right;
  // The second row has -100, the mark of labels that count nothing: labels are training.
  const inputs = { inputIds: Int32Array.from(labels[0]) };
  expect([...decoderIdsOf(inputs, { ...config, decoderStartTokenId: start })]).toEqual(expected[0]);
});
