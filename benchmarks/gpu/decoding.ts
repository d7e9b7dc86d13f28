/**
 * LED on WebGPU in Node: a source is read once, then beams are decoded step by step, one submit and one wait each.
 *
 * node benchmarks/gpu/decoding.ts [--size base] [--tokens 4096] [--steps 64] [--beams 1,4] [--weights float32] [--dawn OPTION]… [--json FILE]
 *
 * encoder.ts asks the oracle first; run it before this.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createWebGpuKernels, gpuOfNode } from '../../gpu/webgpu/index-node.ts';
import { createBackend } from '../../runtime/engine/backend.ts';
import { type LedSize, syntheticCheckpoint, syntheticLedConfig } from './synthetic-checkpoint.ts';

const { values: options } = parseArgs({
  options: {
    size: { type: 'string', default: 'base' },
    tokens: { type: 'string', default: '4096' },
    steps: { type: 'string', default: '64' },
    beams: { type: 'string', default: '1,4' },
    weights: { type: 'string', default: 'float32' },
    dawn: { type: 'string', multiple: true, default: [] },
    json: { type: 'string' },
  },
});
const [tokens, steps] = [Number(options.tokens), Number(options.steps)];
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const gpu = await gpuOfNode(options.dawn);
const kernels = await createWebGpuKernels({ gpu, weights: options.weights as 'float32' | 'float16' });
const config = syntheticLedConfig(options.size as LedSize, tokens, steps + 1);
const model = await createBackend(kernels).loadLed(syntheticCheckpoint(config));
const source = [{ inputIds: Int32Array.from({ length: tokens }, (_, t) => 4 + ((7919 * t) % (config.vocabSize - 5))) }];

/** Calls are only recorded until somebody reads: the first logits are the end of reading a source. */
async function readSource() {
  const encoded = await model.encode(source);
  const decoding = model.startDecoding(encoded, new Int32Array(1), 1);
  await decoding.prefill(Int32Array.of(2));
  decoding.dispose();
  return encoded;
}
(await readSource()).dispose(); // compiles shaders
let begin = performance.now();
const encoded = await readSource();
const sourceSeconds = (performance.now() - begin) / 1000;
say(`source of ${tokens} tokens, to the first logits: ${sourceSeconds.toFixed(4)} s`);

const decoded: { beams: number; stepSeconds: number; submitsPerStep: number }[] = [];
for (const beams of options.beams.split(',').map(Number)) {
  for (const counts of [false, true]) {
    const decoding = model.startDecoding(encoded, new Int32Array(beams), steps + 1);
    const ids = Int32Array.from({ length: beams }, (_, beam) => 5 + beam);
    // Every beam goes on from another one's past, as in a search.
    const parents = Int32Array.from({ length: beams }, (_, beam) => (beam + 1) % beams);
    await decoding.prefill(ids);
    const { submits } = kernels.statistics;
    begin = performance.now();
    for (let step = 0; step < steps; step++) await decoding.step(ids, parents);
    const stepSeconds = (performance.now() - begin) / 1000 / steps;
    const submitsPerStep = (kernels.statistics.submits - submits) / steps;
    decoding.dispose();
    if (!counts) continue; // the first round compiles shaders
    decoded.push({ beams, stepSeconds, submitsPerStep });
    say(
      `${beams} beams: ${(1000 * stepSeconds).toFixed(3)} ms a step, ${(1 / stepSeconds).toFixed(1)} steps/s, ${submitsPerStep} submits a step`,
    );
  }
}
if (options.json) writeFileSync(options.json, `${JSON.stringify({ options, sourceSeconds, decoded }, null, 2)}\n`);
kernels.dispose();
