/**
 * Which tensors an LED checkpoint has, by their canonical names: Hugging Face's without `led.`.
 *
 * Source: HF LEDModel, LEDForConditionalGeneration, LEDForQuestionAnswering, and LEDForSequenceClassification of version 4.
 */
import type { LedConfig, LedHead } from '../../contract/config.ts';
import { dense, type ExpectedTensor, norm, required } from './expected-tensor.ts';

/** The names that mean the word embedding table when it is tied; the first is the table itself. */
export const ledWordTables = [
  'shared.weight',
  'encoder.embed_tokens.weight',
  'decoder.embed_tokens.weight',
  'lm_head.weight',
] as const;

export function ledTensors(config: LedConfig): ExpectedTensor[] {
  return [...sideTensors(config, 'encoder'), ...sideTensors(config, 'decoder'), ...headTensors(config)];
}

/** Tables and layers of one side; the shared table stands with the encoder. */
function sideTensors(config: LedConfig, side: 'encoder' | 'decoder'): ExpectedTensor[] {
  const { vocabSize, hiddenSize, tieWordEmbeddings } = config;
  const isEncoder = side === 'encoder';
  const positions = isEncoder ? config.maxEncoderPositionEmbeddings : config.maxDecoderPositionEmbeddings;
  const layers = isEncoder ? config.encoderLayers : config.decoderLayers;
  const layer = isEncoder ? encoderLayer : decoderLayer;
  return [
    ...(isEncoder ? [required('shared.weight', vocabSize, hiddenSize)] : []),
    ...(tieWordEmbeddings ? [] : [required(`${side}.embed_tokens.weight`, vocabSize, hiddenSize)]),
    required(`${side}.embed_positions.weight`, positions, hiddenSize),
    ...norm(`${side}.layernorm_embedding`, hiddenSize),
    ...Array.from({ length: layers }, (_, index) => layer(config, `${side}.layers.${index}`)).flat(),
  ];
}

function encoderLayer({ hiddenSize, encoderIntermediateSize }: LedConfig, name: string): ExpectedTensor[] {
  const projections = ['query', 'key', 'value', 'query_global', 'key_global', 'value_global'];
  return [
    ...projections.flatMap(projection =>
      dense(`${name}.self_attn.longformer_self_attn.${projection}`, hiddenSize, hiddenSize),
    ),
    ...dense(`${name}.self_attn.output`, hiddenSize, hiddenSize),
    ...norm(`${name}.self_attn_layer_norm`, hiddenSize),
    ...feedForward(name, hiddenSize, encoderIntermediateSize),
  ];
}

function decoderLayer({ hiddenSize, decoderIntermediateSize }: LedConfig, name: string): ExpectedTensor[] {
  const attention = (part: string): ExpectedTensor[] => [
    ...['q_proj', 'k_proj', 'v_proj', 'out_proj'].flatMap(projection =>
      dense(`${name}.${part}.${projection}`, hiddenSize, hiddenSize),
    ),
    ...norm(`${name}.${part}_layer_norm`, hiddenSize),
  ];
  return [
    ...attention('self_attn'),
    ...attention('encoder_attn'),
    ...feedForward(name, hiddenSize, decoderIntermediateSize),
  ];
}

const feedForward = (name: string, hiddenSize: number, intermediateSize: number): ExpectedTensor[] => [
  ...dense(`${name}.fc1`, intermediateSize, hiddenSize),
  ...dense(`${name}.fc2`, hiddenSize, intermediateSize),
  ...norm(`${name}.final_layer_norm`, hiddenSize),
];

function headTensors({ head, hiddenSize, vocabSize, labels, tieWordEmbeddings }: LedConfig): ExpectedTensor[] {
  const tensors: Record<LedHead, () => ExpectedTensor[]> = {
    none: () => [],
    conditionalGeneration: () => [
      ...(tieWordEmbeddings ? [] : [required('lm_head.weight', vocabSize, hiddenSize)]),
      // A buffer that is all zeros unless somebody trained it; absent files mean zeros.
      { ...required('final_logits_bias', 1, vocabSize), optional: true },
    ],
    questionAnswering: () => dense('qa_outputs', labels, hiddenSize),
    sequenceClassification: () => [
      ...dense('classification_head.dense', hiddenSize, hiddenSize),
      ...dense('classification_head.out_proj', labels, hiddenSize),
    ],
  };
  return tensors[head]();
}
