"""Trains the question answering checkpoint in the box, or its twin without global attention.

    python train_needle.py --out ../needle-qa
    python train_needle.py --out ../needle-qa-local --no-global

Both see the same documents in the same order. What made it learn, in the order of weight:
- an auxiliary loss after the second layer: for each name in the document, is it the one that is asked for? The linear probe
  is thrown away afterwards. With the loss of the answer alone nothing is learned in an hour;
- facts from 4 to 24, documents from 128 to 704 tokens;
- positions are sinusoids and stay as they are. The document's begin at a random offset, so that all 4,096 are used while
  documents are short. No token sees more keys in a long document than in a short one, so nothing else changes with the length.
"""
import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
from byte_level_tokenizer import train_tokenizer
from needle_documents import make_document, tokenizer_corpus
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import LongformerConfig, LongformerForQuestionAnswering

MAX_TOKENS = 4096
#         steps  batch  tokens  facts
STAGES = [(1600, 32, 128, 4), (800, 16, 320, 10), (300, 8, 704, 24)]


def sinusoids(rows: int, features: int) -> torch.Tensor:
    position = torch.arange(rows, dtype=torch.float64)[:, None]
    rate = torch.exp(torch.arange(0, features, 2, dtype=torch.float64) * (-math.log(10000.0) / features))
    table = torch.zeros(rows, features, dtype=torch.float64)
    table[:, 0::2], table[:, 1::2] = torch.sin(position * rate), torch.cos(position * rate)
    return (0.1 * table).float()


def make_model(vocab_size: int, seed: int) -> LongformerForQuestionAnswering:
    torch.manual_seed(seed)
    config = LongformerConfig(
        vocab_size=vocab_size, hidden_size=96, num_hidden_layers=3, num_attention_heads=2, intermediate_size=192,
        attention_window=16, max_position_embeddings=MAX_TOKENS + 2, type_vocab_size=1, layer_norm_eps=1e-5,
        pad_token_id=1, bos_token_id=0, eos_token_id=2, sep_token_id=2, initializer_range=0.05,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )
    model = LongformerForQuestionAnswering(config)
    embeddings = model.longformer.embeddings
    with torch.no_grad():
        embeddings.word_embeddings.weight.normal_(0, 0.3)
        embeddings.word_embeddings.weight[1] = 0
        embeddings.position_embeddings.weight.copy_(sinusoids(MAX_TOKENS + 2, 96))
    embeddings.position_embeddings.weight.requires_grad_(False)
    return model


class Batches:
    """Documents as tensors. The token of each name and of each answer is known, because this program wrote the text."""

    def __init__(self, tokenizer, seed: int):
        self.tokenizer, self.rng = tokenizer, random.Random(seed)

    def next(self, batch: int, tokens: int, facts: int):
        ids = torch.full((batch, tokens), 1)
        mask, asked, positions = torch.zeros(batch, tokens), torch.full((batch, tokens), -1.0), torch.ones(batch, tokens, dtype=torch.long)
        question = torch.zeros(batch, tokens, dtype=torch.long)
        starts, ends = torch.zeros(batch, dtype=torch.long), torch.zeros(batch, dtype=torch.long)
        for b in range(batch):
            while True:
                # 15 tokens a sentence; what is too long is made again.
                document = make_document(self.rng, facts, max(facts - 1, (tokens - 20 - 11 * facts) // 16))
                index = self.rng.randrange(facts)
                fact = document.facts[index]
                row = self.tokenizer(fact.question, document.text, return_offsets_mapping=True)
                length = len(row["input_ids"])
                if length <= tokens:
                    break
            ids[b, :length], mask[b, :length] = torch.tensor(row["input_ids"]), 1
            first = row["input_ids"].index(2) + 2  # of the document
            question[b, : first - 2] = 1
            offset = self.rng.randrange(MAX_TOKENS - length + 1)
            positions[b, :length] = torch.arange(2, length + 2)
            positions[b, first:length] += offset
            spans = row["offset_mapping"]
            for other, begin in zip(document.facts, document.starts):
                name_begin = begin - len(f"{other.name} is ")
                token = next(t for t in range(first, length) if spans[t][0] == name_begin and spans[t][1] > name_begin)
                asked[b, token] = float(other is fact)
            begin = document.starts[index]
            starts[b] = next(t for t in range(first, length) if spans[t][0] == begin and spans[t][1] > begin)
            ends[b] = next(t for t in range(first, length) if spans[t][1] == begin + len(fact.code))
        return ids, mask, positions, question, asked, starts, ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--no-global", action="store_true", help="no token is global, in training or after")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps, to try things out")
    options = parser.parse_args()

    tokenizer = train_tokenizer(tokenizer_corpus(random.Random(options.seed), 20_000), 800, options.out, MAX_TOKENS)
    model = make_model(len(tokenizer), options.seed)
    probe = torch.nn.Linear(model.config.hidden_size, 1)
    parameters = [p for p in [*model.parameters(), *probe.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=options.rate, weight_decay=0.01, betas=(0.9, 0.98))
    stages = [(max(1, int(steps * options.scale)), *rest) for steps, *rest in STAGES]
    total = sum(steps for steps, *_ in stages)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.rate, total_steps=total, pct_start=0.1)
    batches = Batches(tokenizer, options.seed)
    begun, step, log = time.time(), 0, []
    model.train()
    for steps, batch, tokens, facts in stages:
        for _ in range(steps):
            ids, mask, positions, question, asked, starts, ends = batches.next(batch, tokens, facts)
            output = model(
                input_ids=ids, attention_mask=mask, position_ids=positions, output_hidden_states=True,
                global_attention_mask=torch.zeros_like(question) if options.no_global else question,
            )
            answer = cross_entropy(output.start_logits, starts) + cross_entropy(output.end_logits, ends)
            names = asked >= 0
            seen = probe(output.hidden_states[2])[..., 0][names]
            auxiliary = binary_cross_entropy_with_logits(seen, asked[names], pos_weight=torch.tensor(float(facts - 1)))
            loss = answer / 2 + 3 * auxiliary
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            if step % 50 == 0:
                right = ((output.start_logits.argmax(1) == starts) & (output.end_logits.argmax(1) == ends)).float().mean()
                log.append((step, tokens, facts, round(answer.item() / 2, 3), round(auxiliary.item(), 3), round(right.item(), 3)))
                print(f"{time.time() - begun:6.0f} s, step {step}/{total}, {facts} facts: answer {answer.item() / 2:.3f}, "
                      f"name {auxiliary.item():.3f}, exact {right:.2f}", flush=True)
    model.half().save_pretrained(options.out)
    provenance = {
        "script": "models/train/train_needle.py", "seed": options.seed, "globalAttention": not options.no_global,
        "stages": [dict(zip(("steps", "batch", "tokens", "facts"), stage)) for stage in stages],
        "learningRate": options.rate, "torch": torch.__version__, "minutes": round((time.time() - begun) / 60, 1),
        "text": "synthetic, written by models/train/needle_documents.py",
    }
    (options.out / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")


if __name__ == "__main__":
    main()
