/**
 * The work of `longformer forward`, in a thread of its own: the main thread stays free for progress and Ctrl-C, whatever
 * the backend is busy with.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { LongformerError, ValueRangeError } from '../../contract/errors.ts';
import type { Backend } from '../../contract/model.ts';
import { type BatchInputs, forwardBatch, type TensorSink } from '../../runtime/batch.ts';
import { openFileSource } from '../../runtime/checkpoint/byte-source-node.ts';
import { openCheckpoint } from '../../runtime/checkpoint/open-node.ts';
import { openSafetensors } from '../../runtime/checkpoint/safetensors.ts';
import type { SafetensorsWriter } from '../../runtime/checkpoint/safetensors-writer.ts';
import { createSafetensorsFile } from '../../runtime/checkpoint/safetensors-writer-node.ts';
import { createBackendNamed } from '../backends.ts';
import type { ForwardJob, ForwardMessage } from './forward.ts';

const integerNames = ['input_ids', 'attention_mask', 'global_attention_mask', 'token_type_ids', 'position_ids'];
const inputNames = [...integerNames, 'inputs_embeds'];

const post = (message: ForwardMessage): void => parentPort!.postMessage(message);

async function readInputs(path: string): Promise<BatchInputs> {
  const file = await openSafetensors(await openFileSource(path));
  try {
    const inputs: Record<string, unknown> = {};
    for (const name of file.tensors.keys()) {
      if (!inputNames.includes(name)) {
        throw new ValueRangeError({
          where: 'forward',
          name: '--inputs',
          expected: `tensors named ${inputNames.join(', ')}`,
          got: name,
        });
      }
      inputs[name] = integerNames.includes(name) ? await file.integers(name) : await file.floats(name);
    }
    return inputs;
  } finally {
    await file.close();
  }
}

async function forward(job: ForwardJob): Promise<void> {
  const inputs = await readInputs(job.inputs);
  const checkpoint = await openCheckpoint(job.model);
  let writer: SafetensorsWriter | undefined;
  let backend: Backend | undefined;
  try {
    backend = await createBackendNamed(job.backend, { threads: job.threads });
    const model = await backend.loadLongformer(checkpoint, {
      onProgress: done => post({ kind: 'progress', done, label: 'loading weights' }),
    });
    const sink: TensorSink = {
      async begin(tensors) {
        const dtype = job.precision === 'float64' ? 'F64' : 'F32';
        const declarations = tensors.map(({ name, shape }) => ({ name, dtype, shape }));
        writer = await createSafetensorsFile(job.outputs, declarations, new Map(), job.temporary);
      },
      write: (name, elementOffset, values) => writer!.write(name, elementOffset, values),
    };
    await forwardBatch(model, inputs, sink, {
      want: job.want,
      onProgress: done => post({ kind: 'progress', done, label: 'computing layers' }),
    });
    await writer!.finish();
    model.dispose();
  } catch (error) {
    await writer?.abort();
    throw error;
  } finally {
    backend?.dispose();
    await checkpoint.close();
  }
}

try {
  await forward(workerData as ForwardJob);
  post({ kind: 'done' });
} catch (error) {
  if (!(error instanceof LongformerError)) throw error;
  const { code, where, subject, expected, got, hint } = error;
  const reason = 'reason' in error ? (error.reason as string) : undefined;
  post({
    kind: 'error',
    code,
    reason,
    complaint: { where, name: subject, expected, got, ...(hint && { hint }) },
    message: error.message,
  });
}
