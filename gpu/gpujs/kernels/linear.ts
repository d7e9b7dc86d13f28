/** out = activation(input Wᵀ + bias). Weights are stored (inFeatures + 1, outFeatures): transposed, the bias as the last row. */
import type { Activation } from '../../../contract/config.ts';
import { type Program, program, sumOfTerms } from '../program.ts';
import { activate } from './math.ts';

/** Result row i is that of input row inputRow + i. */
export const linear = (activation: Activation): Program =>
  program(
    `linear ${activation}`,
    { input: 'Rows', weight: 'Rows', inputRow: 'Integer', inFeatures: 'Integer' },
    `
  const column = this.thread.x;
  const from = row + inputRow;
  ${sumOfTerms('sum', 'inFeatures', k => `input[from][${k}] * weight[${k}][column]`)}
  const bias = weight[inFeatures][column];
  return activate(sum + bias);`,
    activate(activation),
  );
