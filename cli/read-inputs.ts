/** Tensors of an input file, by Hugging Face's names. */
import { ValueRangeError } from '../contract/errors.ts';
import type { Tensor } from '../contract/tensor.ts';
import { openFileSource } from '../runtime/checkpoint/byte-source-node.ts';
import { type IntegerTensor, openSafetensors } from '../runtime/checkpoint/safetensors.ts';

/** Names a command takes, by what is in them. */
export interface InputNames {
  readonly integers: readonly string[];
  readonly floats: readonly string[];
}

/** @throws ValueRangeError for a tensor of another name; CheckpointError, IoError */
export async function readInputs(
  where: string,
  path: string,
  { integers, floats }: InputNames,
): Promise<Record<string, IntegerTensor | Tensor>> {
  const file = await openSafetensors(await openFileSource(path));
  try {
    const inputs: Record<string, IntegerTensor | Tensor> = {};
    for (const name of file.tensors.keys()) {
      if (integers.includes(name)) inputs[name] = await file.integers(name);
      else if (floats.includes(name)) inputs[name] = await file.floats(name);
      else {
        const expected = `tensors named ${[...integers, ...floats].join(', ')}`;
        throw new ValueRangeError({ where, name: '--inputs', expected, got: name });
      }
    }
    return inputs;
  } finally {
    await file.close();
  }
}
