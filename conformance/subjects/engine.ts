/** The engine over any kernels as a subject: whole models by the outer seam, layers by the inner one. */
import type { Kernels } from '../../contract/kernels.ts';
import { BatchLayout, forwardBatch, memorySink } from '../../runtime/batch.ts';
import * as engine from '../../runtime/engine/backend.ts';
import { attend, encoderLayer } from '../../runtime/engine/encoder-layer.ts';
import { readAttentions } from '../../runtime/engine/encoder-layers.ts';
import { packDocuments } from '../../runtime/engine/pack.ts';
import { loadLayer, pairReader } from '../../runtime/engine/weights.ts';
import { allocateWorkspace } from '../../runtime/engine/workspace.ts';
import * as ledBatch from '../../runtime/led-batch.ts';
import type { Precision } from '../budget.ts';
import type { Case } from '../case.ts';
import type { NamedTensor } from '../compare.ts';
import type { Subject } from '../run.ts';
import { isLedLevel, type LedBatch, ledLevels, runLedCase } from './led.ts';

/** The modules that LED's levels are asked of; arguments, so that mutants can be put in. */
export interface EngineModules {
  readonly engine: Pick<typeof engine, 'createBackend'>;
  readonly ledBatch: LedBatch;
}

export function engineSubject(
  name: string,
  precision: Precision,
  createKernels: () => Promise<Kernels>,
  modules: EngineModules = { engine, ledBatch },
): Subject {
  return {
    name,
    precision,
    levels: ['attention', 'layer', 'encoder', 'heads', ...ledLevels],
    skips: ({ level }) =>
      precision === 'float16' && level === 'generation'
        ? 'ids are those of the weights before they were rounded'
        : null,
    async run(testCase) {
      const kernels = await createKernels();
      try {
        if (isLedLevel(testCase.level)) return await runLed(modules, kernels, testCase);
        const isModel = testCase.level === 'encoder' || testCase.level === 'heads';
        return isModel ? await runModel(kernels, testCase) : await runLayer(kernels, testCase);
      } finally {
        kernels.dispose();
      }
    },
  };
}

async function runLed(
  { engine, ledBatch }: EngineModules,
  kernels: Kernels,
  testCase: Case,
): Promise<ReadonlyMap<string, NamedTensor>> {
  const model = await engine.createBackend(kernels).loadLed(await testCase.openLedCheckpoint());
  try {
    return await runLedCase(model, testCase, ledBatch);
  } finally {
    model.dispose();
  }
}

async function runModel(kernels: Kernels, testCase: Case): Promise<ReadonlyMap<string, NamedTensor>> {
  const model = await engine.createBackend(kernels).loadLongformer(await testCase.openCheckpoint());
  const sink = memorySink();
  await forwardBatch(model, testCase.batchInputs(), sink, { want: 'all' });
  model.dispose();
  return sink.tensors;
}

/** One attention or one layer, all rows of the batch packed together. */
async function runLayer(kernels: Kernels, testCase: Case): Promise<ReadonlyMap<string, NamedTensor>> {
  const checkpoint = await testCase.openCheckpoint();
  const { config } = checkpoint;
  const layer = testCase.layer!;
  const input = testCase.floatInput('hidden_states');
  const [rows, n] = input.shape as [number, number, number];
  const mask = (name: string, row: number): Int32Array | undefined =>
    testCase.integerInput(name)?.data.subarray(row * n, (row + 1) * n);
  const documents = Array.from({ length: rows }, (_, row) => ({
    inputIds: new Int32Array(n), // only its length is looked at
    attentionMask: mask('attention_mask', row),
    globalAttentionMask: mask('global_attention_mask', row),
  }));
  const packed = packDocuments(documents);
  const weights = await loadLayer(kernels, pairReader(checkpoint), layer, handle => handle);
  const space = allocateWorkspace(kernels, config, packed, { lastRows: null, attentions: true, head: null });
  const { heads, causal } = config;
  const band = { heads, causal, oneSidedWindow: config.oneSidedWindow[layer]!, dilation: config.dilation[layer]! };
  const settings = { band, activation: config.hiddenActivation, eps: config.layerNormEps };

  kernels.write(space.all.hiddenStates, input.data);
  attend(kernels, weights, space, space.all, band);
  const layout = new BatchLayout(config, documents, false, [rows]);
  const outputName = testCase.level === 'attention' ? 'attn_output' : 'layer_output';
  const sink = memorySink();
  sink.begin([{ name: outputName, shape: input.shape }, ...layout.attentionTensors(layer, '')]);
  for (let document = 0; document < rows; document++) {
    const attentions = await readAttentions(kernels, weights, packed, space, band, document);
    const local = layout.localAttentions(attentions, layer);
    await sink.write('attentions', document * local.length, local);
    if (layout.globals === 0) continue;
    const global = layout.globalAttentions(attentions);
    await sink.write('global_attentions', document * global.length, global);
  }
  if (testCase.level === 'layer') {
    kernels.write(space.all.hiddenStates, input.data);
    encoderLayer(kernels, weights, space, space.all, settings);
  }
  const result = testCase.level === 'attention' ? space.all.attended : space.all.hiddenStates;
  await sink.write(outputName, 0, await kernels.read(result, 0, rows * n));
  return sink.tensors;
}
