/** The work of `longformer summarize`. */
import { openTokenizer } from '../../api/model-source.ts';
import { writeTexts } from '../../runtime/tasks/summarization.ts';
import { loadLed, tellGeneration } from '../load-led.ts';
import { type Report, workInWorker } from '../run-in-worker.ts';
import type { SummarizeJob, SummarizeNote } from './summarize.ts';

await workInWorker(summarize);

async function summarize(job: SummarizeJob, report: Report<SummarizeNote>): Promise<void> {
  const { model, settings, files, dispose } = await loadLed(job, report.progress, 'summarization');
  try {
    const tokenizer = await openTokenizer(files);
    let streamed = false;
    const [texts] = await writeTexts({ model, tokenizer, settings }, [job.text], {
      ...job.generation,
      truncation: job.truncate,
      ...(job.globalAttention ? {} : { isGlobal: () => false }),
      onProgress: tellGeneration(report.progress),
      onText({ text, sequence }) {
        // Several drawn texts grow side by side; they are printed one after the other at the end.
        if ((job.generation.numReturnSequences ?? settings.numReturnSequences ?? 1) > 1 || sequence > 0) return;
        streamed = true;
        report.note({ kind: 'piece', text });
      },
    });
    report.note({ kind: 'texts', texts: texts!, streamed });
  } finally {
    dispose();
  }
}
