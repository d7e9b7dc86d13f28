/**
 * The literal vectors of vectors/hf-test-vectors.json that concern the encoder: numbers from Hugging Face's and the authors'
 * own tests, and from runs of their code. They are independent of our generator.
 *
 * Left out: LED and generation (vectors-led.test.ts), losses (training), and the head mask, which transformers 5 dropped.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { LongformerConfig } from '../contract/config.ts';
import type { Tensor64 } from '../contract/tensor.ts';
import { add, gatherRows, linear, zeros } from '../reference/1-operations.ts';
import type { Band } from '../reference/2-patterns.ts';
import { attentionByProducts } from '../reference/6-banded-products.ts';
import { loop } from '../reference/6a-loop.ts';
import { chunk, padAndDiagonalize, padToWindowSize, skew, slidingChunks } from '../reference/6b-sliding-chunks.ts';
import { slidingChunksNoOverlap, triangularMaskHides } from '../reference/6c-sliding-chunks-no-overlap.ts';
import {
  bandedTimesPlain,
  diagonaledMatmul,
  plainTimesPlain,
  transposedBandedTimesPlain,
} from '../reference/6d-diagonaled-matmul.ts';
import { globalAttentionBackward, linearBackward, slidingWindowAttentionBackward } from '../reference/6e-backward.ts';
import { positionIdsFromInputIds, selfAttention, tokenRoles, type Weights } from '../reference/7-longformer.ts';
import { automaticGlobalAttentionMask } from '../reference/8-heads.ts';
import { createReferenceModel } from '../reference/backend.ts';
import { type BatchInputs, forwardBatch, memorySink } from '../runtime/batch.ts';
import { parseConfig } from '../runtime/checkpoint/parse-config.ts';

// biome-ignore lint/suspicious/noExplicitAny: literal JSON of many shapes
type Json = any;
const vectors: Json = JSON.parse(readFileSync(new URL('./vectors/hf-test-vectors.json', import.meta.url), 'utf8'));
const { cases, meta } = vectors;

/** Nested lists → tensor; the strings "-inf" and so on become numbers. */
function tensor(nested: Json): Tensor64 {
  const shape: number[] = [];
  for (let level = nested; Array.isArray(level); level = level[0]) shape.push(level.length);
  const number = (value: number | string): number =>
    typeof value === 'number' ? value : Number(value.replace('inf', 'Infinity'));
  return { shape, data: Float64Array.from(nested.flat(Number.POSITIVE_INFINITY), number) };
}

const integers = (nested: Json): { shape: readonly number[]; data: Int32Array } => {
  const { shape, data } = tensor(nested);
  return { shape, data: Int32Array.from(data) };
};

/** Row b of a batch. */
const row = ({ shape, data }: Tensor64, b: number): Tensor64 => {
  const size = data.length / shape[0]!;
  return { shape: shape.slice(1), data: data.slice(b * size, (b + 1) * size) };
};

/** (n, H, S) → (H, n, S): the authors put heads last, we put them first. */
function headsFirst({ shape, data }: Tensor64): Tensor64 {
  const [n, heads, size] = shape as [number, number, number];
  const output = new Float64Array(data.length);
  for (let t = 0; t < n; t++) {
    for (let head = 0; head < heads; head++) {
      output.set(data.subarray((t * heads + head) * size, (t * heads + head + 1) * size), (head * n + t) * size);
    }
  }
  return { shape: [heads, n, size], data: output };
}

/** (n, H, D) → (n, H * D). */
const flatHeads = ({ shape, data }: Tensor64): Tensor64 => ({ shape: [shape[0]!, shape[1]! * shape[2]!], data });

function expectClose(actual: { shape: readonly number[]; data: Float64Array }, expected: Tensor64, atol: number): void {
  expect(actual.shape).toEqual(expected.shape);
  for (const [i, value] of expected.data.entries()) {
    if (!Number.isFinite(value)) expect(actual.data[i]).toBe(value);
    else expect(Math.abs(actual.data[i]! - value), `element ${i}`).toBeLessThanOrEqual(atol);
  }
}

const exact = 1e-12;
const atol: number = meta.default_atol;

describe('helpers of the chunked path', () => {
  const hidden = tensor(cases.hf_test_hidden_states.value); // (1, 4, 8)
  const rows: Tensor64 = { shape: [8, 4], data: hidden.data };

  it('chunk', () =>
    expectClose(chunk(rows, cases.chunk.one_sided_window), row(tensor(cases.chunk.expected), 0), exact));

  it('pad_and_diagonalize', () => {
    const chunks = row(tensor(cases.chunk.expected), 0);
    expectClose(padAndDiagonalize(chunks), row(tensor(cases.pad_and_diagonalize.expected), 0), exact);
  });

  it('pad_and_transpose_last_two_dims', () => {
    const { expected } = cases.pad_and_transpose_last_two_dims;
    expectClose(skew({ shape: [1, 4, 8], data: hidden.data }), tensor(expected), exact);
  });

  it.each(cases.mask_invalid_locations.cases as Json[])('mask_invalid_locations $name', (example: Json) => {
    const expected = example['inf_at_head0_[position][column]'] as number[][];
    const hidden = expected.map((columns, i) =>
      columns.map((_, c) =>
        Number(triangularMaskHides(i, c, expected.length, example.one_sided_window, columns.length)),
      ),
    );
    expect(hidden).toEqual(expected);
  });

  it.each(cases.authors_invalid_location_masks.cases as Json[])(
    'authors’ masks w $w, dilation $dilation, autoregressive $autoregressive',
    (example: Json) => {
      const { w } = example;
      const begin = example['begin_[position][head][column 0..w]'] as number[][][];
      const end = example['end_[position counted inside last affected_seq_len][head][last w+1 columns]'] as
        | number[][][]
        | null;
      const dilation: number[] = [example.dilation].flat();
      const band: Band = { heads: dilation.length, oneSidedWindow: w, dilation, causal: example.autoregressive };
      const { keyOf, columns } = loop(band);
      const n = 40;
      const outside = (i: number, c: number, head: number): number =>
        Number(keyOf(i, c, head) < 0 || keyOf(i, c, head) >= n);
      const mask = (first: number, offset: number, count: number): number[][][] =>
        Array.from({ length: count }, (_, i) =>
          dilation.map((_, head) => Array.from({ length: w + 1 }, (_, c) => outside(first + i, offset + c, head))),
        );
      expect(mask(0, 0, begin.length)).toEqual(begin);
      if (end) expect(mask(n - end.length, columns - w - 1, end.length)).toEqual(end);
    },
  );

  it('pad_to_window_size', () => {
    const { input_ids, attention_mask, one_sided_window, pad_token_id, ...expected } = cases.pad_to_window_size;
    expect(padToWindowSize(input_ids[0], attention_mask[0], one_sided_window, pad_token_id)).toEqual({
      inputIds: expected.expected_input_ids[0],
      attentionMask: expected.expected_attention_mask[0],
    });
    for (const [length, padded] of Object.entries(expected.lengths_w512)) {
      expect(padToWindowSize(new Array(Number(length)).fill(5), [], 256, 1).inputIds.length).toBe(padded);
    }
  });
});

describe('banded products', () => {
  it('sliding_chunks_qk', () => {
    const { q, k, w, expected } = cases.sliding_chunks_qk;
    const scores = slidingChunks(2, w).queryKey(flatHeads(row(tensor(q), 0)), flatHeads(row(tensor(k), 0)));
    const banded = headsFirst(row(tensor(expected), 0));
    for (const [i, value] of banded.data.entries()) {
      if (Number.isFinite(value)) expect(scores.data[i]).toBeCloseTo(value, 12); // outside entries are masked later
    }
  });

  it('sliding_chunks_pv', () => {
    const { prob, v, w, expected } = cases.sliding_chunks_pv;
    const attended = slidingChunks(2, w).probsValue(headsFirst(row(tensor(prob), 0)), flatHeads(row(tensor(v), 0)));
    expectClose(attended, flatHeads(row(tensor(expected), 0)), atol);
  });

  it('sliding_chunks_no_overlap, with the authors’ mask', () => {
    const { q, k, v, w, prob, ...expected } = cases.sliding_chunks_no_overlap;
    const products = slidingChunksNoOverlap(1, w, { authorsMask: true });
    const scores = products.queryKey(flatHeads(row(tensor(q), 0)), flatHeads(row(tensor(k), 0)));
    expectClose(scores, headsFirst(row(tensor(expected.expected_scores_before_mask), 0)), exact);
    const masked = headsFirst(row(tensor(expected.expected_scores_after_mask_invalid_locations), 0)); // (1, 6, 6)
    const hidden = [...masked.data].map(value => value === Number.NEGATIVE_INFINITY);
    expect(hidden).toEqual(hidden.map((_, at) => products.hides!(Math.floor(at / 6), at % 6, 6)));
    const attended = products.probsValue(headsFirst(row(tensor(prob), 0)), flatHeads(row(tensor(v), 0)));
    expectClose(attended, flatHeads(row(tensor(expected.expected_context), 0)), atol);
  });

  it.each(cases.banded_mm_kernel.cases as Json[])(
    'diagonaled matmul w $w, dilation $dilation_per_head, autoregressive $autoregressive',
    (example: Json) => {
      const { w, dilation_per_head, autoregressive } = example;
      const band: Band = { heads: 2, oneSidedWindow: w, dilation: dilation_per_head, causal: autoregressive };
      const q = flatHeads(row(tensor(example.q), 0));
      const k = flatHeads(row(tensor(example.k), 0));
      const prob = headsFirst(row(tensor(example.prob), 0));
      expectClose(plainTimesPlain(q, k, band), headsFirst(row(tensor(example.expected_qk), 0)), atol);
      expectClose(bandedTimesPlain(prob, k, band), flatHeads(row(tensor(example.expected_prob_times_k), 0)), atol);
      expectClose(
        transposedBandedTimesPlain(prob, k, band),
        flatHeads(row(tensor(example.expected_probT_times_k), 0)),
        atol,
      );
      // The padding value replaces every term outside: a query-key entry becomes headDim times it.
      const padded = plainTimesPlain(q, k, band, 7);
      const headDim = q.shape[1]! / 2;
      expect(padded.data[0]).toBe(7 * headDim); // row 0, first column: before the document
    },
  );
});

describe('masks, positions, global tokens', () => {
  it('position_ids_from_input_ids', () => {
    const { input_ids, expected, padding_idx } = cases.position_ids_from_input_ids;
    expect(input_ids.map((ids: number[]) => [...positionIdsFromInputIds(ids, padding_idx)])).toEqual(expected);
  });

  it('merge_masks', () => {
    const { attention_mask, global_attention_mask, merged } = cases.merge_masks;
    const roles = tokenRoles(attention_mask.length, attention_mask, global_attention_mask);
    expect(roles.attentionMask).toEqual(merged.map((state: number) => Math.min(state, 1)));
    expect(roles.globalIndices).toEqual([...merged.keys()].filter((t: number) => merged[t] === 2));
  });

  it('compute_global_attention_mask', () => {
    const { input_ids, before_sep, after_sep, error_input, sep_token_id } = cases.compute_global_attention_mask;
    const mask = (head: LongformerConfig['head'], ids: number[]): number[] => [
      ...automaticGlobalAttentionMask({ inputIds: Int32Array.from(ids) }, {
        head,
        sepTokenId: sep_token_id,
      } as LongformerConfig)!,
    ];
    expect(input_ids.map((ids: number[]) => mask('questionAnswering', ids))).toEqual(before_sep);
    expect(input_ids.map((ids: number[]) => mask('multipleChoice', ids))).toEqual(after_sep);
    expect(() => mask('questionAnswering', error_input[0])).toThrow('exactly 3 separators (id 2) in each row');
  });
});

const firstLayer = 'encoder.layer.0.attention.self';

/** The weights of one self-attention layer, as layer 0. */
const selfAttentionWeights: Weights = name => {
  const weights = cases.self_attention_layer.weights;
  return tensor(weights[name.replace('encoder.layer.0.attention.self.', '')]);
};

describe('self-attention layer', () => {
  const hiddenStates = tensor(cases.self_attention_layer.hidden_states); // (2, 8, 8)
  const examples = [
    ...cases.self_attention_layer.cases
      .filter((example: Json) => example.layer_head_mask === null)
      .map((example: Json) => ({
        ...example,
        state: example.state_0masked_1local_2global,
        dilation_per_head: [1, 1],
        causal: false,
        attn_probs: example['attn_probs_[b][n][h][x+2w+1]'],
        global_attn_probs: example['global_attn_probs_[b][h][x][n]'],
      })),
    ...cases.self_attention_layer_dilated_causal.cases,
  ];

  it.each(examples as Json[])('$name', (example: Json) => {
    const state: number[][] = example.state;
    const band: Band = { heads: 2, oneSidedWindow: 2, dilation: example.dilation_per_head, causal: example.causal };
    state.forEach((states, b) => {
      const roles = tokenRoles(
        8,
        states.map(s => Math.min(s, 1)),
        states.map(s => Number(s === 2)),
      );
      const { attended, attentions } = selfAttention(
        row(hiddenStates, b),
        selfAttentionWeights,
        firstLayer,
        roles,
        band,
      );
      expectClose(attended, row(tensor(example.attn_output), b), cases.self_attention_layer.atol);

      // Their columns: largest number of global tokens in the batch, own ones first; causal bands without the columns after the token.
      const own = roles.globalIndices.length;
      const theirs = headsFirst(row(tensor(example.attn_probs), b));
      const globals = Math.max(...state.map(states => states.filter(s => s === 2).length));
      const ours = attentions.local;
      for (let r = 0; r < 2 * 8; r++) {
        for (let c = 0; c < (band.causal ? 3 : 5); c++) {
          const expected = theirs.data[r * theirs.shape[2]! + globals + c]!;
          expect(ours.data[r * ours.shape[2]! + own + c]).toBeCloseTo(expected, 5);
        }
        for (let slot = 0; slot < own; slot++) {
          expect(ours.data[r * ours.shape[2]! + slot]).toBeCloseTo(theirs.data[r * theirs.shape[2]! + slot]!, 5);
        }
      }
      if (own > 0) {
        const globalProbs = row(tensor(example.global_attn_probs), b); // (H, x, n)
        for (let head = 0; head < 2; head++) {
          for (let at = 0; at < own * 8; at++) {
            const expected = globalProbs.data[head * globals * 8 + at]!;
            expect(attentions.global!.data[head * own * 8 + at]).toBeCloseTo(expected, 5);
          }
        }
      }
    });
  });

  it('by way of the chunked products', () => {
    const example = cases.self_attention_layer.cases.find((c: Json) => c.name.startsWith('different number'));
    example.state_0masked_1local_2global.forEach((states: number[], b: number) => {
      const roles = tokenRoles(
        8,
        states.map(s => Math.min(s, 1)),
        states.map(s => Number(s === 2)),
      );
      const project = (name: string): Tensor64 => {
        const weight = selfAttentionWeights(`encoder.layer.0.attention.self.${name}.weight`);
        const bias = selfAttentionWeights(`encoder.layer.0.attention.self.${name}.bias`);
        return linear(row(hiddenStates, b), weight, bias);
      };
      const [query, key, value] = ['query', 'key', 'value'].map(project) as [Tensor64, Tensor64, Tensor64];
      const band: Band = { heads: 2, oneSidedWindow: 2, dilation: [1, 1], causal: false };
      for (const products of [slidingChunks(2, 2), loop(band), diagonaledMatmul(band)]) {
        const { attended } = attentionByProducts(query, key, value, roles, products);
        const local = [...states.keys()].filter(t => states[t] !== 2);
        const expected = gatherRows(row(tensor(example.attn_output), b), local);
        expectClose(gatherRows(attended, local), expected, cases.self_attention_layer.atol);
      }
    });
  });
});

describe('self-attention layer, backward', () => {
  const { upstream, atol: tolerance } = cases.self_attention_layer_gradients;
  const hiddenStates = tensor(cases.self_attention_layer.hidden_states); // (2, 8, 8)

  it.each(cases.self_attention_layer_gradients.cases as Json[])('$name', (example: Json) => {
    const band: Band = { heads: 2, oneSidedWindow: 2, dilation: [1, 1], causal: false };
    const total = new Map<string, Tensor64>();
    const accumulate = (name: string, gradient: Tensor64): void => {
      const before = total.get(name);
      total.set(name, before ? add(before, gradient) : gradient);
    };
    example.state.forEach((states: number[], b: number) => {
      const input = row(hiddenStates, b);
      const gradient = row(tensor(upstream), b);
      const roles = tokenRoles(
        8,
        states.map(s => Math.min(s, 1)),
        states.map(s => Number(s === 2)),
      );
      const { attentions } = selfAttention(input, selfAttentionWeights, firstLayer, roles, band);
      const weightOf = (name: string): Tensor64 =>
        selfAttentionWeights(`encoder.layer.0.attention.self.${name}.weight`) as Tensor64;
      const project = (name: string, from: Tensor64): Tensor64 =>
        linear(from, weightOf(name), selfAttentionWeights(`encoder.layer.0.attention.self.${name}.bias`));

      const [query, key, value] = ['query', 'key', 'value'].map(name => project(name, input)) as [
        Tensor64,
        Tensor64,
        Tensor64,
      ];
      const local = slidingWindowAttentionBackward(
        gradient,
        query,
        key,
        value,
        attentions.local as Tensor64,
        roles,
        band,
      );
      let inputGradient = zeros(8, 8);
      const backThrough = (name: string, of: Tensor64, from: Tensor64): Tensor64 => {
        const back = linearBackward(of, from, weightOf(name));
        accumulate(`${name}.weight`, back.weight);
        accumulate(`${name}.bias`, back.bias);
        return back.input;
      };
      for (const name of ['query', 'key', 'value'] as const)
        inputGradient = add(inputGradient, backThrough(name, local[name], input));
      if (roles.globalIndices.length > 0) {
        const globalInput = gatherRows(input, roles.globalIndices);
        const global = globalAttentionBackward(
          gradient,
          project('query_global', globalInput),
          project('key_global', input),
          project('value_global', input),
          attentions.global as Tensor64,
          roles.globalIndices,
        );
        for (const name of ['key', 'value'] as const) {
          inputGradient = add(inputGradient, backThrough(`${name}_global`, global[name], input));
        }
        const ofGlobalRows = backThrough('query_global', global.query, globalInput);
        roles.globalIndices.forEach((t, slot) => {
          for (let f = 0; f < 8; f++) inputGradient.data[t * 8 + f]! += ofGlobalRows.data[slot * 8 + f]!;
        });
      }
      expectClose(inputGradient, row(tensor(example.grad_hidden_states), b), tolerance);
    });
    for (const [name, expected] of Object.entries<Json>(example.grad_weights)) {
      if (expected === null) expect(total.has(name), name).toBe(false);
      else expectClose(total.get(name)!, tensor(expected), tolerance);
    }
  });
});

const batch = (example: Json): BatchInputs => {
  const inputs: Record<string, unknown> = {};
  for (const name of ['input_ids', 'attention_mask', 'global_attention_mask', 'token_type_ids', 'position_ids']) {
    if (example[name]) inputs[name] = integers(example[name]);
  }
  if (example.inputs_embeds) inputs.inputs_embeds = tensor(example.inputs_embeds);
  return inputs;
};

async function run(config: object, weights: Record<string, Json>, inputs: BatchInputs): Promise<Map<string, Tensor64>> {
  const lookup: Weights = name => tensor(weights[name]);
  const model = createReferenceModel(parseConfig(JSON.stringify(config)), lookup, 'pooler.dense.weight' in weights);
  const sink = memorySink();
  await forwardBatch(model, inputs, sink, { want: 'all' });
  return sink.tensors;
}

const tiny = cases.longformer_tiny_model;
const tinyConfig = { model_type: 'longformer', ...tiny.config };

describe('longformer_tiny_model', () => {
  it.each(tiny.cases as Json[])('$name', async (example: Json) => {
    const config = { ...tinyConfig, ...(example.attention_window && { attention_window: example.attention_window }) };
    const actual = await run(config, tiny.weights, batch(example));
    for (const [key, expected] of Object.entries<Json>(example.expected)) {
      const name = key.replace(/_\[.*$/, '');
      if (!['hidden_states', 'attentions', 'global_attentions'].includes(name)) {
        expectClose(actual.get(name)!, tensor(expected), atol);
        continue;
      }
      expected.forEach((values: Json, layer: number) => {
        expectClose(actual.get(`${name}.${layer}`)!, tensor(values), atol);
      });
    }
  });
});

describe('longformer_tiny_heads', () => {
  const architectures: Record<string, string> = {
    masked_lm: 'LongformerForMaskedLM',
    sequence_classification: 'LongformerForSequenceClassification',
    question_answering: 'LongformerForQuestionAnswering',
    token_classification: 'LongformerForTokenClassification',
    multiple_choice: 'LongformerForMultipleChoice',
  };
  const examples = cases.longformer_tiny_heads.cases.filter(
    (example: Json) => example.problem_type !== 'multi_label_classification',
  );
  it.each(examples as Json[])('$head: $note', async (example: Json) => {
    const { head } = example;
    const regression = example.problem_type?.startsWith('regression');
    const config = {
      ...tinyConfig,
      architectures: [architectures[head]],
      num_labels: regression ? 1 : head === 'question_answering' ? 2 : 3,
    };
    const headWeights = { ...cases.longformer_tiny_heads.head_weights[head] };
    if (regression) {
      headWeights['classifier.out_proj.weight'] = headWeights['classifier.out_proj.weight'].slice(0, 1);
      headWeights['classifier.out_proj.bias'] = headWeights['classifier.out_proj.bias'].slice(0, 1);
    }
    const actual = await run(config, { ...tiny.weights, ...headWeights }, batch(example));
    for (const name of ['logits', 'start_logits', 'end_logits']) {
      const expected = example[`expected_${name}`];
      if (expected) expectClose(actual.get(name)!, tensor(expected), atol);
    }
  });
});
