/** layerNorm(input + residual): mean and variance of each row first, then every number on its own. */
import { type ArgumentType, type Program, program, sumInBlocks, sumOfTerms } from '../program.ts';

const inputs = (residual: boolean): Record<string, ArgumentType> =>
  residual ? { input: 'Rows', residual: 'Rows' } : { input: 'Rows' };
const term = (residual: boolean, index: string): string =>
  residual ? `(input[row][${index}] + residual[row][${index}])` : `input[row][${index}]`;
const nameOf = (what: string, residual: boolean): string => `addLayerNorm ${what}${residual ? '' : ' alone'}`;

/** (rows, 2): mean, and 1 / √(variance + eps) from the differences to it. */
export const layerMoments = (residual: boolean): Program =>
  program(
    nameOf('moments', residual),
    { ...inputs(residual), features: 'Integer', eps: 'Float' },
    `
  ${sumOfTerms('sum', 'features', k => term(residual, k))}
  const mean = sum / features;
  let result = mean;
  if (this.thread.x === 1) {
    ${sumInBlocks('squares', 'j', 'features', `const difference = ${term(residual, 'j')} - mean; part += difference * difference;`)}
    result = 1 / Math.sqrt(squares / features + eps);
  }
  return result;`,
  );

/** norm: (2, features), gamma above beta. */
export const addLayerNorm = (residual: boolean): Program =>
  program(
    nameOf('norm', residual),
    { ...inputs(residual), moments: 'Rows', norm: 'Rows' },
    `
  const column = this.thread.x;
  return (${term(residual, 'column')} - moments[row][0]) * moments[row][1] * norm[0][column] + norm[1][column];`,
  );
