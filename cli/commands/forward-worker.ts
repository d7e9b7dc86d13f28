/** The work of `longformer forward`: a checkpoint of either family, tensors in, tensors out. */
import type { Backend } from '../../contract/model.ts';
import { type BatchInputs, type BatchOptions, forwardBatch, type TensorSink } from '../../runtime/batch.ts';
import { isLedCheckpoint } from '../../runtime/checkpoint/open.ts';
import { openModelCheckpoint } from '../../runtime/checkpoint/open-node.ts';
import type { SafetensorsWriter } from '../../runtime/checkpoint/safetensors-writer.ts';
import { createSafetensorsFile } from '../../runtime/checkpoint/safetensors-writer-node.ts';
import { forwardLedBatch, type LedBatchInputs } from '../../runtime/led-batch.ts';
import { createBackendNamed } from '../backends.ts';
import { readInputs } from '../read-inputs.ts';
import { type Report, workInWorker } from '../run-in-worker.ts';
import type { ForwardJob } from './forward.ts';

const shared = ['input_ids', 'attention_mask', 'global_attention_mask'];
const longformerInputs = { integers: [...shared, 'token_type_ids', 'position_ids'], floats: ['inputs_embeds'] };
const ledInputs = {
  integers: [...shared, 'decoder_input_ids', 'decoder_attention_mask'],
  floats: ['inputs_embeds', 'decoder_inputs_embeds'],
};

await workInWorker(forward);

async function forward(job: ForwardJob, report: Report<never>): Promise<void> {
  const checkpoint = await openModelCheckpoint(job.model);
  let writer: SafetensorsWriter | undefined;
  let backend: Backend | undefined;
  try {
    const isLed = isLedCheckpoint(checkpoint);
    const inputs = await readInputs('forward', job.inputs, isLed ? ledInputs : longformerInputs);
    backend = await createBackendNamed(job.backend, { threads: job.threads });
    const sink: TensorSink = {
      async begin(tensors) {
        const dtype = job.precision === 'float64' ? 'F64' : 'F32';
        const declarations = tensors.map(({ name, shape }) => ({ name, dtype, shape }));
        writer = await createSafetensorsFile(job.outputs, declarations, new Map(), job.temporary);
      },
      write: (name, elementOffset, values) => writer!.write(name, elementOffset, values),
    };
    const loading = { onProgress: (done: number) => report.progress(done, 'loading weights') };
    const options: BatchOptions = {
      want: job.want,
      onProgress: done => report.progress(done, 'computing layers'),
    };
    if (isLedCheckpoint(checkpoint)) {
      const model = await backend.loadLed(checkpoint, loading);
      await forwardLedBatch(model, inputs as LedBatchInputs, sink, options);
    } else {
      const model = await backend.loadLongformer(checkpoint, loading);
      await forwardBatch(model, inputs as BatchInputs, sink, options);
    }
    await writer!.finish();
  } catch (error) {
    await writer?.abort();
    throw error;
  } finally {
    backend?.dispose(); // its model with it
    await checkpoint.close();
  }
}
