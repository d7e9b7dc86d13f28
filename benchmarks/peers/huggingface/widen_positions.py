"""Repeats the position table of a checkpoint until it holds more positions, as the paper's authors widened RoBERTa's 512 to 4,096.

Usage: python widen_positions.py --checkpoint DIRECTORY --out DIRECTORY --tokens 16384
"""
import argparse
import json
import pathlib

from safetensors.torch import load_file, save_file

parser = argparse.ArgumentParser()
parser.add_argument("--checkpoint", required=True)
parser.add_argument("--out", required=True)
parser.add_argument("--tokens", type=int, default=16384)
options = parser.parse_args()

source, target = pathlib.Path(options.checkpoint), pathlib.Path(options.out)
target.mkdir(parents=True, exist_ok=True)
config = json.loads((source / "config.json").read_text())
reserved = config["pad_token_id"] + 1  # rows in front that are no positions
tensors = load_file(source / "model.safetensors")
name = next(name for name in tensors if name.endswith("embeddings.position_embeddings.weight"))
table = tensors[name]
positions = table[reserved:]
repeats = -(-options.tokens // len(positions))
tensors[name] = table.new_empty(reserved + options.tokens, table.shape[1])
tensors[name][:reserved] = table[:reserved]
tensors[name][reserved:] = positions.repeat(repeats, 1)[: options.tokens]
save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
config["max_position_embeddings"] = reserved + options.tokens
(target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
