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
