#!/usr/bin/env bash
# Packs the package, installs it as a user would, and runs it on every runtime it promises: the system's Node (20 or later), Node 24,
# the newest Node, Deno and Bun; then as a command, and bundled for a page. Needs dist/ (npm run build) and the package registry.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tarball=$work/$(npm pack --silent --pack-destination "$work")
cp scripts/smoke.mjs "$work/"
cd "$work"
echo '{ "private": true, "type": "module", "allowScripts": { "node": true, "bun": true, "deno": true } }' > package.json
npm install --silent --no-audit --no-fund "$tarball" node@26.10.0 deno@2.9.6 bun@1.4.5
for run in "${SYSTEM_NODE:-node}" "$root/node_modules/.bin/node" node_modules/.bin/node "node_modules/.bin/deno run --allow-all" node_modules/.bin/bun; do
  echo "$run $($run --version 2> /dev/null | head -1): $($run smoke.mjs)"
done
# WGSL by another compiler than Dawn's: Deno's own WebGPU, with float16 weights, on the driver that VULKAN_DRIVER names.
if [ -n "${VULKAN_DRIVER:-}" ]; then
  VK_ICD_FILENAMES=$VULKAN_DRIVER node_modules/.bin/deno run --allow-all --unstable-webgpu node_modules/longformer/dist/cli/main.js \
    conformance --backend webgpu-f16 --only attention,heads,led
fi
# What a user types first, from the package. The CPU time, npx and Node included, is what a machine with nothing else to do shows.
needle=node_modules/longformer/models/needle-qa
TIMEFORMAT='npx longformer answer: %R s until the answer, CPU time %U + %S s'
time PATH="$(dirname "${SYSTEM_NODE:-$(command -v node)}"):$PATH" npx longformer answer --model "$needle" \
  "What is the access code of Delia?" --file "$needle/sample-document.txt" | tee answer.txt
grep -q ' 31C$' answer.txt
# Pages, bundled and minified: no module of Node may be needed, and gpu.js only where it is imported.
mkdir public && cp -r "$needle" public/
page() {
  rm -rf dist
  echo "<script type='module'>$1</script>" > index.html
  "$root/node_modules/.bin/node" "$root/node_modules/vite/bin/vite.js" build --logLevel error > /dev/null
  du -ch dist/assets/*.js | tail -1
  "$root/node_modules/.bin/node" "$root/scripts/smoke-page.mjs"
}
cp -r "$root/node_modules/gpu.js" node_modules/
page 'import { pipeline } from "longformer"; globalThis.pipeline = pipeline;'
if grep -l WebGL2Kernel dist/assets/*.js; then
  echo 'gpu.js is in a bundle that did not ask for it' >&2
  exit 1
fi
page 'import { pipeline } from "longformer"; import { createGpuJsKernels } from "longformer/gpu/gpujs";
  Object.assign(globalThis, { pipeline, createKernels: createGpuJsKernels });'
grep -q WebGL2Kernel dist/assets/*.js
