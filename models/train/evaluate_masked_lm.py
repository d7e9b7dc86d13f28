"""Measures the small masked language model on text it has not seen, in rows as long as those of the training and nearly as long as it
can read: evaluation.json.

    python evaluate_masked_lm.py ../documentation-mlm
"""
import argparse
import json
import math
import random
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from train_masked_lm import TOKENS, documentation, mask, split
from transformers import AutoTokenizer, LongformerForMaskedLM

LONG = 8  # rows in a long one


def measure(model, rows: torch.Tensor, tokenizer) -> dict:
    """15 % of the tokens are to be guessed, masked as in the training."""
    generator = torch.Generator().manual_seed(1_000_003)
    losses, right, count = 0.0, 0, 0
    for at in range(0, len(rows), 16):
        inputs, labels = mask(rows[at : at + 16], tokenizer.mask_token_id, len(tokenizer), generator)
        with torch.no_grad():
            logits, labels = model(input_ids=inputs).logits[labels >= 0], labels[labels >= 0]
        losses += cross_entropy(logits, labels, reduction="sum").item()
        right += (logits.argmax(-1) == labels).sum().item()
        count += len(labels)
    tokens = rows.shape[1]
    return {"tokens": tokens, "maskedTokens": count, "accuracy": round(right / count, 4), "perplexity": round(math.exp(losses / count), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    folder = parser.parse_args().model
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = LongformerForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    texts = documentation()
    random.Random(json.loads((folder / "provenance.json").read_text())["seed"]).shuffle(texts)
    held_out, rows = split(texts, tokenizer)
    inner = held_out[: len(held_out) // LONG * LONG, 1:-1].reshape(-1, LONG * (TOKENS - 2))
    ends = torch.zeros(len(inner), 1, dtype=torch.long)
    long = torch.cat([ends, inner, ends + 2], dim=1)

    counts = torch.bincount(rows.flatten(), minlength=len(tokenizer)).double() + 1
    guessed = held_out[held_out > 3]
    frequencies = -(counts / counts.sum()).log()[guessed].mean().item()
    result = {
        "heldOut": [measure(model, each, tokenizer) for each in (held_out, long)],
        "frequenciesAlone": {"accuracy": round((guessed == counts.argmax()).double().mean().item(), 4), "perplexity": round(math.exp(frequencies), 2)},
    }
    (folder / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
