// The published package in whatever runs this file: a question and a masked word to the checkpoints in the box, and the reference.
import { fileURLToPath } from 'node:url';
import { pipeline } from 'longformer';
import { createReferenceBackend } from 'longformer/reference';
import { openCheckpoint } from 'longformer/runtime/node';

const models = fileURLToPath(new URL('./models/', import.meta.resolve('longformer/package.json')));
const model = `${models}needle-qa`;
const answer = await pipeline('question-answering', model, { threads: 2 });
const context =
  'The access code of Delia is 31C. A visitor left two glass plates on table 4. The access code of Oskar is 48K.';
const best = await answer({ question: 'What is the access code of Oskar?', context });
await answer.dispose();

const fill = await pipeline('fill-mask', `${models}documentation-mlm`);
const [word] = await fill('If the file does not exist, an <mask> is raised.');
await fill.dispose();

const reference = await createReferenceBackend().loadLongformer(await openCheckpoint(model));
const [output] = await reference.forward([
  { inputIds: Int32Array.of(0, 5, 6, 7, 2), globalAttentionMask: new Int32Array(5) },
]);
if (best.answer !== '48K' || context.slice(best.start, best.end) !== '48K')
  throw new Error(`answered ${JSON.stringify(best)}`);
if (word.token_str !== ' exception') throw new Error(`filled in ${JSON.stringify(word)}`);
if (!Number.isFinite(output.startLogits.data[0])) throw new Error('the reference answered nothing');
console.log(`ok: ${best.answer}, certain to ${(100 * best.score).toFixed(1)} %`);
