"""Makes a random checkpoint of a real size with transformers, for timing. Nothing of it belongs in the repository.

Usage: python make_checkpoint.py --size base --head LongformerForMaskedLM --out DIRECTORY [--seed 0] [--tokens 512]
Writes config.json, model.safetensors and inputs.safetensors (input_ids, attention_mask, global_attention_mask).
"""
import argparse
import pathlib

import torch
import transformers
from safetensors.torch import save_file

SIZES = {
    "tiny": dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, attention_window=[16, 16]),
    "base": dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, attention_window=[512] * 12),
    "large": dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096, attention_window=[512] * 24),
}

LED_SIZES = {
    "led-tiny": dict(d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
                     encoder_ffn_dim=128, decoder_ffn_dim=128, attention_window=[16, 16]),
    "led-base": dict(d_model=768, encoder_layers=6, decoder_layers=6, encoder_attention_heads=12, decoder_attention_heads=12,
                     encoder_ffn_dim=3072, decoder_ffn_dim=3072, attention_window=[1024] * 6),
    "led-large": dict(d_model=1024, encoder_layers=12, decoder_layers=12, encoder_attention_heads=16, decoder_attention_heads=16,
                      encoder_ffn_dim=4096, decoder_ffn_dim=4096, attention_window=[1024] * 12),
}

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=[*SIZES, *LED_SIZES], default="base")
parser.add_argument("--head", help="default: LongformerForMaskedLM, or LEDForConditionalGeneration")
parser.add_argument("--out", required=True)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--tokens", type=int, default=512)
options = parser.parse_args()

torch.manual_seed(options.seed)
if options.size in LED_SIZES:
    config = transformers.LEDConfig(**LED_SIZES[options.size])  # the other fields of its class are those of the released models
    head = options.head or "LEDForConditionalGeneration"
else:
    config = transformers.LongformerConfig(
        vocab_size=50265, max_position_embeddings=4098, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0,
        eos_token_id=2, sep_token_id=2, **SIZES[options.size],
    )
    head = options.head or "LongformerForMaskedLM"
model = getattr(transformers, head)(config)
model.save_pretrained(options.out)
input_ids = torch.randint(4, 50264, (1, options.tokens))
input_ids[:, 0], input_ids[:, -1] = 0, 2
global_attention_mask = torch.zeros_like(input_ids)
global_attention_mask[:, 0] = 1
save_file(
    {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "global_attention_mask": global_attention_mask},
    str(pathlib.Path(options.out) / "inputs.safetensors"),
)
