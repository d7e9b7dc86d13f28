/**
 * Which tensors a checkpoint has, by their canonical names: Hugging Face's without the backbone's prefix.
 *
 * Source: HF LongformerModel and the LongformerFor… classes.
 */
import type { LongformerConfig, LongformerHead, ModelConfig } from '../../contract/config.ts';
import { dense, type ExpectedTensor, norm, required } from './expected-tensor.ts';
import { ledTensors } from './led-tensor-names.ts';

/** longformer., led.: HF's task classes; roberta., model.: the authors' checkpoints; none: HF's bare encoder. */
const backbonePrefix: Record<ModelConfig['modelType'], RegExp> = {
  longformer: /^(?:longformer|roberta|model)\./,
  led: /^(?:led|model)\./,
};

/** The name without the backbone's prefix, or undefined for buffers that older versions wrote and nobody reads. */
export function canonicalName(name: string, modelType: ModelConfig['modelType'] = 'longformer'): string | undefined {
  const canonical = name.replace(backbonePrefix[modelType], '');
  return canonical.endsWith('.position_ids') ? undefined : canonical;
}

/**
 * Every tensor the model of a config reads, in the order of the computation, with its shape.
 *
 * Names of a tied table are listed only when the config unties it: otherwise they are the word embedding table.
 */
export function expectedTensors(config: ModelConfig): ExpectedTensor[] {
  return config.modelType === 'led' ? ledTensors(config) : longformerTensors(config);
}

function longformerTensors(config: LongformerConfig): ExpectedTensor[] {
  return [...embeddingTensors(config), ...layerTensors(config), ...headTensors(config)];
}

function embeddingTensors(config: LongformerConfig): ExpectedTensor[] {
  const { hiddenSize } = config;
  return [
    required('embeddings.word_embeddings.weight', config.vocabSize, hiddenSize),
    required('embeddings.position_embeddings.weight', config.maxPositionEmbeddings, hiddenSize),
    required('embeddings.token_type_embeddings.weight', config.typeVocabSize, hiddenSize),
    ...norm('embeddings.LayerNorm', hiddenSize),
  ];
}

function layerTensors({ layers, hiddenSize, intermediateSize }: LongformerConfig): ExpectedTensor[] {
  const projections = ['query', 'key', 'value', 'query_global', 'key_global', 'value_global'];
  return Array.from({ length: layers }, (_, layer) => {
    const name = `encoder.layer.${layer}`;
    return [
      ...projections.flatMap(projection => dense(`${name}.attention.self.${projection}`, hiddenSize, hiddenSize)),
      ...dense(`${name}.attention.output.dense`, hiddenSize, hiddenSize),
      ...norm(`${name}.attention.output.LayerNorm`, hiddenSize),
      ...dense(`${name}.intermediate.dense`, intermediateSize, hiddenSize),
      ...dense(`${name}.output.dense`, hiddenSize, intermediateSize),
      ...norm(`${name}.output.LayerNorm`, hiddenSize),
    ];
  }).flat();
}

function headTensors({ head, hiddenSize, vocabSize, labels, tieWordEmbeddings }: LongformerConfig): ExpectedTensor[] {
  const pooler = dense('pooler.dense', hiddenSize, hiddenSize);
  const decoder = tieWordEmbeddings ? [] : [required('lm_head.decoder.weight', vocabSize, hiddenSize)];
  const tensors: Record<LongformerHead, () => ExpectedTensor[]> = {
    none: () => pooler.map(tensor => ({ ...tensor, optional: true })),
    maskedLm: () => [
      ...dense('lm_head.dense', hiddenSize, hiddenSize),
      ...norm('lm_head.layer_norm', hiddenSize),
      ...decoder,
      required('lm_head.bias', vocabSize),
    ],
    sequenceClassification: () => [
      ...dense('classifier.dense', hiddenSize, hiddenSize),
      ...dense('classifier.out_proj', labels, hiddenSize),
    ],
    questionAnswering: () => dense('qa_outputs', labels, hiddenSize),
    tokenClassification: () => dense('classifier', labels, hiddenSize),
    multipleChoice: () => [...pooler, ...dense('classifier', 1, hiddenSize)],
  };
  return tensors[head]();
}
