"""Writes models/ and cases/ (all levels but tokenizer). Two runs on one kind of CPU give the same bytes.

Run by transformers 5 it writes the models and all cases but a few; those few are written when transformers 4 runs it, from
the models that lie there. Each case records the version it came from.

Usage: python generate.py [--only PREFIX] [--root DIRECTORY]
Expected values are Hugging Face's in float64, or the dense oracle's where Hugging Face has nothing (source "dense-oracle").
Every Hugging Face case is computed by the dense oracle too, and the two must agree to 1e-11.
"""
import argparse
import json
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import save as to_safetensors

import dense_oracle
from cases import all_cases
from hf_run import float64_softmax, pad_length, run_layer, run_model
from models import MODELS, make_model

AGREEMENT = 1e-11  # relative to the largest value of a tensor
SEED = 100
NEWEST = 5  # major version of transformers that writes a case unless the case says otherwise


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
    cases = list(all_cases())
    names = [f"{level}/{name}" for level, name, _ in cases]
    assert len(set(names)) == len(names), "two cases of one name"
    if version == NEWEST and not options.only:
        remove_others(root, names)
        for name in MODELS:
            write_model(root, name)
    apart = {}
    for index, (level, name, settings) in enumerate(cases):
        if settings.get("transformers", NEWEST) == version and names[index].startswith(options.only):
            apart[names[index]] = write_case(root, level, name, settings, SEED + index)
    worst = max(apart.values(), default=0.0)
    print(f"{len(apart)} cases; dense oracle and Hugging Face in float64 differ by at most {worst:.1e} relative")


def remove_others(root, names):
    """Removes the folders of cases that are no longer asked for."""
    for level in ("attention", "layer", "encoder", "heads"):
        for folder in (root / "cases" / level).glob("*"):
            if f"{level}/{folder.name}" not in names:
                shutil.rmtree(folder)


def write_model(root, name):
    folder = root / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    model = make_model(name)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def model_with(root, name, overrides):
    """The checkpoint as it lies in models/, with another config; weights do not depend on what is overridden."""
    folder = root / "models" / name
    config = json.loads((folder / "config.json").read_text()) | overrides
    architecture = getattr(transformers, config["architectures"][0])
    model = architecture.from_pretrained(folder, config=transformers.LongformerConfig(**config)).float().eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()  # where a weight lies in memory decides how float32 products are rounded
    return model


def hidden_states_for(model, rows, seed):
    size = model.config.hidden_size
    return torch.randn(len(rows), rows[0][0], size, generator=torch.Generator().manual_seed(seed))


def layer_inputs(model, settings, seed):
    rows = settings["rows"]
    inputs = {"hidden_states": hidden_states_for(model, rows, seed) * settings.get("scale", 1)}
    length = rows[0][0]
    if any(row[1] is not None for row in rows):
        inputs["attention_mask"] = torch.tensor([row[1] or [1] * length for row in rows])
    if any(row[2] is not None for row in rows):
        inputs["global_attention_mask"] = torch.tensor([row[2] or [0] * length for row in rows])
    return inputs


def write_case(root, level, name, settings, seed):
    """Computes and writes one case. Returns how far dense oracle and HF are apart, relative."""
    overrides = settings.get("config", {})
    source = settings.get("source", "hf")
    refused = settings.get("expectedError")
    is_layer = level in ("attention", "layer")
    record = {
        "format": 1,
        "level": level,
        "name": name,
        "description": settings["description"],
        "source": "hand" if refused else source,
        "generator": {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "seed": seed, "script": "generate.py"},
        "model": settings["model"],
        "config": overrides,
    }
    if is_layer:
        record["layer"] = settings["layer"]
    tensors = {}
    if refused:
        inputs = settings["inputs"]
        record |= {"inputs": sorted(inputs), "expectedError": refused}
        apart = 0.0
    else:
        # What HF would refuse or ignore must not reach it; its place is taken by the dense oracle.
        ignored = ("attention_window", "attention_dilation", "autoregressive") if source == "dense-oracle" else ()
        model = model_with(root, settings["model"], {key: value for key, value in overrides.items() if key not in ignored})
        inputs = layer_inputs(model, settings, seed) if is_layer else settings.get("inputs")
        config = model.config.to_dict() | overrides
        if "embeds" in settings:
            inputs = settings["embeds"](model)
        expected, spread, bounds, apart = compute(model, config, level, settings, inputs, source)
        record["inputs"] = sorted(inputs)
        record["expected"] = {
            key: {"spread": spread[key], "max": value.abs().max().item()} for key, value in sorted(expected.items())
        }
        record["bounds"] = bounds
        tensors |= {f"expected.{key}": value.clone().contiguous() for key, value in expected.items()}
    record["exercises"] = settings["exercises"]
    tensors |= {f"input.{key}": value.clone().contiguous() for key, value in inputs.items()}
    folder = root / "cases" / level / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.json").write_text(json.dumps(record, indent=2) + "\n")
    (folder / "tensors.safetensors").write_bytes(to_safetensors(tensors))
    return apart


def compute(model, config, level, settings, inputs, source):
    """Expected tensors in float64, the spread of float32, bounds, and the distance of the two sources."""
    measure = []
    with torch.no_grad():
        oracle = {dtype: run_oracle(model, config, level, settings, inputs, dtype, measure if dtype == torch.float64 else None) for dtype in (torch.float32, torch.float64)}
        exact, rounded = oracle[torch.float64], oracle[torch.float32]
        apart = 0.0
        if source == "hf":
            rounded = run_hf(model.float(), level, settings, inputs)
            with float64_softmax():
                exact = run_hf(model.double(), level, settings, inputs)
            assert all(value.dtype == torch.float64 for value in exact.values())
            for key, value in exact.items():
                other = oracle[torch.float64][key]
                assert value.shape == other.shape, f"{key}: {value.shape} and {other.shape}"
                distance = ((value - other).abs().max() / value.abs().max().clamp(min=1e-30)).item()
                assert distance < AGREEMENT, f"{settings['description']}: {key} differs by {distance}"
                apart = max(apart, distance)
    for key, value in exact.items():
        assert torch.isfinite(value).all(), f"{settings['description']}: {key} is not finite"
    if settings.get("equals") == "full attention":
        distance = (exact["attn_output"] - full_attention(model.double(), settings["layer"], inputs)).abs().max().item()
        assert distance < AGREEMENT, f"{settings['description']}: differs from full attention by {distance}"
    spread = {key: (exact[key] - rounded[key].double()).abs().max().item() for key in exact}
    for key, value in exact.items():
        # A lucky spread would fail honest float32 ports: the dense oracle in float32 stands for them. FORMAT.md has the budget.
        used = (oracle[torch.float32][key].double() - value).abs().max().item() / (2 * (spread[key] + 2**-23 * value.abs().max().item()) or 1)
        if not used <= 1:
            print(f"warning: {level}: {settings['description']}: {key}: an honest float32 needs {used:.2f} of the budget", file=sys.stderr)
    bounds = {
        "maxScore": max(score for score, _ in measure),
        "maxValue": max(value for _, value in measure),
        "headDim": config["hidden_size"] // config["num_attention_heads"],
    }
    return exact, spread, bounds, apart


def full_attention(model, index, inputs):
    """Plain softmax attention with the local projections: nothing of Longformer in it but the names of the weights."""
    module = model.encoder.layer[index].attention.self
    hidden = inputs["hidden_states"].double()
    mask = inputs["attention_mask"].bool()
    with torch.no_grad():
        query, key, value = (
            part(hidden).unflatten(-1, (module.num_heads, -1)).transpose(1, 2) for part in (module.query, module.key, module.value)
        )
        attended = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
    return attended.transpose(1, 2).flatten(2) * mask[..., None]


def run_hf(model, level, settings, inputs):
    if level in ("attention", "layer"):
        return run_layer(model, level, settings["layer"], inputs)
    return run_model(model, inputs)


def run_oracle(model, config, level, settings, inputs, dtype, measure):
    weights = {key.removeprefix("longformer."): value.to(dtype) for key, value in model.state_dict().items()}
    first = next(iter(inputs.values()))
    if level in ("attention", "layer"):
        compute = dense_oracle.attention_of_layer if level == "attention" else dense_oracle.layer
        rows = []
        for row in range(len(first)):
            document = {key: value[row] for key, value in inputs.items()}
            states = dense_oracle.states_of(len(document["hidden_states"]), document.get("attention_mask"), document.get("global_attention_mask"))
            rows.append(compute(document["hidden_states"].to(dtype), weights, settings["layer"], states, config, measure))
        outputs = {"attn_output" if level == "attention" else "layer_output": torch.stack([row[0] for row in rows])}
        outputs |= assemble([row[1:] for row in rows], config, dtype)
        return outputs
    return oracle_model(weights, config, type(model).__name__, inputs, dtype, measure)


def oracle_model(weights, config, architecture, inputs, dtype, measure):
    """A whole model by the dense oracle, heads and HF's automatic global masks included."""
    choices = next(iter(inputs.values())).shape[1] if architecture.endswith("MultipleChoice") else None
    flat = {key: value.flatten(0, 1) if choices else value for key, value in inputs.items()}
    ids = flat.get("input_ids")
    if "global_attention_mask" not in flat and ids is not None:
        separator = config["sep_token_id"]
        firsts = [(row == separator).nonzero()[0, 0].item() if (row == separator).any() else -1 for row in ids]
        place = torch.arange(ids.shape[1])
        automatic = {
            "LongformerForSequenceClassification": [(place == 0).long() for _ in firsts],
            "LongformerForQuestionAnswering": [(place < first).long() for first in firsts],
            "LongformerForMultipleChoice": [(place > first + 1).long() for first in firsts],
        }.get(architecture)
        if automatic:
            flat["global_attention_mask"] = torch.stack(automatic)
    rows = range(len(next(iter(flat.values()))))
    runs = [dense_oracle.encoder({key: value[row] for key, value in flat.items()}, weights, config, measure) for row in rows]
    last = torch.stack([hidden[-1] for hidden, _ in runs])
    result = {f"hidden_states.{step}": torch.stack([hidden[step] for hidden, _ in runs]) for step in range(config["num_hidden_layers"] + 1)}
    result["last_hidden_state"] = last
    for index in range(config["num_hidden_layers"]):
        assembled = assemble([attentions[index] for _, attentions in runs], config, dtype)
        result |= {f"{key}.{index}": value for key, value in assembled.items()}

    def dense(x, name):
        return dense_oracle.dense(x, weights, name)

    if architecture == "LongformerModel":
        result["pooler_output"] = torch.tanh(dense(last[:, 0], "pooler.dense"))
    elif architecture == "LongformerForMaskedLM":
        transformed = dense_oracle.gelu(dense(last, "lm_head.dense"))
        normed = dense_oracle.layer_norm(transformed, weights, "lm_head.layer_norm", config["layer_norm_eps"])
        result["logits"] = normed @ weights["lm_head.decoder.weight"].T + weights["lm_head.decoder.bias"]
    elif architecture == "LongformerForSequenceClassification":
        result["logits"] = dense(torch.tanh(dense(last[:, 0], "classifier.dense")), "classifier.out_proj")
    elif architecture == "LongformerForTokenClassification":
        result["logits"] = dense(last, "classifier")
    elif architecture == "LongformerForQuestionAnswering":
        both = dense(last, "qa_outputs")
        result |= {"start_logits": both[..., 0], "end_logits": both[..., 1]}
    elif architecture == "LongformerForMultipleChoice":
        pooled = torch.tanh(dense(last[:, 0], "pooler.dense"))
        result["logits"] = dense(pooled, "classifier").reshape(-1, choices)
    return result


def assemble(rows, config, dtype):
    """Probabilities of documents → HF's batch: columns for the largest number of globals, uniform empty slots."""
    most = max(0 if global_ is None else global_.shape[1] for _, global_ in rows)
    local_rows, global_rows = [], []
    for local, global_ in rows:
        heads, length, _ = local.shape
        own = 0 if global_ is None else global_.shape[1]
        empty = torch.zeros(heads, length, most - own, dtype=dtype)
        local_rows.append(torch.cat([local[:, :, :own], empty, local[:, :, own:]], dim=-1))
        padded = length + pad_length(length, config["attention_window"])
        slots = torch.full((heads, padded, most), 1 / padded, dtype=dtype)
        slots[:, :, :own] = 0
        if own:
            slots[:, :length, :own] = global_.transpose(1, 2)
        global_rows.append(slots)
    result = {"attentions": torch.stack(local_rows)}
    if most:
        result["global_attentions"] = torch.stack(global_rows)
    return result


if __name__ == "__main__":
    sys.exit(main())
