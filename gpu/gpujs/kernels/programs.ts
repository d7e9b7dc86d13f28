/** Every program there is, for devices that must compile before they are asked. */
import type { Activation } from '../../../contract/config.ts';
import type { Program } from '../program.ts';
import { addLayerNorm, layerMoments } from './add-layer-norm.ts';
import { context, scores, softmax, softmaxMoments } from './attend.ts';
import { gatherRows } from './gather-rows.ts';
import { bandKeys, cacheKeys, documentKeys, globalKeys } from './keys.ts';
import { linear } from './linear.ts';
import { activations } from './math.ts';
import { invertRows, placeRows, scatterRows } from './place-rows.ts';

const keySources = [bandKeys(false), bandKeys(true), globalKeys, cacheKeys, documentKeys];

export const programs: readonly Program[] = [
  ...activations.map((activation: Activation) => linear(activation)),
  ...[true, false].flatMap(residual => [layerMoments(residual), addLayerNorm(residual)]),
  ...keySources.flatMap(keys => [scores(keys), context(keys)]),
  ...[softmaxMoments, softmax, gatherRows, placeRows, invertRows, scatterRows],
];
