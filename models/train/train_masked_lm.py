"""Trains the small masked language model in the box on Python's own documentation.

    python train_masked_lm.py --out ../documentation-mlm && python evaluate_masked_lm.py ../documentation-mlm

The text is what the running Python says of itself: its language reference as `pydoc` prints it, and the docstrings of the standard
library. It is under the PSF licence, and none of it is kept in the repository but the words of the vocabulary.
"""
import argparse
import importlib
import inspect
import json
import math
import platform
import random
import re
import sys
import time
import warnings
from pathlib import Path

import torch
from byte_level_tokenizer import train_tokenizer
from torch.nn.functional import cross_entropy
from transformers import LongformerConfig, LongformerForMaskedLM

TOKENS, BATCH, VOCAB, WINDOW, FEATURES = 128, 16, 1500, 32, 96


def documentation() -> list:
    """Texts, sorted, each once. Modules that do something when imported are left alone."""
    from pydoc_data.topics import topics

    texts = set(topics.values())
    skip = {"antigravity", "this", "idlelib", "turtledemo", "test", "lib2to3", "tkinter", "turtle", "__main__"}
    warnings.simplefilter("ignore")
    for name in sorted(sys.stdlib_module_names - skip):
        if name.startswith("_"):
            continue
        try:
            module = importlib.import_module(name)
        except Exception:
            continue
        for thing in [module, *(value for key, value in sorted(vars(module).items()) if not key.startswith("_"))]:
            members = [thing, *(value for key, value in sorted(vars(thing).items()) if not key.startswith("__"))] if inspect.isclass(thing) else [thing]
            for member in members:
                try:
                    text = inspect.getdoc(member)
                except Exception:
                    continue
                if text and len(text) > 80:
                    texts.add(text)
    # One paragraph a line; no tables and no code.
    cleaned = set()
    for text in texts:
        for paragraph in re.split(r"\n\s*\n", text):
            line = re.sub(r"\s+", " ", paragraph).strip()
            if len(line) > 60 and ">>>" not in line and "::=" not in line and sum(c.isalpha() or c == " " for c in line) > 0.85 * len(line):
                cleaned.add(line)
    return sorted(cleaned)


def sinusoids(rows: int, features: int) -> torch.Tensor:
    position = torch.arange(rows, dtype=torch.float64)[:, None]
    rate = torch.exp(torch.arange(0, features, 2, dtype=torch.float64) * (-math.log(10000.0) / features))
    table = torch.zeros(rows, features, dtype=torch.float64)
    table[:, 0::2], table[:, 1::2] = torch.sin(position * rate), torch.cos(position * rate)
    return (0.1 * table).float()


def positions(rows: int) -> torch.Tensor:
    """Sinusoids for the TOKENS that are trained, repeated to the end: the paper's way (section 5) from a short model to a long one.
    Rows 0 and 1 are padding and 2 is <s>, as in RoBERTa. Sinusoids that go on leave 20 % of held-out tokens right in 1,010 tokens."""
    row = torch.arange(rows)
    return sinusoids(TOKENS + 2, FEATURES)[torch.where(row < 3, row, 3 + (row - 3) % (TOKENS - 2))]


def split(texts: list, tokenizer) -> tuple:
    """Texts one after the other, in rows of TOKENS: the first twentieth is held out."""
    stream = [token for text in texts for token in [*tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], 2]]
    length = TOKENS - 2
    rows = torch.tensor([[0, *stream[at : at + length], 2] for at in range(0, len(stream) - length, length)])
    return rows[: len(rows) // 20], rows[len(rows) // 20 :]


def mask(ids: torch.Tensor, mask_id: int, vocab: int, generator: torch.Generator):
    """15 % are to be guessed: of these 80 % become <mask>, 10 % another token, 10 % stay. BERT's rule."""
    chosen = (torch.rand(ids.shape, generator=generator) < 0.15) & (ids > 3)
    labels = torch.where(chosen, ids, -100)
    kind = torch.rand(ids.shape, generator=generator)
    masked = torch.where(chosen & (kind < 0.8), mask_id, ids)
    other = torch.randint(4, vocab - 1, ids.shape, generator=generator)
    return torch.where(chosen & (kind >= 0.9), other, masked), labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    texts = documentation()
    random.Random(options.seed).shuffle(texts)
    tokenizer = train_tokenizer(texts, VOCAB, options.out, 1024)
    held_out, rows = split(texts, tokenizer)
    print(f"{len(texts)} paragraphs, {len(rows)} rows to learn, {len(held_out)} held out", flush=True)

    torch.manual_seed(options.seed)
    model = LongformerForMaskedLM(LongformerConfig(
        vocab_size=len(tokenizer), hidden_size=FEATURES, num_hidden_layers=2, num_attention_heads=6, intermediate_size=192, initializer_range=0.06,
        attention_window=WINDOW, max_position_embeddings=1026, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1,
        bos_token_id=0, eos_token_id=2, sep_token_id=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    ))
    table = model.longformer.embeddings.position_embeddings.weight
    with torch.no_grad():
        table.copy_(positions(1026))
    table.requires_grad_(False)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1.5e-3, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=options.steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(options.seed)
    begun = time.time()
    for step in range(1, options.steps + 1):
        ids = rows[torch.randint(len(rows), (BATCH,), generator=generator)]
        inputs, labels = mask(ids, tokenizer.mask_token_id, len(tokenizer), generator)
        places = labels >= 0
        states = model.longformer(input_ids=inputs).last_hidden_state[places]
        loss = cross_entropy(model.lm_head(states), labels[places])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"{time.time() - begun:6.0f} s, step {step}/{options.steps}: loss {loss.item():.3f}", flush=True)

    model.half().save_pretrained(options.out)
    provenance = {
        "script": "models/train/train_masked_lm.py", "seed": options.seed, "steps": options.steps, "batch": BATCH, "tokens": TOKENS,
        "torch": torch.__version__, "minutes": round((time.time() - begun) / 60, 1),
        "text": f"documentation of Python {platform.python_version()}: pydoc topics and docstrings of the standard library (PSF licence)",
        "paragraphs": len(texts), "rows": len(rows), "heldOutRows": len(held_out),
    }
    (options.out / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")


if __name__ == "__main__":
    main()
