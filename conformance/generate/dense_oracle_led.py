"""LED as the formula, one document at a time: the second opinion on Hugging Face's, and the only one on what HF leaves undefined.

The encoder's attention is dense_oracle.attention under other names; the decoder is written with explicit masks.
"""
import math

import torch

from dense_oracle import ACTIVATIONS, attention, dense, layer_norm, masked_softmax, split_heads, states_of

EPS = 1e-5  # LED has no field for it


def table(weights, config, user):
    if config.get("tie_word_embeddings", True):
        return weights["shared.weight"]
    return weights["lm_head.weight" if user == "lm_head" else f"{user}.embed_tokens.weight"]


def embed(side, words, weights):
    positions = weights[f"{side}.embed_positions.weight"][: len(words)]
    return layer_norm(words + positions, weights, f"{side}.layernorm_embedding", EPS)


def feed_forward(x, weights, name, config):
    fed = dense(ACTIVATIONS[config["activation_function"]](dense(x, weights, f"{name}.fc1")), weights, f"{name}.fc2")
    return layer_norm(fed + x, weights, f"{name}.final_layer_norm", EPS)


def words_of(side, document, weights, config):
    prefix = "decoder_" if side == "decoder" else ""
    words = table(weights, config, side)
    if f"{prefix}inputs_embeds" in document:
        return document[f"{prefix}inputs_embeds"].to(words.dtype)
    ids = document.get(f"{prefix}input_ids")
    if ids is None:  # the source shifted right
        ids = torch.cat([torch.tensor([config["decoder_start_token_id"]]), document["input_ids"][:-1]])
    return words[ids]


def encoder(document, weights, config):
    """Returns hidden states (L + 1 of (T, C)) and probabilities of each layer (local, global or None)."""
    x = embed("encoder", words_of("encoder", document, weights, config), weights)
    states = states_of(len(x), document.get("attention_mask"), document.get("global_attention_mask"))
    heads = config["encoder_attention_heads"]
    hidden, attentions = [x], []
    for index in range(config["encoder_layers"]):
        name = f"encoder.layers.{index}"
        window = config["attention_window"]
        window = window[index] if isinstance(window, list) else window
        dilation = config.get("attention_dilation", 1)
        dilation = dilation[index] if isinstance(dilation, list) else dilation
        dilation = dilation if isinstance(dilation, list) else [dilation] * heads
        projections = f"{name}.self_attn.longformer_self_attn"
        attended, local, global_ = attention(x, weights, projections, states, heads, window // 2, dilation, False)
        x = layer_norm(dense(attended, weights, f"{name}.self_attn.output") + x, weights, f"{name}.self_attn_layer_norm", EPS)
        x = feed_forward(x, weights, name, config)
        hidden.append(x)
        attentions.append((local, global_))
    return hidden, attentions


def attend(x, others, allowed, weights, name, heads):
    """allowed (U, keys). Returns the projected sum (U, C) and probabilities (H, U, keys); a row that may see nothing has zeros."""
    q, k, v = (split_heads(dense(of, weights, f"{name}.{part}_proj"), heads) for of, part in ((x, "q"), (others, "k"), (others, "v")))
    probs = masked_softmax(q @ k.transpose(1, 2) / math.sqrt(q.shape[2]), allowed[None].expand(heads, -1, -1))
    attended = (probs @ v).transpose(0, 1).reshape(x.shape)
    return dense(attended, weights, f"{name}.out_proj"), probs


def decoder(document, source, weights, config):
    """Returns hidden states (L + 1 of (U, C)) and probabilities of each layer (self, cross)."""
    x = embed("decoder", words_of("decoder", document, weights, config), weights)
    heads = config["decoder_attention_heads"]
    own = document.get("decoder_attention_mask", torch.ones(len(x), dtype=torch.long)).bool()
    past = torch.ones(len(x), len(x), dtype=torch.bool).tril() & own[None]
    read = document.get("attention_mask", torch.ones(len(source), dtype=torch.long)).bool()[None].expand(len(x), -1)
    hidden, attentions = [x], []
    for index in range(config["decoder_layers"]):
        name = f"decoder.layers.{index}"
        projected, own_probs = attend(x, x, past, weights, f"{name}.self_attn", heads)
        x = layer_norm(projected + x, weights, f"{name}.self_attn_layer_norm", EPS)
        projected, cross_probs = attend(x, source, read, weights, f"{name}.encoder_attn", heads)
        x = layer_norm(projected + x, weights, f"{name}.encoder_attn_layer_norm", EPS)
        x = feed_forward(x, weights, name, config)
        hidden.append(x)
        attentions.append((own_probs, cross_probs))
    return hidden, attentions


def head(architecture, last, document, weights, config):
    if architecture == "LEDForConditionalGeneration":
        return {"logits": last @ table(weights, config, "lm_head").T + weights["final_logits_bias"][0]}
    if architecture == "LEDForQuestionAnswering":
        both = dense(last, weights, "qa_outputs")
        return {"start_logits": both[:, 0], "end_logits": both[:, 1]}
    if architecture == "LEDForSequenceClassification":
        end = (document["input_ids"] == config["eos_token_id"]).nonzero()[-1, 0]
        inner = torch.tanh(dense(last[end], weights, "classification_head.dense"))
        return {"logits": dense(inner, weights, "classification_head.out_proj")}
    return {}


def led(document, weights, config, architecture):
    """All outputs of one document; and the probabilities of each encoder layer, which depend on the batch in HF."""
    hidden, attentions = encoder(document, weights, config)
    own, pairs = decoder(document, hidden[-1], weights, config)
    result = {"last_hidden_state": own[-1], "encoder_last_hidden_state": hidden[-1]}
    result |= {f"encoder_hidden_states.{step}": value for step, value in enumerate(hidden)}
    result |= {f"decoder_hidden_states.{step}": value for step, value in enumerate(own)}
    for index, (own_probs, cross_probs) in enumerate(pairs):
        result |= {f"decoder_attentions.{index}": own_probs, f"cross_attentions.{index}": cross_probs}
    return result | head(architecture, own[-1], document, weights, config), attentions
