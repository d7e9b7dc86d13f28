/** The work of `longformer generate`. */
import { createSafetensorsFile } from '../../runtime/checkpoint/safetensors-writer-node.ts';
import { generateBatch, type LedBatchInputs } from '../../runtime/led-batch.ts';
import { loadLed, tellGeneration } from '../load-led.ts';
import { readInputs } from '../read-inputs.ts';
import { type Report, workInWorker } from '../run-in-worker.ts';
import type { GenerateJob } from './generate.ts';

const inputNames = {
  integers: ['input_ids', 'attention_mask', 'global_attention_mask', 'decoder_input_ids'],
  floats: ['inputs_embeds'],
};

await workInWorker(generate);

async function generate(job: GenerateJob, report: Report<never>): Promise<void> {
  const inputs: LedBatchInputs = await readInputs('generate', job.inputs, inputNames);
  const { model, settings, dispose } = await loadLed(job, report.progress);
  try {
    const { sequences, sequencesScores } = await generateBatch(model, inputs, {
      settings,
      ...job.generation,
      onProgress: tellGeneration(report.progress),
    });
    const tensors = [
      { name: 'sequences', dtype: 'I64', ...sequences },
      ...(sequencesScores ? [{ name: 'sequences_scores', dtype: 'F64', ...sequencesScores }] : []),
    ];
    const writer = await createSafetensorsFile(job.outputs, tensors, new Map(), job.temporary);
    for (const { name, data } of tensors) await writer.write(name, 0, data);
    await writer.finish();
  } finally {
    dispose();
  }
}
