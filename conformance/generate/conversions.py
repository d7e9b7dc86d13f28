"""Tiny RoBERTa and BART checkpoints and what they compute, for the conversions to Longformer and LED.

    python conversions.py ../conversions

The authors' own layouts of Longformer and LED are written from the same numbers, so that reading them must give the same results.
"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import BartConfig, BartForConditionalGeneration, RobertaConfig, RobertaForMaskedLM

out = Path(sys.argv[1])
common = dict(vocab_size=60, pad_token_id=1, bos_token_id=0, eos_token_id=2)


def peaked(model):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, parameter.shape[1] ** -0.5 * 1.5)
    return model.double().eval()


def save(model, name, **expected):
    model.float().save_pretrained(out / name)
    (out / name / "generation_config.json").unlink(missing_ok=True)
    save_file({key: value.contiguous() for key, value in expected.items()}, str(out / name / "expected.safetensors"))


torch.manual_seed(1)
roberta = peaked(RobertaForMaskedLM(RobertaConfig(
    **common, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, max_position_embeddings=34,
    type_vocab_size=1, layer_norm_eps=1e-5,
)).float()).float().double()
ids = torch.tensor([[0, *range(10, 37), 2]])
with torch.no_grad():
    logits = roberta(input_ids=ids).logits
save(roberta, "roberta", input_ids=ids, logits=logits)

torch.manual_seed(2)
bart = peaked(BartForConditionalGeneration(BartConfig(
    **common, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=24,
    decoder_ffn_dim=24, max_position_embeddings=32, decoder_start_token_id=2, forced_eos_token_id=None,
)).float()).float().double()
targets = torch.tensor([[2, 5, 6, 7, 8]])
with torch.no_grad():
    logits = bart(input_ids=ids, decoder_input_ids=targets).logits
save(bart, "bart", input_ids=ids, decoder_input_ids=targets, logits=logits)


def authors(name, source, rename, extra, change):
    tensors = {}
    for key, tensor in load_file(out / source / "model.safetensors").items():
        new = rename(key)
        tensors[new] = tensor
        if any(f".{part}." in new for part in ("query", "key", "value")) and "decoder" not in new:
            for part in ("query", "key", "value"):
                if f".{part}." in new:
                    tensors[new.replace(f".{part}.", f".{part}_global.")] = tensor.clone()
    config = json.loads((out / source / "config.json").read_text())
    config.update(attention_mode="sliding_chunks", attention_window=[40, 40], attention_dilation=[1, 1], autoregressive=False, **extra)
    change(config, tensors)
    (out / name).mkdir(parents=True, exist_ok=True)
    (out / name / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, str(out / name / "model.safetensors"), metadata={"format": "pt"})


def led_name(key):
    key = key.replace("self_attn.out_proj", "self_attn.output") if ".encoder." in key else key
    if ".encoder." in key:
        for old, new in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value")):
            key = key.replace(f"self_attn.{old}", f"self_attn.longformer_self_attn.{new}")
    return key


def longer_source(config, tensors):
    table = tensors["model.encoder.embed_positions.weight"]
    tensors["model.encoder.embed_positions.weight"] = torch.cat([table[:2], table[2:], table[2:]])
    config.update(max_encoder_position_embeddings=64, max_decoder_position_embeddings=32)
    del config["max_position_embeddings"]


authors("authors-longformer", "roberta", lambda key: key, {}, lambda config, tensors: None)
authors("authors-led", "bart", led_name, {}, longer_source)
print(sum(f.stat().st_size for f in out.rglob("*") if f.is_file()), "bytes")
