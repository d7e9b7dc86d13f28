"""Writes the LED models and the cases of levels led, led-step and generation, as generate.py does for the others.

Usage: python generate_led.py [--only PREFIX] [--root DIRECTORY]
led: every tensor of Hugging Face in float64, agreeing with the dense oracle to 1e-11. led-step: HF's cached logits, agreeing with its uncached
ones. generation: the ids that HF writes in float64, with the smallest distance between two things it had to choose between.
"""
import argparse
import json
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import save as to_safetensors

import dense_oracle_led
from generate import AGREEMENT, NEWEST, assemble
from hf_led import prompt_length, run_generation, run_led, run_steps
from hf_run import float64_softmax
from led_cases import all_led_cases
from models import LED_MODELS, OLDER, make_model

LEVELS = ("led", "led-step", "generation")
CLOSE = 2**-15  # a margin below this is lost in float32: scores of about 10, each with some dozen roundings


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="level/name prefix")
    parser.add_argument("--root", default=str(pathlib.Path(__file__).resolve().parent.parent))
    options = parser.parse_args()
    root = pathlib.Path(options.root)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    version = int(transformers.__version__.split(".")[0])
    cases = list(all_led_cases())
    names = [f"{level}/{name}" for level, name, _ in cases]
    assert len(set(names)) == len(names), "two cases of one name"
    if not options.only:
        if version == NEWEST:
            remove_others(root, names)
        for name in LED_MODELS:
            if (name in OLDER) == (version != NEWEST):
                write_model(root, name)
    worst, count, tied = 0.0, 0, 0
    for id, (level, name, settings) in zip(names, cases):
        if settings.get("transformers", NEWEST) == version and id.startswith(options.only):
            record, apart = write_case(root, level, name, settings)
            worst, count = max(worst, apart), count + 1
            tied += any(each.get("tied", False) for each in record.get("expected", {}).values())
    print(f"{count} cases, {tied} tied; two ways in float64 differ by at most {worst:.1e} relative")


def remove_others(root, names):
    for level in LEVELS:
        for folder in (root / "cases" / level).glob("*"):
            if f"{level}/{folder.name}" not in names:
                shutil.rmtree(folder)


def write_model(root, name):
    folder = root / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    make_model(name).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def config_of(root, name, overrides):
    return json.loads((root / "models" / name / "config.json").read_text()) | overrides


def model_with(root, name, overrides, dtype):
    """The checkpoint as it lies in models/, with another config."""
    config = config_of(root, name, overrides)
    architecture = getattr(transformers, config["architectures"][0])
    model = architecture.from_pretrained(root / "models" / name, config=transformers.LEDConfig(**config)).to(dtype).eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()  # where a weight lies in memory decides how float32 products are rounded
    model.tie_weights()
    return model


def write_case(root, level, name, settings):
    overrides = settings.get("config", {})
    source = settings.get("source", "hf")
    inputs = settings["inputs"]
    refused = settings.get("expectedError")
    record = {
        "format": 1,
        "level": level,
        "name": name,
        "description": settings["description"],
        "source": "hand" if refused else source,
        "generator": {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "seed": 0, "script": "generate_led.py"},
        "model": settings["model"],
        "config": overrides,
    }
    if level == "generation":
        record["options"] = settings["options"]
    tensors = {f"input.{key}": value.clone().contiguous() for key, value in inputs.items()}
    record["inputs"] = sorted(inputs)
    apart = 0.0
    if refused:
        record["expectedError"] = refused
    else:
        compute = {"led": compute_led, "led-step": compute_steps, "generation": compute_generation}[level]
        with torch.no_grad():
            expected, notes, apart = compute(root, settings, overrides)
        for key, value in expected.items():
            assert torch.isfinite(value).all(), f"{level}/{name}: {key} is not finite"
        record["expected"] = {key: notes[key] for key in sorted(expected)}
        tensors |= {f"expected.{key}": value.clone().contiguous() for key, value in expected.items()}
    record["exercises"] = settings["exercises"]
    folder = root / "cases" / level / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.json").write_text(json.dumps(record, indent=2) + "\n")
    (folder / "tensors.safetensors").write_bytes(to_safetensors(tensors))
    return record, apart


def note(exact, rounded):
    return {"spread": (exact - rounded.double()).abs().max().item(), "max": exact.abs().max().item()}


def distance(one, other, what):
    assert one.shape == other.shape, f"{what}: {one.shape} and {other.shape}"
    apart = ((one - other).abs().max() / one.abs().max().clamp(min=1e-30)).item()
    assert apart < AGREEMENT, f"{what} differs by {apart}"
    return apart


def in_float64(root, settings, overrides, run):
    with float64_softmax():
        return run(model_with(root, settings["model"], overrides, torch.float64))


def compute_led(root, settings, overrides):
    inputs, what = settings["inputs"], settings["description"]
    config = config_of(root, settings["model"], overrides)
    oracle = {dtype: run_oracle(root, settings, overrides, config, dtype) for dtype in (torch.float32, torch.float64)}
    exact, rounded = oracle[torch.float64], oracle[torch.float32]
    apart = 0.0
    hf_overrides = {key: value for key, value in overrides.items() if key != "attention_dilation"}
    undefined = settings.get("undefined", {})
    if settings.get("source", "hf") == "hf" or undefined:
        hf = in_float64(root, settings, hf_overrides, lambda model: run_led(model, inputs))
        assert all(value.dtype == torch.float64 for value in hf.values()) and hf.keys() == exact.keys()
        for key, value in hf.items():
            keep = value.clone(), exact[key].clone()
            if not key.startswith("encoder"):
                for row, before in undefined.items():  # rows of the target that see nothing: HF's own are left out of the comparison
                    for each in keep:
                        (each[row, :, :before] if "attentions" in key else each[row, :before]).zero_()
            apart = max(apart, distance(*keep, f"{what}: {key}"))
        if not undefined:
            exact = hf
            rounded = run_led(model_with(root, settings["model"], hf_overrides, torch.float32), inputs)
    notes = {key: note(value, rounded[key]) for key, value in exact.items()}
    warn_of_tight(notes, exact, oracle[torch.float32], f"led: {what}")
    return exact, notes, apart


def run_oracle(root, settings, overrides, config, dtype):
    """The dense oracle on every row, in HF's batch."""
    inputs = settings["inputs"]
    kept = {key: value for key, value in overrides.items() if key != "attention_dilation"}
    model = model_with(root, settings["model"], kept, dtype)
    weights = {key.removeprefix("led."): value.to(dtype) for key, value in model.state_dict().items()}
    rows = range(len(next(iter(inputs.values()))))
    runs = [dense_oracle_led.led({key: value[row] for key, value in inputs.items()}, weights, config, type(model).__name__) for row in rows]
    result = {key: torch.stack([run[key] for run, _ in runs]) for key in runs[0][0]}
    for index in range(config["encoder_layers"]):
        assembled = assemble([attentions[index] for _, attentions in runs], config, dtype)
        result |= {f"encoder_{key}.{index}": value for key, value in assembled.items()}
    return result


def warn_of_tight(notes, exact, honest, what):
    """A lucky spread would fail honest float32 ports: the dense oracle in float32 stands for them."""
    for key, value in exact.items():
        allowed = 2 * (notes[key]["spread"] + 2**-23 * notes[key]["max"]) or 1
        used = (honest[key].double() - value).abs().max().item() / allowed
        if not used <= 1:
            print(f"warning: {what}: {key}: an honest float32 needs {used:.2f} of the budget", file=sys.stderr)


def compute_steps(root, settings, overrides):
    inputs = settings["inputs"]
    exact = in_float64(root, settings, overrides, lambda model: run_steps(model, inputs))
    uncached = in_float64(root, settings, overrides, lambda model: run_steps(model, inputs, cached=False))
    apart = max(distance(value, uncached[key], f"{settings['description']}: {key}") for key, value in exact.items())
    rounded = run_steps(model_with(root, settings["model"], overrides, torch.float32), inputs)
    notes = {key: note(value, rounded[key]) for key, value in exact.items()}
    honest = run_steps(model_with(root, settings["model"], overrides, torch.float32), inputs, cached=False)
    warn_of_tight(notes, exact, honest, f"led-step: {settings['description']}")
    return exact, notes, apart


def compute_generation(root, settings, overrides):
    inputs, options, what = settings["inputs"], settings["options"], settings["description"]
    ids, scores, margin, seen = in_float64(root, settings, overrides, lambda model: run_generation(model, inputs, options))
    other_ids, other_scores, _, other_seen = run_generation(model_with(root, settings["model"], overrides, torch.float32), inputs, options)
    tied = margin < CLOSE
    same = ids.shape == other_ids.shape and bool((ids == other_ids).all())
    assert same or tied, f"{what}: float32 writes something else, with a margin of {margin}"
    expected = {"sequences": ids}
    notes = {"sequences": {"exact": True, "margin": min(margin, 1e9), "tied": tied}}
    if scores is not None:
        assert scores.dtype == torch.float64
        expected["sequences_scores"] = scores
        # One number may be rounded well by luck: the spread is that of the scores of single steps, as they add up in the longest text.
        own = (scores - other_scores.double()).abs().max().item() if same else 0.0
        steps = [(a - b.double())[torch.isfinite(a)].abs().max().item() for a, b in zip(seen, other_seen)] if same else [CLOSE]
        length = ids.shape[1] - prompt_length(inputs, options)
        added = max(steps) * length**0.5 / length ** options.get("length_penalty", 1.0)
        notes["sequences_scores"] = {"spread": max(own, added), "max": scores.abs().max().item(), **({"tied": True} if tied else {})}
    return expected, notes, 0.0


if __name__ == "__main__":
    sys.exit(main())
