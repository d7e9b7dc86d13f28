"""Recomputes every case of source "hf" with the transformers that runs this script, and compares with the stored values.

Usage: python check_version.py        (for example with transformers 4.57.6, in a venv of its own)
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors import safe_open

from hf_run import float64_softmax, run_layer, run_model

root = pathlib.Path(__file__).resolve().parent.parent
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()

worst, count = 0.0, 0
for path in sorted(root.glob("cases/*/*/case.json")):
    case = json.loads(path.read_text())
    if case["source"] != "hf" or case["level"] == "tokenizer":
        continue
    folder = root / "models" / case["model"]
    config = json.loads((folder / "config.json").read_text()) | case["config"]
    architecture = getattr(transformers, config["architectures"][0])
    model = architecture.from_pretrained(folder, config=transformers.LongformerConfig(**config)).double().eval()
    with safe_open(path.parent / "tensors.safetensors", "pt") as file:
        inputs = {name: file.get_tensor(f"input.{name}") for name in case["inputs"]}
        expected = {name: file.get_tensor(f"expected.{name}") for name in case["expected"]}
    with torch.no_grad(), float64_softmax():
        if case["level"] in ("attention", "layer"):
            actual = run_layer(model, case["level"], case["layer"], inputs)
        else:
            actual = run_model(model, inputs)
    for name, value in expected.items():
        distance = ((actual[name] - value).abs().max() / value.abs().max().clamp(min=1e-30)).item()
        worst = max(worst, distance)
        if not distance < 1e-11:
            print(f"{case['level']}/{case['name']} {name}: {distance}")
    count += 1
print(f"transformers {transformers.__version__}: {count} cases, worst difference {worst:.1e} relative")
sys.exit(0 if worst < 1e-11 else 1)
