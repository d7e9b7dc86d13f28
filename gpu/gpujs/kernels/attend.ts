/**
 * Attention in four steps, for a chunk of queries at a time: scores, their largest and the sum of their exponentials,
 * probabilities, and the values weighted by them. What lies between the steps is (slots x heads, columns), never T x T.
 *
 * Row head * slots + i of it belongs to the i-th query of the chunk; that one is query row first + i * step.
 */
import { type Program, program, sumInBlocks, sumOfTerms } from '../program.ts';
import type { KeySource } from './keys.ts';
import { decay } from './math.ts';

/** Scores of masked keys are `masked`: a number no score reaches, and not infinite, because GLSL may not have that. */
export const masked = -3e38;
/** Scores above this are those of keys that are seen. */
const seenAbove = masked / 2;

export const scores = (keys: KeySource): Program =>
  program(
    `scores ${keys.name}`,
    {
      query: 'Rows',
      key: 'Rows',
      ...keys.arguments,
      first: 'Integer',
      step: 'Integer',
      slots: 'Integer',
      headDim: 'Integer',
      scale: 'Float',
      hidden: 'Float',
    },
    `
  const column = this.thread.x;
  const head = Math.floor((row + 0.5) / slots);
  const slot = first + (row - head * slots) * step;
  const firstFeature = head * headDim;
  ${keys.begin}
  ${keys.find}
  let score = hidden;
  if (keyRow >= 0) {
    ${sumOfTerms('sum', 'headDim', k => `query[slot][firstFeature + ${k}] * key[keyRow][firstFeature + ${k}]`)}
    score = sum * scale;
  }
  return score;`,
  );

/** (rows, 2): the largest score, and 1 / the sum of exponentials; 0 for a query that sees nothing. */
export const softmaxMoments = program(
  'softmaxMoments',
  { scores: 'Rows', columns: 'Integer', hidden: 'Float', seenAbove: 'Float' },
  `
  let largest = hidden;
  for (let column = 0; column < columns; column += 1) {
    const score = scores[row][column];
    largest = Math.max(largest, score);
  }
  let result = largest;
  if (this.thread.x === 1) {
    ${sumInBlocks('sum', 'j', 'columns', 'const score = scores[row][j]; if (score > seenAbove) { part += decay(score - largest); }')}
    result = 0;
    if (sum > 0) { result = 1 / sum; }
  }
  return result;`,
  [decay],
);

export const softmax = program(
  'softmax',
  { scores: 'Rows', moments: 'Rows', seenAbove: 'Float' },
  `
  const score = scores[row][this.thread.x];
  let probability = 0;
  if (score > seenAbove) {
    const largest = moments[row][0];
    const reciprocal = moments[row][1];
    probability = decay(score - largest) * reciprocal;
  }
  return probability;`,
  [decay],
);

export const context = (keys: KeySource): Program =>
  program(
    `context ${keys.name}`,
    {
      probabilities: 'Rows',
      value: 'Rows',
      ...keys.arguments,
      first: 'Integer',
      slots: 'Integer',
      headDim: 'Integer',
      columns: 'Integer',
    },
    `
  const feature = this.thread.x;
  const head = Math.floor((feature + 0.5) / headDim);
  const slot = first + row;
  const probabilityRow = head * slots + row;
  ${keys.begin}
  ${sumInBlocks(
    'sum',
    'column',
    'columns',
    `const probability = probabilities[probabilityRow][column];
        if (probability > 0) {
          ${keys.find}
          part += probability * value[keyRow][feature];
        }`,
  )}
  return sum;`,
  );

export const softmaxNumbers = { hidden: masked, seenAbove } as const;
