"""Recomputes every case of source "hf" with the transformers that runs this script, and compares with the stored values.

Usage: python check_version.py        (run.sh does it with transformers 5 and 4, each also on the other's cases)
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
transformers.utils.logging.disable_progress_bar()

worst, count, wrong = 0.0, 0, 0
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
    assert sorted(actual) == sorted(expected), f"{path}: other outputs"
    for name, value in expected.items():
        distance = ((actual[name] - value).abs().max() / value.abs().max().clamp(min=1e-30)).item()
        worst = max(worst, distance)
        if not distance < 1e-11:  # written so that NaN is wrong
            wrong += 1
            print(f"{case['level']}/{case['name']} {name}: {distance}")
    count += 1
print(f"transformers {transformers.__version__}: {count} cases, worst difference {worst:.1e} relative")
sys.exit(0 if count > 0 and wrong == 0 else 1)
