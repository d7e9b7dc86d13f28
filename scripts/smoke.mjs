// The published package in whatever runs this file: one question to the checkpoint in the box, one batch to the engine.
import { fileURLToPath } from 'node:url';
import { pipeline } from 'longformer';
import { createReferenceBackend } from 'longformer/reference';
import { openCheckpoint } from 'longformer/runtime/node';

const model = fileURLToPath(
  new URL('../models/needle-qa', import.meta.resolve('longformer/package.json').replace('package.json', 'dist/')),
);
const answer = await pipeline('question-answering', model, { threads: 2 });
const context =
  'The access code of Delia is 31C. A visitor left two glass plates on table 4. The access code of Oskar is 48K.';
const best = await answer({ question: 'What is the access code of Oskar?', context });
await answer.dispose();

const reference = await createReferenceBackend().loadLongformer(await openCheckpoint(model));
const [output] = await reference.forward([
  { inputIds: Int32Array.of(0, 5, 6, 7, 2), globalAttentionMask: new Int32Array(5) },
]);
if (best.answer !== '48K' || context.slice(best.start, best.end) !== '48K')
  throw new Error(`answered ${JSON.stringify(best)}`);
if (!Number.isFinite(output.startLogits.data[0])) throw new Error('the reference answered nothing');
console.log(`ok: ${best.answer}, certain to ${(100 * best.score).toFixed(1)} %`);
