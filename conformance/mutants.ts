// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the strings are source text that is searched for
/**
 * Deliberate mistakes. An oracle that has never failed is no oracle: each of these must turn some case red, under the
 * budgets a float32 subject gets.
 *
 * A mutant is one edit of one source file of the reference, or of the engine for what only it can do wrong. The edited copy is loaded beside
 * the original and put through the same cases; nothing in it knows. An edit that no longer matches its file is an error.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { CaseError } from '../contract/errors.ts';
import type { EngineModules } from './subjects/engine.ts';
import type { ReferenceModules } from './subjects/reference.ts';

export interface Mutant {
  readonly name: string;
  /** The mistake, as a porter would make it. */
  readonly mistake: string;
  readonly file: string;
  /** Must occur exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

const files = {
  operations: 'reference/1-operations.ts',
  dense: 'reference/3-dense-attention.ts',
  band: 'reference/4-sliding-window-attention.ts',
  globalRows: 'reference/5-global-attention.ts',
  encoder: 'reference/7-longformer.ts',
  heads: 'reference/8-heads.ts',
  batch: 'runtime/batch.ts',
};

/** LED's files, of the reference and of the engine. The others are mutants of the encoder, and its cases catch them. */
const led = {
  door: 'contract/led-inputs.ts',
  model: 'reference/9-led.ts',
  search: 'reference/10-generate.ts',
  processors: 'reference/10a-logits-processors.ts',
  options: 'reference/10b-options.ts',
  engineEncoder: 'runtime/engine/led-encoder.ts',
  engineDecoder: 'runtime/engine/led-decoder.ts',
  engineDecoding: 'runtime/engine/led-decoding.ts',
  engineBeams: 'runtime/generation/beam-search.ts',
  engineProcessors: 'runtime/generation/logits-processors.ts',
};

export const encoderMutants: readonly Mutant[] = [
  {
    name: 'window-too-wide',
    mistake: 'the window has one key more on each side',
    file: files.encoder,
    find: 'oneSidedWindow: config.oneSidedWindow[layer]!,',
    replace: 'oneSidedWindow: config.oneSidedWindow[layer]! + 1,',
  },
  {
    name: 'window-too-narrow',
    mistake: 'the window has one key less on each side',
    file: files.band,
    find: 'const seen = j >= 0',
    replace: 'const seen = Math.abs(step) < oneSidedWindow && j >= 0',
  },
  {
    name: 'window-lopsided',
    mistake: 'the last key on the right is forgotten',
    file: files.band,
    find: 'const seen = j >= 0',
    replace: 'const seen = step < oneSidedWindow && j >= 0',
  },
  {
    name: 'window-of-first-layer',
    mistake: 'every layer uses the window of the first',
    file: files.encoder,
    find: 'oneSidedWindow: config.oneSidedWindow[layer]!,',
    replace: 'oneSidedWindow: config.oneSidedWindow[0]!,',
  },
  {
    name: 'global-key-twice',
    mistake: 'a global key inside the band is counted twice',
    file: files.band,
    find: ' && !isGlobal.has(j)',
    replace: '',
  },
  {
    name: 'global-keys-ignored',
    mistake: 'local tokens do not see global tokens',
    file: files.band,
    find: '(causal && j > i ? -1 : j)',
    replace: '-1',
  },
  {
    name: 'global-query-local',
    mistake: 'global rows use the local query projection',
    file: files.encoder,
    find: '`${name}.query_global`',
    replace: '`${name}.query`',
  },
  {
    name: 'global-key-local',
    mistake: 'global rows use the local key projection',
    file: files.encoder,
    find: '`${name}.key_global`',
    replace: '`${name}.key`',
  },
  {
    name: 'global-value-local',
    mistake: 'global rows use the local value projection',
    file: files.encoder,
    find: '`${name}.value_global`',
    replace: '`${name}.value`',
  },
  {
    name: 'global-columns-global',
    mistake: 'local tokens see global tokens through the global key projection',
    file: files.encoder,
    find: 'const value = dense(hiddenStates, weights, `${name}.value`); // (T, C)',
    replace:
      'const value = dense(hiddenStates, weights, `${name}.value`); { const g = dense(hiddenStates, weights, `${name}.key_global`); for (const r of roles.globalIndices) key.data.set(g.data.subarray(r * g.shape[1]!, (r + 1) * g.shape[1]!), r * g.shape[1]!); }',
  },
  {
    name: 'global-rows-kept-local',
    mistake: 'only the first global row is overwritten',
    file: files.encoder,
    find: 'overwriteGlobalRows(attended, global.attended, roles.globalIndices);',
    replace: 'overwriteGlobalRows(attended, global.attended, roles.globalIndices.slice(0, 1));',
  },
  {
    name: 'padding-attended',
    mistake: 'local tokens see padding',
    file: files.band,
    find: ' && roles.attentionMask[j] === 1',
    replace: '',
  },
  {
    name: 'padding-attended-by-global',
    mistake: 'global tokens see padding',
    file: files.globalRows,
    find: 'return attentionMask[j] === 1 && inTime;',
    replace: 'return inTime;',
  },
  {
    name: 'padding-rows-kept',
    mistake: 'padding rows are computed instead of zero',
    file: files.band,
    find: 'if (attentionMask[i] === 0 || isGlobal.has(i)) continue;',
    replace: 'if (isGlobal.has(i)) continue;',
  },
  {
    name: 'global-beats-masked',
    mistake: 'a masked token with a global mark stays global',
    file: files.encoder,
    find: 'return (attentionMask?.[t] ?? 1) *',
    replace: 'return globalAttentionMask?.[t] === 1 ? 2 : (attentionMask?.[t] ?? 1) *',
  },
  {
    name: 'minus-one-is-local',
    mistake: 'a global mask of -1 does not mask',
    file: files.encoder,
    find: '((globalAttentionMask?.[t] ?? 0) + 1)',
    replace: '(Math.max(globalAttentionMask?.[t] ?? 0, 0) + 1)',
  },
  {
    name: 'scale-forgotten',
    mistake: 'scores are not divided by the root of headDim',
    file: files.dense,
    find: 'return sum / Math.sqrt(headDim);',
    replace: 'return sum;',
  },
  {
    name: 'scale-by-hidden-size',
    mistake: 'scores are divided by the root of hiddenSize',
    file: files.dense,
    find: 'return sum / Math.sqrt(headDim);',
    replace: 'return sum / Math.sqrt(query.shape[1]!);',
  },
  {
    name: 'dilation-by-reach',
    mistake: 'dilation thins out a fixed reach instead of stretching it',
    file: files.band,
    find: 'const j = i + step * dilation[head]!;',
    replace: 'const j = step % dilation[head]! === 0 ? i + step : -1;',
  },
  {
    name: 'dilation-of-first-head',
    mistake: 'all heads use the dilation of the first',
    file: files.band,
    find: 'const j = i + step * dilation[head]!;',
    replace: 'const j = i + step * dilation[0]!;',
  },
  {
    name: 'causal-excludes-self',
    mistake: 'a causal query does not see itself',
    file: files.band,
    find: '!(causal && j > i)',
    replace: '!(causal && j >= i)',
  },
  {
    name: 'causal-ignored',
    mistake: 'causal attention sees the future',
    file: files.band,
    find: ' && !(causal && j > i)',
    replace: '',
  },
  {
    name: 'causal-global-keys',
    mistake: 'causal queries see global keys of the future',
    file: files.band,
    find: '(causal && j > i ? -1 : j)',
    replace: 'j',
  },
  {
    name: 'causal-global-rows',
    mistake: 'causal global queries see the future',
    file: files.globalRows,
    find: 'const inTime = !causal || j <= globalIndices[slot]!;',
    replace: 'const inTime = true; void slot;',
  },
  {
    name: 'next-head',
    mistake: 'keys are read from the next head',
    file: files.dense,
    find: 'const k = j * key.shape[1]! + head * headDim;',
    replace: 'const k = j * key.shape[1]! + (((head + 1) * headDim) % key.shape[1]!);',
  },
  {
    name: 'one-head-off',
    mistake: 'the second head is off by one part in ten thousand',
    file: files.dense,
    find: 'output.data[o + d]! += weight * value.data[v + d]!',
    replace: 'output.data[o + d]! += (head === 1 ? 1.0001 : 1) * weight * value.data[v + d]!',
  },
  {
    name: 'gelu-tanh',
    mistake: 'GELU by the tanh approximation',
    file: files.operations,
    find: 'gelu: x => x * 0.5 * (1 + erf(x / Math.SQRT2)),',
    replace: 'gelu: x => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),',
  },
  {
    name: 'hidden-act-ignored',
    mistake: 'the feed-forward is always GELU',
    file: files.encoder,
    find: 'activate(widened, config.hiddenActivation)',
    replace: "activate(widened, 'gelu')",
  },
  {
    name: 'eps-default',
    mistake: 'layer norm with the class default of eps, not the checkpoint\u2019s',
    file: files.operations,
    find: 'Math.sqrt(variance + eps)',
    replace: 'Math.sqrt(variance + 0 * eps + 1e-12)',
  },
  {
    name: 'eps-outside-root',
    mistake: 'eps is added after the root',
    file: files.operations,
    find: '1 / Math.sqrt(variance + eps)',
    replace: '1 / (Math.sqrt(variance) + eps)',
  },
  {
    name: 'variance-unbiased',
    mistake: 'variance divided by C - 1',
    file: files.operations,
    find: 'variance += (value - mean) ** 2 / features',
    replace: 'variance += (value - mean) ** 2 / (features - 1)',
  },
  {
    name: 'positions-from-zero',
    mistake: 'positions start at 0 instead of padTokenId + 1',
    file: files.encoder,
    find: 'padTokenId + ++numbered',
    replace: 'numbered++',
  },
  {
    name: 'positions-count-padding',
    mistake: 'padding consumes position numbers',
    file: files.encoder,
    find: '(id === padTokenId ? padTokenId : padTokenId + ++numbered)',
    replace: 'padTokenId + ++numbered',
  },
  {
    name: 'positions-given-ignored',
    mistake: 'given position ids are ignored',
    file: files.encoder,
    find: 'inputs.positionIds ??',
    replace: '',
  },
  {
    name: 'types-ignored',
    mistake: 'token types are ignored',
    file: files.encoder,
    find: 'inputs.tokenTypeIds ?? new Int32Array(sequenceLength)',
    replace: 'new Int32Array(sequenceLength)',
  },
  {
    name: 'pre-norm',
    mistake: 'the layer norm stands before attention too',
    file: files.encoder,
    find: 'selfAttention(hiddenStates, weights, `${name}.attention.self`',
    replace:
      'selfAttention(norm(hiddenStates, weights, `${name}.attention.output.LayerNorm`, eps), weights, `${name}.attention.self`',
  },
  {
    name: 'residual-after-attention',
    mistake: 'no residual around attention',
    file: files.encoder,
    find: 'norm(add(projected, hiddenStates),',
    replace: 'norm(projected,',
  },
  {
    name: 'residual-of-layer-input',
    mistake: 'the second residual starts at the layer\u2019s input',
    file: files.encoder,
    find: 'add(fed, afterAttention)',
    replace: 'add(fed, hiddenStates)',
  },
  {
    name: 'pooler-last-token',
    mistake: 'the pooler reads the last token',
    file: files.encoder,
    find: "sliceRows(hiddenStates, 0, 1), weights, 'pooler.dense'",
    replace: "sliceRows(hiddenStates, hiddenStates.shape[0]! - 1, 1), weights, 'pooler.dense'",
  },
  {
    name: 'pooler-without-tanh',
    mistake: 'the pooler has no tanh',
    file: files.encoder,
    find: "'pooler.dense'), 'tanh')",
    replace: "'pooler.dense'), 'linear')",
  },
  {
    name: 'lm-head-without-norm',
    mistake: 'the masked-LM head forgets its layer norm',
    file: files.heads,
    find: "const normed = norm(transformed, weights, 'lm_head.layer_norm', config.layerNormEps);",
    replace: 'const normed = transformed;',
  },
  {
    name: 'lm-head-follows-hidden-act',
    mistake: 'the masked-LM head uses hidden_act',
    file: files.heads,
    find: "'lm_head.dense'), 'gelu')",
    replace: "'lm_head.dense'), config.hiddenActivation)",
  },
  {
    name: 'lm-head-without-bias',
    mistake: 'the masked-LM decoder has no bias',
    file: files.heads,
    find: "linear(normed, decoder, weights('lm_head.bias'))",
    replace: 'linear(normed, decoder, null)',
  },
  {
    name: 'lm-head-always-tied',
    mistake: 'an untied decoder is ignored',
    file: files.heads,
    find: "config.tieWordEmbeddings ? 'embeddings",
    replace: "true ? 'embeddings",
  },
  {
    name: 'question-with-separator',
    mistake: 'the separator after the question is global too',
    file: files.heads,
    find: 't < questionEnd ? 1 : 0',
    replace: 't <= questionEnd ? 1 : 0',
  },
  {
    name: 'choice-after-first-separator',
    mistake: 'choices are global from the first separator on',
    file: files.heads,
    find: 't > contextEnd + 1 ? 1 : 0',
    replace: 't > contextEnd ? 1 : 0',
  },
  {
    name: 'classification-without-global',
    mistake: 'the classification token is not global',
    file: files.heads,
    find: '(t === 0 ? 1 : 0)',
    replace: '0 * t',
  },
  {
    name: 'start-end-swapped',
    mistake: 'start and end logits are swapped',
    file: files.heads,
    find: 'startLogits: column(0), endLogits: column(1)',
    replace: 'startLogits: column(1), endLogits: column(0)',
  },
  {
    name: 'classification-last-token',
    mistake: 'the classifier reads the last token',
    file: files.heads,
    find: 'const first = sliceRows(hiddenStates, 0, 1);',
    replace: 'const first = sliceRows(hiddenStates, hiddenStates.shape[0]! - 1, 1);',
  },
  {
    name: 'empty-slots-zero',
    mistake: 'empty slots of global_attentions are 0 instead of uniform',
    file: files.batch,
    find: ': 1 / padded',
    replace: ': 0',
  },
  {
    name: 'empty-slots-unpadded',
    mistake: 'empty slots are uniform over the length without padding',
    file: files.batch,
    find: ': 1 / padded',
    replace: ': 1 / this.length',
  },
];

/** Caught by the cases of LED: whole models without a cache. */
export const ledMutants: readonly Mutant[] = [
  {
    name: 'led-positions-like-bart',
    mistake: 'positions begin at row 2 of the table, as in BART',
    file: led.model,
    find: '(_, t) => t); // (T)',
    replace: '(_, t) => t + 2); // (T)',
  },
  {
    name: 'led-scaled-embeddings',
    mistake: 'words are multiplied by the root of hiddenSize, as in some of BART\u2019s relatives',
    file: led.model,
    find: 'return norm(add(words, positions), weights',
    replace:
      'const s = Math.sqrt(words.shape[1]!); return norm(add({ shape: words.shape, data: words.data.map(x => x * s) }, positions), weights',
  },
  {
    name: 'led-global-lost',
    mistake: 'the encoder does not hear of global attention',
    file: led.model,
    find: 'tokenRoles(words.shape[0]!, attentionMask, globalAttentionMask)',
    replace: 'tokenRoles(words.shape[0]!, attentionMask, undefined)',
  },
  {
    name: 'led-output-table-of-decoder',
    mistake: 'an untied output table is ignored',
    file: led.model,
    find: "user === 'output' ? 'lm_head.weight'",
    replace: "user === 'output' ? 'decoder.embed_tokens.weight'",
  },
  {
    name: 'led-encoder-table-of-decoder',
    mistake: 'untied encoder and decoder share a word table',
    file: led.model,
    find: '`${user}.embed_tokens.weight`',
    replace: "'decoder.embed_tokens.weight'",
  },
  {
    name: 'final-logits-bias-forgotten',
    mistake: 'logits have no final_logits_bias',
    file: led.model,
    find: "wordTable('output', weights, config), { shape: [config.vocabSize], data })",
    replace: "wordTable('output', weights, config), null); void data",
  },
  {
    name: 'cross-attention-sees-padding',
    mistake: 'the decoder reads the padding of its source',
    file: led.model,
    find: '(_, j) => source.attentionMask[j] === 1',
    replace: '() => true',
  },
  {
    name: 'cross-attention-hides-minus-one',
    mistake: 'a global mask of -1 hides tokens from the decoder too',
    file: led.model,
    find: 'inputs.attentionMask ?? new Int32Array(length).fill(1)',
    replace: 'tokenRoles(length, inputs.attentionMask, inputs.globalAttentionMask).attentionMask',
  },
  {
    name: 'cross-attention-scale-forgotten',
    mistake: 'cross-attention does not divide by the root of headDim',
    file: led.model,
    find: 'const query = dense(queries, weights, `${name}.q_proj`); // (U, C)',
    replace:
      "const query = dense(queries, weights, `${name}.q_proj`); if (name.endsWith('encoder_attn')) for (let i = 0; i < query.data.length; i++) query.data[i]! *= Math.sqrt(query.shape[1]! / heads);",
  },
  {
    name: 'decoder-sees-future',
    mistake: 'the decoder is not causal',
    file: led.model,
    find: 'intersection(causal(), (_, j) => targetMask[j] === 1)',
    replace: 'intersection((_, j) => targetMask[j] === 1)',
  },
  {
    name: 'decoder-mask-ignored',
    mistake: 'masked tokens of the target are looked at',
    file: led.model,
    find: 'intersection(causal(), (_, j) => targetMask[j] === 1)',
    replace: 'causal()',
  },
  {
    name: 'decoder-heads-of-encoder',
    mistake: 'the decoder has as many heads as the encoder',
    file: led.model,
    find: '{ decoderHeads: heads, layerNormEps: eps }',
    replace: '{ encoderHeads: heads, layerNormEps: eps }',
  },
  {
    name: 'cross-residual-of-layer-input',
    mistake: 'the residual around cross-attention starts at the layer\u2019s input',
    file: led.model,
    find: 'add(cross.projected, afterSelf)',
    replace: 'add(cross.projected, hiddenStates)',
  },
  {
    name: 'led-activation-ignored',
    mistake: 'the feed-forward is always GELU',
    file: led.model,
    find: 'activate(widened, config.hiddenActivation)',
    replace: "activate(widened, 'gelu')",
  },
  {
    name: 'shift-begins-with-bos',
    mistake: 'the shifted source begins with bos_token_id',
    file: led.door,
    find: 't === 0 ? config.decoderStartTokenId!',
    replace: 't === 0 ? config.bosTokenId',
  },
  {
    name: 'classification-first-end',
    mistake: 'the row of the first end token is classified',
    file: led.model,
    find: 'inputIds.lastIndexOf(config.eosTokenId)',
    replace: 'inputIds.indexOf(config.eosTokenId)',
  },
];

/** Caught by level generation: mistakes of searching and of what may be written. */
export const generationMutants: readonly Mutant[] = [
  {
    name: 'penalty-counts-prompt',
    mistake: 'the length a score is divided by counts the prompt',
    file: led.search,
    find: 'candidates[0]!.ids.length - prompt.length;',
    replace: 'candidates[0]!.ids.length;',
  },
  {
    name: 'penalty-without-end-token',
    mistake: 'the length a score is divided by leaves the last token out',
    file: led.search,
    find: 'candidates[0]!.ids.length - prompt.length;',
    replace: 'Math.max(1, candidates[0]!.ids.length - prompt.length - 1);',
  },
  {
    name: 'beams-all-begin',
    mistake: 'all beams begin with score 0 and write the same',
    file: led.search,
    find: 'score: beam === 0 ? 0 : ruledOut',
    replace: 'score: beam * 0',
  },
  {
    name: 'candidates-as-many-as-beams',
    mistake: 'only numBeams candidates are looked at, so that beams die with every end',
    file: led.search,
    find: 'Math.max(2, 1 + endTokenIds.length) * numBeams,',
    replace: 'numBeams,',
  },
  {
    name: 'candidates-for-one-end',
    mistake: 'twice as many candidates as beams, however many tokens end a text',
    file: led.search,
    find: 'Math.max(2, 1 + endTokenIds.length) * numBeams,',
    replace: '2 * numBeams,',
  },
  {
    name: 'finished-beyond-first-beams',
    mistake: 'any candidate may finish, not only the first numBeams',
    file: led.search,
    find: 'hasEnded && rank < numBeams',
    replace: 'hasEnded',
  },
  {
    name: 'never-is-false',
    mistake: 'early_stopping "never" hopes no more than false does',
    file: led.search,
    find: "earlyStopping === 'never' && lengthPenalty > 0 ?",
    replace: 'false ?',
  },
  {
    name: 'early-stopping-ignored',
    mistake: 'early_stopping true does not stop',
    file: led.search,
    find: 'const isDone = earlyStopping === true &&',
    replace: 'const isDone = false &&',
  },
  {
    name: 'early-stopping-always',
    mistake: 'beams always stop when enough are finished',
    file: led.search,
    find: 'const isDone = earlyStopping === true &&',
    replace: 'const isDone =',
  },
  {
    name: 'hope-without-penalty',
    mistake: 'running sums are compared with finished scores as they are',
    file: led.search,
    find: 'running[0]!.score / attainable ** lengthPenalty',
    replace: 'running[0]!.score',
  },
  {
    name: 'logits-not-normalised',
    mistake: 'beams add up logits instead of log probabilities',
    file: led.search,
    find: 'logSoftmax(next(ids))',
    replace: 'next(ids).slice()',
  },
  {
    name: 'ends-one-late',
    mistake: 'texts get one token more than maxLength',
    file: led.search,
    find: 'ids.length + 1 >= maxLength',
    replace: 'ids.length >= maxLength',
  },
  {
    name: 'repetition-divides-always',
    mistake: 'the repetition penalty divides negative scores too',
    file: led.processors,
    find: 'scores[token]! < 0 ? scores[token]! * penalty : scores[token]! / penalty',
    replace: 'scores[token]! / penalty',
  },
  {
    name: 'repetition-for-each-occurrence',
    mistake: 'a token that occurred twice is punished twice',
    file: led.processors,
    find: 'const token of new Set(target)',
    replace: 'const token of target',
  },
  {
    name: 'repetition-without-start-token',
    mistake: 'the start token is not punished',
    file: led.processors,
    find: 'new Set(target)',
    replace: 'new Set(target.slice(1))',
  },
  {
    name: 'ngram-one-longer',
    mistake: 'n-grams of one token more are forbidden',
    file: led.processors,
    find: 'endingsOfNgrams(target, target, size)',
    replace: 'endingsOfNgrams(target, target, size + 1)',
  },
  {
    name: 'ngram-last-overlooked',
    mistake: 'the last n-gram of the text is not looked at',
    file: led.processors,
    find: 'start + size <= text.length',
    replace: 'start + size < text.length',
  },
  {
    name: 'ngram-begun-one-early',
    mistake: 'the n-gram that is being written is taken from one place before',
    file: led.processors,
    find: 'text[start + k] === target[begun + k]',
    replace: 'text[start + k] === target[Math.max(begun - 1, 0) + k]',
  },
  {
    name: 'encoder-ngram-of-target',
    mistake: 'n-grams of the target are forbidden instead of the source\u2019s',
    file: led.processors,
    find: 'endingsOfNgrams(source, target, size)',
    replace: 'endingsOfNgrams(target, target, size)',
  },
  {
    name: 'bad-words-in-any-place',
    mistake: 'the last token of a bad word is forbidden wherever it stands',
    file: led.processors,
    find: 'if (isBegun) scores',
    replace: 'if (isBegun || begun >= 0) scores',
  },
  {
    name: 'bad-words-forbid-the-end',
    mistake: 'a bad word may forbid the end token',
    file: led.processors,
    find: 'if (word.length === 1 && endTokenIds.includes(word[0]!)) continue;',
    replace: '',
  },
  {
    name: 'bad-words-not-at-the-beginning',
    mistake: 'a bad word that reaches back to the first token is overlooked, as in transformers 4',
    file: led.processors,
    find: 'const isBegun = begun >= 0 &&',
    replace: 'const isBegun = (begun > 0 || word.length === 1) &&',
  },
  {
    name: 'end-before-min-length',
    mistake: 'a text may end one token before min_length',
    file: led.processors,
    find: 'target.length < length)',
    replace: 'target.length < length - 1)',
  },
  {
    name: 'min-new-tokens-counts-prompt',
    mistake: 'min_new_tokens counts the prompt',
    file: led.options,
    find: 'prompt.length + options.minNewTokens;',
    replace: 'options.minNewTokens;',
  },
  {
    name: 'forced-bos-after-prompt',
    mistake: 'the forced first token follows prompts of any length',
    file: led.processors,
    find: 'forcedAt(1, [forcedBosTokenId])',
    replace: 'forcedAt(options.prompt.length, [forcedBosTokenId])',
  },
  {
    name: 'forced-eos-never',
    mistake: 'the forced last token comes one place too late to be written',
    file: led.processors,
    find: 'forcedAt(maxLength - 1, forcedEosTokenIds)',
    replace: 'forcedAt(maxLength, forcedEosTokenIds)',
  },
  {
    name: 'minimum-over-force',
    mistake: 'the minimum is asked after the force',
    file: led.processors,
    find: 'rules.push(forcedAt(maxLength - 1, forcedEosTokenIds));',
    replace: 'rules.push(forcedAt(maxLength - 1, forcedEosTokenIds), minLength(options.minLength, endTokenIds));',
  },
  {
    name: 'prompt-without-start-token',
    mistake: 'prompts are taken as they are',
    file: led.options,
    find: '[start, ...given]',
    replace: '[...given]',
  },
  {
    name: 'end-tokens-first-only',
    mistake: 'of several end tokens only the first one ends',
    file: led.options,
    find: ': listOf(options.eosTokenId),',
    replace: ': listOf(options.eosTokenId).slice(0, 1),',
  },
];

/** Mistakes of the engine that the reference cannot make: it has no cache, and its search no batch. */
export const engineMutants: readonly Mutant[] = [
  {
    name: 'cache-one-step-short',
    mistake: 'the newest position of the cache is not read',
    file: led.engineDecoder,
    find: 'keyCount: past + hiddenStates.rows / groups,',
    replace: 'keyCount: Math.max(1, past + hiddenStates.rows / groups - 1),',
  },
  {
    name: 'cache-row-overwritten',
    mistake: 'new keys and values overwrite the newest ones of the past',
    file: led.engineDecoder,
    find: '{ outRow: past * groups }',
    replace: '{ outRow: Math.max(0, past - 1) * groups }',
  },
  {
    name: 'beams-not-reordered',
    mistake: 'a beam goes on from the past of another one\u2019s place',
    file: led.engineDecoding,
    find: 'if (parents) this.#reorder(parents);',
    replace: '',
  },
  {
    name: 'beams-reorder-keys-only',
    mistake: 'cached values stay where they are when beams change places',
    file: led.engineDecoding,
    find: "for (const part of ['key', 'value'] as const)",
    replace: "for (const part of ['key'] as const)",
  },
  {
    name: 'positions-stand-still',
    mistake: 'every step has position 0',
    file: led.engineDecoding,
    find: '[tables.positions, past + position]',
    replace: '[tables.positions, position]',
  },
  {
    name: 'groups-read-first-source',
    mistake: 'every group reads the first source',
    file: led.engineDecoding,
    find: 'kernels.loadIndices(groupDocuments)',
    replace: 'kernels.loadIndices(groupDocuments.map(() => 0))',
  },
  {
    name: 'engine-cross-sees-padding',
    mistake: 'the packed sources are shown to the decoder with their padding',
    file: led.engineEncoder,
    find: 'if (inputs.attentionMask) attentionMask.set(',
    replace: 'if (false as boolean) attentionMask.set(',
  },
  {
    name: 'parents-forgotten',
    mistake: 'the search does not tell the decoder whose past a beam continues',
    file: led.engineBeams,
    find: 'decoding.step(tokens, parents)',
    replace: 'decoding.step(tokens, null)',
  },
  {
    name: 'parents-of-first-document',
    mistake: 'beams of later documents continue those of the first',
    file: led.engineBeams,
    find: 'parents[first + beam] = first + beams.parents[beam]!;',
    replace: 'parents[first + beam] = first + Math.min(beams.parents[beam]!, first);',
  },
  {
    name: 'engine-penalty-counts-prompt',
    mistake: 'the length a score is divided by counts the prompt',
    file: led.engineBeams,
    find: '(t + 1 - promptLength) ** lengthPenalty',
    replace: '(t + 1) ** lengthPenalty',
  },
  {
    name: 'engine-finished-beyond-first-beams',
    mistake: 'any candidate may finish, not only the first numBeams',
    file: led.engineBeams,
    find: 'const filled = hits && rank < numBeams;',
    replace: 'const filled = hits;',
  },
];

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Loads modules from a copy of `folders` with one mistake in it.
 *
 * @throws CaseError when the text to replace does not occur exactly once: the mutant is out of date.
 */
async function loadCopy(
  mutant: Mutant,
  folders: readonly string[],
  modules: readonly string[],
): Promise<readonly unknown[]> {
  const copy = mkdtempSync(join(tmpdir(), 'longformer-mutant-'));
  try {
    writeFileSync(join(copy, 'package.json'), '{ "type": "module" }');
    for (const path of folders) {
      cpSync(join(root, path), join(copy, path), { recursive: true, filter: each => !each.endsWith('.test.ts') });
    }
    const source = readFileSync(join(copy, mutant.file), 'utf8');
    const occurrences = source.split(mutant.find).length - 1;
    if (occurrences !== 1) {
      throw new CaseError({
        where: 'loadMutant',
        name: mutant.name,
        expected: `its text to occur once in ${mutant.file}`,
        got: `${occurrences} times`,
      });
    }
    writeFileSync(
      join(copy, mutant.file),
      source.replace(mutant.find, () => mutant.replace),
    );
    return await Promise.all(
      modules.map(file => import(/* @vite-ignore */ pathToFileURL(join(copy, file)).href) as Promise<unknown>),
    );
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** The reference with one mistake in it. @throws CaseError */
export async function loadMutant(mutant: Mutant): Promise<ReferenceModules> {
  const [reference, batch] = await loadCopy(
    mutant,
    ['contract', 'reference', files.batch],
    ['reference/index.ts', files.batch],
  );
  return { reference, batch } as ReferenceModules;
}

/** The engine and its search with one mistake in them. @throws CaseError */
export async function loadEngineMutant(mutant: Mutant): Promise<EngineModules> {
  const [engine, ledBatch] = await loadCopy(
    mutant,
    ['contract', 'runtime'],
    ['runtime/engine/backend.ts', 'runtime/led-batch.ts'],
  );
  return { engine, ledBatch } as EngineModules;
}
