/** The float64 reference as a subject. The modules are arguments, so that mutants of it can be put in. */
import { expectLedSource } from '../../contract/led-inputs.ts';
import type { Tensor } from '../../contract/tensor.ts';
import { toFloat64 } from '../../reference/1-operations.ts';
import * as reference from '../../reference/index.ts';
import * as batch from '../../runtime/batch.ts';
import { mergeOptions } from '../../runtime/generation/options.ts';
import * as ledBatch from '../../runtime/led-batch.ts';
import type { Case } from '../case.ts';
import type { NamedTensor } from '../compare.ts';
import type { Subject } from '../run.ts';
import { isLedLevel, type LedBatch, ledLevels, runLedCase } from './led.ts';

/** The modules this subject is made of. */
export interface ReferenceModules {
  readonly reference: typeof reference;
  readonly batch: typeof batch;
}

export function referenceSubject(modules: ReferenceModules = { reference, batch }, name = 'reference'): Subject {
  return {
    name,
    precision: 'float64',
    levels: ['attention', 'layer', 'encoder', 'heads', ...ledLevels],
    run: testCase => {
      if (isLedLevel(testCase.level)) return runLed(modules, testCase);
      const isModel = testCase.level === 'encoder' || testCase.level === 'heads';
      return isModel ? runModel(modules, testCase) : runLayer(modules, testCase);
    },
  };
}

/** The whole model, by way of the outer seam and HF's batch. */
async function runModel(
  { reference, batch }: ReferenceModules,
  testCase: Case,
): Promise<ReadonlyMap<string, NamedTensor>> {
  const model = await reference.createReferenceBackend().loadLongformer(await testCase.openCheckpoint());
  const sink = batch.memorySink();
  await batch.forwardBatch(model, testCase.batchInputs(), sink, { want: 'all' });
  return sink.tensors;
}

/** LED, with the plain greedy and beam search of lesson 10, document by document. */
async function runLed({ reference }: ReferenceModules, testCase: Case): Promise<ReadonlyMap<string, NamedTensor>> {
  const checkpoint = await testCase.openLedCheckpoint();
  const { config } = checkpoint;
  const tensors = await reference.loadLedWeights(checkpoint);
  const weights = (name: string): Tensor => tensors.get(name)!;
  const model = reference.createReferenceLedModel(config, weights);
  const generateBatch: LedBatch['generateBatch'] = async (_, inputs, options = {}) => {
    const documents = ledBatch.splitLedBatch(inputs);
    const decoderInputIds = inputs.decoder_input_ids && documents.map(row => row.decoderInputIds!);
    const prompted = { ...mergeOptions(options), ...(decoderInputIds && { decoderInputIds }) };
    for (const document of documents) expectLedSource(document, config);
    const written = documents.flatMap((document, row) => {
      return reference.generate(document, weights, config, prompted, row);
    });
    const longest = Math.max(...written.map(({ ids }) => ids.length));
    const data = new Int32Array(written.length * longest).fill(config.padTokenId);
    for (const [row, { ids }] of written.entries()) data.set(ids, row * longest);
    const scores = Float64Array.from(written, ({ score }) => score ?? 0);
    return {
      sequences: { shape: [written.length, longest], data },
      sequencesScores: written[0]!.score === null ? null : { shape: [scores.length], data: scores },
    };
  };
  return await runLedCase(model, testCase, { ...ledBatch, generateBatch });
}

/** One attention or one layer: `hidden_states` in, row by row. */
async function runLayer(
  { reference, batch }: ReferenceModules,
  testCase: Case,
): Promise<ReadonlyMap<string, NamedTensor>> {
  const checkpoint = await testCase.openCheckpoint();
  const { config } = checkpoint;
  const layer = testCase.layer!;
  const tensors = new Map<string, Tensor>();
  for (const name of checkpoint.names.filter(each => each.startsWith(`encoder.layer.${layer}.`))) {
    tensors.set(name, await checkpoint.tensor(name));
  }
  const hiddenStates = toFloat64(testCase.floatInput('hidden_states')); // (batch, n, C)
  const [rows, n, hiddenSize] = hiddenStates.shape as [number, number, number];
  const maskRow = (name: string, row: number): Int32Array | undefined =>
    testCase.integerInput(name)?.data.subarray(row * n, (row + 1) * n);

  const documents = Array.from({ length: rows }, (_, row) => ({
    inputIds: new Int32Array(n), // only its length is looked at
    attentionMask: maskRow('attention_mask', row),
    globalAttentionMask: maskRow('global_attention_mask', row),
  }));
  const layout = new batch.BatchLayout(config, documents, false, [rows]);
  const outputName = testCase.level === 'attention' ? 'attn_output' : 'layer_output';
  const sink = batch.memorySink();
  sink.begin([{ name: outputName, shape: hiddenStates.shape }, ...layout.attentionTensors(layer, '')]);

  for (const [row, { attentionMask, globalAttentionMask }] of documents.entries()) {
    const roles = reference.tokenRoles(n, attentionMask, globalAttentionMask);
    const size = n * hiddenSize;
    const input = { shape: [n, hiddenSize], data: hiddenStates.data.slice(row * size, (row + 1) * size) };
    const weights = (name: string): Tensor => tensors.get(name)!;
    const band = reference.bandOfLayer(config, layer);
    const result =
      testCase.level === 'attention'
        ? reference.selfAttention(input, weights, `encoder.layer.${layer}.attention.self`, roles, band)
        : reference.encoderLayer(input, weights, layer, roles, config);
    const values = 'attended' in result ? result.attended : result.hiddenStates;
    await sink.write(outputName, row * size, values.data);
    const local = layout.localAttentions(result.attentions, layer);
    await sink.write('attentions', row * local.length, local);
    if (layout.globals === 0) continue;
    const global = layout.globalAttentions(result.attentions);
    await sink.write('global_attentions', row * global.length, global);
  }
  return sink.tensors;
}
