"""Recomputes every case of source "hf" with the transformers that runs this script, and compares with the stored values.

Usage: python check_version.py        (run.sh does it with transformers 5 and 4, each also on the other's cases)
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors import safe_open

from hf_led import run_generation, run_led, run_steps
from hf_run import float64_softmax, run_layer, run_model

root = pathlib.Path(__file__).resolve().parent.parent
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

# What version 5 does otherwise, so that version 4 cannot give the ids of version 5: a bad word that reaches back to the first token.
CHANGED_IN_5 = {"generation/bad-words-first"}


def can_run(config):
    """Not everything exists in both: classification with LED is gone in 5, and 4 keeps one word table in an untied LED."""
    architecture = config["architectures"][0]
    older = int(transformers.__version__.split(".")[0]) < 5
    return hasattr(transformers, architecture) and not (older and config["model_type"] == "led" and not config.get("tie_word_embeddings", True))


def load(folder, config):
    own = transformers.LEDConfig if config["model_type"] == "led" else transformers.LongformerConfig
    model = getattr(transformers, config["architectures"][0]).from_pretrained(folder, config=own(**config)).double().eval()
    model.tie_weights()
    return model


def run(model, case, inputs):
    level = case["level"]
    if level == "led":
        return run_led(model, inputs)
    if level == "led-step":
        return run_steps(model, inputs)
    if level == "generation":
        ids, scores, _, _ = run_generation(model, inputs, case["options"])
        return {"sequences": ids} | ({} if scores is None else {"sequences_scores": scores})
    if level in ("attention", "layer"):
        return run_layer(model, level, case["layer"], inputs)
    return run_model(model, inputs)


worst, count, wrong, left = 0.0, 0, 0, 0
for path in sorted(root.glob("cases/*/*/case.json")):
    case = json.loads(path.read_text())
    if case["source"] != "hf" or case["level"] == "tokenizer":
        continue
    folder = root / "models" / case["model"]
    config = json.loads((folder / "config.json").read_text()) | case["config"]
    changed = f"{case['level']}/{case['name']}" in CHANGED_IN_5 and int(transformers.__version__.split(".")[0]) < 5
    if changed or not can_run(config):
        left += 1
        continue
    model = load(folder, config)
    with safe_open(path.parent / "tensors.safetensors", "pt") as file:
        inputs = {name: file.get_tensor(f"input.{name}") for name in case["inputs"]}
        expected = {name: file.get_tensor(f"expected.{name}") for name in case["expected"]}
    with torch.no_grad(), float64_softmax():
        actual = run(model, case, inputs)
    assert sorted(actual) == sorted(expected), f"{path}: other outputs"
    for name, value in expected.items():
        if name == "sequences":
            if not torch.equal(actual[name], value):
                wrong += 1
                print(f"{case['level']}/{case['name']}: other ids")
            continue
        distance = ((actual[name] - value).abs().max() / value.abs().max().clamp(min=1e-30)).item()
        worst = max(worst, distance)
        if not distance < 1e-11:  # written so that NaN is wrong
            wrong += 1
            print(f"{case['level']}/{case['name']} {name}: {distance}")
    count += 1
print(f"transformers {transformers.__version__}: {count} cases, {left} it cannot run, worst difference {worst:.1e} relative")
sys.exit(0 if count > 0 and wrong == 0 else 1)
