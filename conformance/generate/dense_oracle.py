"""Longformer as the formula: softmax over an explicit T x T mask, one document at a time.

A second opinion on Hugging Face for everything HF can run, and the only source for what it cannot: dilation, causal bands,
windows that do not divide each other, windows of one token on each side. No chunks, no padding to a window, no batch axis.
The dtype of the weights decides the precision. Masked scores are left out of the softmax instead of made very small.
"""
import math

import torch


def dense(x, weights, name):
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


def layer_norm(x, weights, name, eps):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * weights[name + ".weight"] + weights[name + ".bias"]


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


ACTIVATIONS = {
    "gelu": gelu,
    "gelu_new": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: torch.clamp(x, min=0),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "tanh": torch.tanh,
}


def masked_softmax(scores, allowed):
    """Softmax over the allowed entries of each row; rows without any are zero."""
    highest = torch.where(allowed, scores, torch.full_like(scores, -torch.inf)).amax(-1, keepdim=True)
    highest = torch.where(torch.isfinite(highest), highest, torch.zeros_like(highest))
    weights = torch.where(allowed, torch.exp(torch.where(allowed, scores - highest, 0 * scores)), 0 * scores)
    total = weights.sum(-1, keepdim=True)
    return torch.where(total > 0, weights / torch.where(total > 0, total, torch.ones_like(total)), 0 * weights)


def split_heads(x, heads):
    return x.reshape(x.shape[0], heads, -1).transpose(0, 1)  # (H, T, D)


def attention(x, weights, name, states, heads, one_sided, dilation, causal, measure=None):
    """x (T, C), states (T) of 0 masked, 1 local, 2 global.

    Returns attended (T, C), local probabilities (H, T, G + 2 one_sided + 1) and global ones (H, G, T).
    """
    length, width = x.shape
    scale = math.sqrt(width // heads)
    states = torch.as_tensor(states)
    i = torch.arange(length)[:, None]
    j = torch.arange(length)[None, :]
    real = states > 0
    is_global = states == 2
    in_time = (j <= i) if causal else torch.ones(length, length, dtype=torch.bool)
    step = torch.as_tensor(dilation)[:, None, None]
    in_band = ((j - i).abs()[None] <= one_sided * step) & ((j - i)[None] % step == 0)  # (H, T, T)
    allowed = (in_band | is_global[None, None, :]) & real[None, None, :] & in_time[None] & (states == 1)[None, :, None]

    q, k, v = (split_heads(dense(x, weights, f"{name}.{part}"), heads) for part in ("query", "key", "value"))
    scores = q @ k.transpose(1, 2) / scale
    probs = masked_softmax(scores, allowed)  # (H, T, T)
    attended = (probs @ v).transpose(0, 1).reshape(length, width)
    if measure is not None:
        measure.append((scores[allowed].abs().max().item() if allowed.any() else 0.0, v.abs().max().item()))

    globals_ = torch.nonzero(is_global)[:, 0]
    local = torch.zeros(heads, length, len(globals_) + 2 * one_sided + 1, dtype=x.dtype)
    local[:, :, : len(globals_)] = probs[:, :, globals_]
    for head in range(heads):
        for column in range(-one_sided, one_sided + 1):
            for row in range(length):
                key = row + column * int(dilation[head])
                if 0 <= key < length and not is_global[key]:
                    local[head, row, len(globals_) + one_sided + column] = probs[head, row, key]
    if len(globals_) == 0:
        return attended, local, None

    q, k, v = (split_heads(dense(x, weights, f"{name}.{part}_global"), heads) for part in ("query", "key", "value"))
    scores = q @ k.transpose(1, 2) / scale
    allowed = (real[None, :] & in_time)[None].expand(heads, -1, -1)
    probs = masked_softmax(scores, allowed)
    rows = (probs @ v).transpose(0, 1).reshape(length, width)
    attended[globals_] = rows[globals_]
    if measure is not None:
        seen = scores[:, globals_][allowed[:, globals_]]
        measure.append((seen.abs().max().item(), v.abs().max().item()))
    return attended, local, probs[:, globals_]


def layer(x, weights, index, states, config, measure=None):
    """Returns the layer's output (T, C) and its probabilities."""
    name = f"encoder.layer.{index}"
    eps = config["layer_norm_eps"]
    attended, local, global_ = attention_of_layer(x, weights, index, states, config, measure)
    projected = dense(attended, weights, f"{name}.attention.output.dense")
    a = layer_norm(projected + x, weights, f"{name}.attention.output.LayerNorm", eps)
    fed = dense(ACTIVATIONS[config["hidden_act"]](dense(a, weights, f"{name}.intermediate.dense")), weights, f"{name}.output.dense")
    return layer_norm(fed + a, weights, f"{name}.output.LayerNorm", eps), local, global_


def attention_of_layer(x, weights, index, states, config, measure=None):
    heads = config["num_attention_heads"]
    window = config["attention_window"]
    window = window[index] if isinstance(window, list) else window
    dilation = config.get("attention_dilation", 1)
    dilation = dilation[index] if isinstance(dilation, list) else dilation
    dilation = dilation if isinstance(dilation, list) else [dilation] * heads
    causal = config.get("autoregressive", False)
    name = f"encoder.layer.{index}.attention.self"
    return attention(x, weights, name, states, heads, window // 2, dilation, causal, measure)


def position_ids(input_ids, pad):
    positions, count = [], 0
    for token in input_ids:
        count += token != pad
        positions.append(pad + count if token != pad else pad)
    return positions


def embeddings(document, weights, config):
    pad = config["pad_token_id"]
    if "input_ids" in document:
        words = weights["embeddings.word_embeddings.weight"][document["input_ids"]]
        positions = position_ids(document["input_ids"].tolist(), pad)
    else:
        words = document["inputs_embeds"].to(weights["embeddings.word_embeddings.weight"].dtype)
        positions = [pad + 1 + t for t in range(len(words))]
    positions = document.get("position_ids", torch.tensor(positions))
    types = document.get("token_type_ids", torch.zeros(len(words), dtype=torch.long))
    summed = words + weights["embeddings.position_embeddings.weight"][positions]
    summed = summed + weights["embeddings.token_type_embeddings.weight"][types]
    return layer_norm(summed, weights, "embeddings.LayerNorm", config["layer_norm_eps"])


def states_of(length, attention_mask=None, global_attention_mask=None):
    ones = torch.ones(length, dtype=torch.long)
    mask = ones if attention_mask is None else attention_mask
    marks = 0 * ones if global_attention_mask is None else global_attention_mask
    return mask * (marks + 1)


def encoder(document, weights, config, measure=None):
    """Returns all hidden states and the probabilities of each layer."""
    x = embeddings(document, weights, config)
    states = states_of(len(x), document.get("attention_mask"), document.get("global_attention_mask"))
    hidden, attentions = [x], []
    for index in range(config["num_hidden_layers"]):
        x, local, global_ = layer(x, weights, index, states, config, measure)
        hidden.append(x)
        attentions.append((local, global_))
    return hidden, attentions
