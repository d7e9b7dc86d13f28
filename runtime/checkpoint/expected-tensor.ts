/**
 * What a checkpoint is expected to hold: a name and a shape, and the pairs of them that layers are made of.
 *
 * Read next: tensor-names.ts, led-tensor-names.ts.
 */
export interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Used when it is there, not missed when it is not. */
  readonly optional: boolean;
}

export const required = (name: string, ...shape: number[]): ExpectedTensor => ({ name, shape, optional: false });

/** Weight (outputs, inputs) and bias (outputs). */
export const dense = (name: string, outputs: number, inputs: number): ExpectedTensor[] => [
  required(`${name}.weight`, outputs, inputs),
  required(`${name}.bias`, outputs),
];

export const norm = (name: string, size: number): ExpectedTensor[] => [
  required(`${name}.weight`, size),
  required(`${name}.bias`, size),
];
