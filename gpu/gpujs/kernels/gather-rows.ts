/** out[i] = input[indices[i]]. */
import { program } from '../program.ts';

export const gatherRows = program(
  'gatherRows',
  { input: 'Rows', indices: 'Rows' },
  `
  const from = indices[row][0];
  return input[from][this.thread.x];`,
);
