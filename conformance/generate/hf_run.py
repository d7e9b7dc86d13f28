"""Hugging Face, run twice: in float32 as users run it, and in float64 with nothing rounded to float32 on the way."""
import contextlib

import torch


@contextlib.contextmanager
def float64_softmax():
    """HF asks its softmax for float32. While this is open, a float64 input stays float64."""
    original = torch.nn.functional.softmax

    def softmax(tensor, dim=None, _stacklevel=3, dtype=None):
        return original(tensor, dim=dim, dtype=None if tensor.dtype == torch.float64 else dtype)

    torch.nn.functional.softmax = softmax
    try:
        yield
    finally:
        torch.nn.functional.softmax = original


def pad_length(length, window):
    largest = max(window) if isinstance(window, list) else window
    return (largest - length % largest) % largest


def run_layer(model, level, index, inputs):
    """One attention or one layer. Pads with masked rows of zeros, as LongformerModel pads its input, and cuts again."""
    backbone = getattr(model, "longformer", model)
    hidden = inputs["hidden_states"].to(next(model.parameters()).dtype)
    rows, length, _ = hidden.shape
    mask = inputs.get("attention_mask", torch.ones(rows, length, dtype=torch.long))
    state = mask * (inputs.get("global_attention_mask", torch.zeros_like(mask)) + 1)
    extra = pad_length(length, backbone.config.attention_window)
    hidden = torch.nn.functional.pad(hidden, (0, 0, 0, extra))
    state = torch.nn.functional.pad(state, (0, extra))
    signs = (state.double() - 1).to(hidden.dtype) * 10000.0  # negative, 0, positive: only the sign is looked at
    module = backbone.encoder.layer[index]
    if level == "attention":
        module = module.attention.self
    outputs = module(
        hidden, attention_mask=signs, is_index_masked=signs < 0, is_index_global_attn=signs > 0,
        is_global_attn=bool((signs > 0).any()), output_attentions=True,
    )
    result = {
        "attn_output" if level == "attention" else "layer_output": outputs[0][:, :length],
        "attentions": outputs[1].transpose(1, 2)[:, :, :length],
    }
    if len(outputs) > 2:
        result["global_attentions"] = outputs[2].transpose(2, 3)
    return result


def run_model(model, inputs):
    """A whole model with every output it has, by name."""
    dtype = next(model.parameters()).dtype
    arguments = {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}
    outputs = model(**arguments, output_hidden_states=True, output_attentions=True, return_dict=True)
    result = {}
    for name in ("last_hidden_state", "pooler_output", "logits", "start_logits", "end_logits"):
        if outputs.get(name) is not None:
            result[name] = outputs[name]
    result.setdefault("last_hidden_state", outputs.hidden_states[-1])
    for name in ("hidden_states", "attentions", "global_attentions"):
        for index, value in enumerate(outputs.get(name) or ()):
            result[f"{name}.{index}"] = value
    return result
