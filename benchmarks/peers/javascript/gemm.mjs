/**
 * Other people's matrix products on one thread, timed when asked: the peers of benchmarks/kernels.ts, with the same conversation.
 *
 *     node gemm.mjs --library onnxruntime-web|onnxruntime-node|tfjs-wasm                  answers requests from standard input
 *     node gemm.mjs --library tfjs-wasm --shapes 768x768,768x3072,3072x768 --rows 4096    measures and prints, without a partner
 *
 * First line out: {"library"}. Then for each line in, {"kernel": "linear", "rows", "inFeatures", "outFeatures"}: {"seconds",
 * "cpuSeconds", "probe"}. The product has a bias, constant weights, and inputs that are already where the library wants them.
 */
import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { linearModel } from './onnx-model.mjs';

const { values: options } = parseArgs({
  options: {
    library: { type: 'string' },
    shapes: { type: 'string' },
    rows: { type: 'string', default: '4096' },
    runs: { type: 'string', default: '10' },
  },
});

/** The same numbers on both sides: small, of both signs, and not in step with any dimension. */
const numbers = (count, factor, modulus) =>
  Float32Array.from({ length: count }, (_, i) => ((factor * i) % modulus) / modulus - 0.5);

/** A linear layer, ready to run: () → (rows, outFeatures). */
const makers = {
  'onnxruntime-web': async shape => {
    const ort = await import('onnxruntime-web/wasm');
    ort.env.wasm.numThreads = 1;
    return await onnxLayer(ort, shape, { executionProviders: ['wasm'] });
  },
  'onnxruntime-node': async shape => {
    const { default: ort } = await import('onnxruntime-node');
    return await onnxLayer(ort, shape, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  },
  'tfjs-wasm': async ({ rows, inFeatures, outFeatures, input, weight, bias }) => {
    const tf = await import('@tensorflow/tfjs-core');
    const backend = await import('@tensorflow/tfjs-backend-wasm');
    const folder = dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json'));
    backend.setWasmPaths(folder + sep + 'dist' + sep);
    backend.setThreadsCount(1);
    // With threads it would spread over workers of its own, whatever the count says.
    tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
    await tf.setBackend('wasm');
    const a = tf.tensor2d(input, [rows, inFeatures]);
    const b = tf.tensor2d(weight, [inFeatures, outFeatures]);
    const c = tf.tensor1d(bias);
    let last;
    return {
      run: async () => {
        last?.dispose();
        last = tf.fused.matMul({ a, b, transposeA: false, transposeB: false, bias: c });
      },
      result: () => last.dataSync(),
    };
  },
};

async function onnxLayer(ort, { rows, inFeatures, outFeatures, input, weight, bias }, settings) {
  const session = await ort.InferenceSession.create(linearModel(inFeatures, outFeatures, weight, bias), settings);
  const feeds = { input: new ort.Tensor('float32', input, [rows, inFeatures]) };
  let last;
  return {
    run: async () => {
      last = (await session.run(feeds)).output;
    },
    result: () => last.data,
  };
}

const layers = new Map();

async function measure({ rows, inFeatures, outFeatures }) {
  const name = `${rows}x${inFeatures}x${outFeatures}`;
  if (!layers.has(name)) {
    const input = numbers(rows * inFeatures, 7919, 1013);
    const weight = numbers(inFeatures * outFeatures, 6007, 997);
    const bias = numbers(outFeatures, 31, 89);
    layers.set(name, await makers[options.library]({ rows, inFeatures, outFeatures, input, weight, bias }));
  }
  const { run, result } = layers.get(name);
  const cpuBefore = process.cpuUsage();
  const before = performance.now();
  await run();
  const seconds = (performance.now() - before) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const values = result();
  const probe = Array.from({ length: 32 }, (_, i) => values[Math.floor((i * (values.length - 1)) / 31)]);
  return { seconds, cpuSeconds: (user + system) / 1e6, probe };
}

const say = answer => console.log(JSON.stringify(answer));

say({ library: options.library });
if (options.shapes) {
  for (const shape of options.shapes.split(',')) {
    const [inFeatures, outFeatures] = shape.split('x').map(Number);
    const rows = Number(options.rows);
    const seconds = [];
    await measure({ rows, inFeatures, outFeatures });
    for (let run = 0; run < Number(options.runs); run++) {
      seconds.push((await measure({ rows, inFeatures, outFeatures })).seconds);
    }
    const fastest = Math.min(...seconds);
    const gflops = (2 * rows * inFeatures * outFeatures) / fastest / 1e9;
    say({ library: options.library, rows, inFeatures, outFeatures, fastestSeconds: fastest, gflops });
  }
} else {
  for await (const line of createInterface({ input: process.stdin })) say(await measure(JSON.parse(line)));
}
process.exit(); // some libraries keep timers or workers
