#!/usr/bin/env bash
# Packs Node, Dawn, the kernels, the oracle and this benchmark for a Linux x64 machine with a GPU and no network; there it runs them.
#
#   benchmarks/gpu/pack.sh OUT.tar.gz          here, after `npm ci`: writes one archive (about 60 MB; Node is most of it)
#   tar xzf OUT.tar.gz && longformer-gpu/run.sh   there: oracle, encoder, kernels, decoding, peers; writes results/table.md
#
# run.sh passes its arguments to benchmarks/gpu/encoder.ts; DECODING holds those of decoding.ts, PEERS those of peers/huggingface.py.
# Peers run when PYTHON (default python3) has torch with CUDA and transformers; PEERS with --device runs them anywhere.
# The machine needs the vendor's Vulkan driver. The loader is packed too; VK_DRIVER_FILES names the driver's json when it is not found.
set -euo pipefail
out=$(realpath -m "${1:?usage: pack.sh OUT.tar.gz}")
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"

loader=$(ldconfig -p | awk '/libvulkan\.so\.1 .*x86-64/ { print $NF; exit }')
[ -n "$loader" ] || { echo 'libvulkan.so.1 is not installed here (Debian: libvulkan1)' >&2; exit 1; }
[ -f wasm/build/kernels-baseline.wasm ] || { echo 'wasm/build is missing: npm run build:wasm' >&2; exit 1; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
to=$folder/longformer-gpu
mkdir -p "$to"/{bin,lib,node_modules/webgpu/dist}
cp "$(realpath node_modules/node/bin/node)" "$to/bin/node"
cp -L "$loader" "$to/lib/libvulkan.so.1"
cp node_modules/webgpu/{index.js,package.json,LICENSE.md} "$to/node_modules/webgpu/"
cp -r node_modules/webgpu/dist/linux-x64 "$to/node_modules/webgpu/dist/"
for package in ajv fast-deep-equal fast-uri json-schema-traverse require-from-string; do cp -r "node_modules/$package" "$to/node_modules/"; done
cp -r package.json contract runtime gpu conformance "$to/"
mkdir -p "$to/benchmarks/gpu"
cp -r benchmarks/gpu/*.ts benchmarks/gpu/peers "$to/benchmarks/gpu/"
find "$to/runtime" "$to/gpu" "$to/conformance" \( -name '*.test.ts' -o -name generate -o -name vectors \) -prune -exec rm -rf {} +

cat > "$to/run.sh" <<'RUN'
#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"
export LD_LIBRARY_PATH="$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
mkdir -p results
for weights in ${WEIGHTS:-float32 float16}; do
  bin/node benchmarks/gpu/encoder.ts --weights "$weights" --json "results/webgpu-$weights.json" "$@" 2>&1 | tee "results/webgpu-$weights.txt" ||
    echo "webgpu with $weights weights did not finish" | tee -a "results/webgpu-$weights.txt"
  bin/node benchmarks/gpu/decoding.ts --weights "$weights" --json "results/decoding-$weights.json" ${DECODING:-} 2>&1 | tee "results/decoding-$weights.txt" ||
    echo "decoding with $weights weights did not finish" | tee -a "results/decoding-$weights.txt"
done
if [[ "${PEERS:-}" == *--device* ]] || "${PYTHON:-python3}" -c 'import torch, transformers; assert torch.cuda.is_available()' 2>/dev/null; then
  "${PYTHON:-python3}" benchmarks/gpu/peers/huggingface.py --json results/peers.json ${PEERS:-} 2>&1 | tee results/peers.txt ||
    echo 'the peers did not finish' | tee -a results/peers.txt
else
  echo 'no torch with CUDA and transformers: the peers were not run' | tee results/peers.txt
fi
bin/node benchmarks/gpu/table.ts results | tee results/table.md
RUN
chmod +x "$to/run.sh"
tar -C "$folder" -czf "$out" longformer-gpu
echo "$out: $(du -h "$out" | cut -f1)"
