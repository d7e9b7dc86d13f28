"""Trains the LED in the box: it reads a report and writes its headline, then counts on held-out reports how often it is right.

    python train_headline.py --out ../headline-led

What made it learn, in the order of weight:
- a loss on three heads, which are told where to look. In the encoder's last layer the two words that a sentence tells look at the
  sentence's name. In the decoder's first layer words after the name look at the name. In its last layer each word that is to be copied
  looks at the token of the report that it is copied from. With the loss of the words alone names and sentences stay unmatched;
- reports from 128 to 1,024 tokens, people from 3 to 10;
- positions of the encoder are sinusoids and stay as they are. A report's begin at a random offset, so that all 4,096 are used.
"""
import argparse
import json
import random
import time
from collections import defaultdict
from pathlib import Path

import torch
from byte_level_tokenizer import train_tokenizer
from headline_documents import headline_corpus, make_report
from torch import nn
from torch.nn.functional import cross_entropy
from train_needle import sinusoids
from transformers import GenerationConfig, LEDConfig, LEDForConditionalGeneration

MAX_TOKENS, FEATURES = 4096, 80
#         steps  batch  tokens  people
STAGES = [(1200, 32, 128, 3), (700, 16, 320, 6), (250, 8, 1024, 10)]
HELD_OUT_SEED = 1_000_003  # training uses small seeds


class OffsetPositions(nn.Embedding):
    """The encoder's position table, read from `first` on: Hugging Face's LED has no position_ids."""

    first = 0

    def forward(self, shape, past=0):
        return super().forward(torch.arange(self.first, self.first + shape[1]))


def make_model(vocab_size: int, seed: int) -> LEDForConditionalGeneration:
    torch.manual_seed(seed)
    model = LEDForConditionalGeneration(LEDConfig(
        vocab_size=vocab_size, d_model=FEATURES, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=160, decoder_ffn_dim=160, attention_window=16,
        max_encoder_position_embeddings=MAX_TOKENS, max_decoder_position_embeddings=32, init_std=0.05, dropout=0.0,
        attention_dropout=0.0, activation_dropout=0.0, pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
    ))
    encoder = model.led.encoder
    with torch.no_grad():
        model.led.shared.weight.normal_(0, 0.3)
        model.led.shared.weight[1] = 0
        encoder.embed_positions.weight.copy_(sinusoids(MAX_TOKENS, FEATURES))
    encoder.embed_positions.weight.requires_grad_(False)
    encoder.embed_positions.__class__ = OffsetPositions
    model.generation_config = GenerationConfig(
        bos_token_id=0, eos_token_id=2, pad_token_id=1, decoder_start_token_id=2, max_length=32, num_beams=4, early_stopping=True,
    )
    return model


def draw(rng: random.Random, tokenizer, tokens: int, people: int):
    """A report that is not longer than `tokens`, and its row."""
    sentences = max(0, (tokens - 8 - 15 * people) // 13)
    while True:
        report = make_report(rng, people, sentences)
        row = tokenizer(report.text, return_offsets_mapping=True)
        if len(row["input_ids"]) <= tokens:
            return report, row
        sentences = max(0, sentences - 1)


class Batches:
    """Reports as tensors, and for each word of a headline that is copied the token of the report it is copied from."""

    def __init__(self, tokenizer, seed: int):
        self.tokenizer, self.rng = tokenizer, random.Random(seed)
        # <s> Applause for NAME : METAL PRIZE and a speech in the SIDE ROOM </s>: where a headline's copies are.
        probe = tokenizer("Applause for Miriam: silver cup and a speech in the north tower")["input_ids"]
        pieces = [tokenizer.decode([token]).strip() for token in probe]
        self.copies = [pieces.index(word) for word in ("Miriam", "silver", "cup", "north", "tower")]
        self.length = len(probe)

    def next(self, batch: int, tokens: int, people: int):
        ids, labels = torch.full((batch, tokens), 1), torch.full((batch, self.length), -100)
        sources, told = torch.zeros(batch, len(self.copies), dtype=torch.long), []
        for b in range(batch):
            while True:
                report, row = draw(self.rng, self.tokenizer, tokens, people)
                headline = self.tokenizer(report.headline)["input_ids"]
                if len(headline) == self.length:
                    break
            length = len(row["input_ids"])
            ids[b, :length] = torch.tensor(row["input_ids"])
            labels[b] = torch.tensor(headline)
            token = {span[0]: t for t, span in enumerate(row["offset_mapping"]) if span[1] > span[0]}
            prize, place = token[report.prize], token[report.place]
            sources[b] = torch.tensor([token[report.lead], prize, prize + 1, place, place + 1])
            told += [(b, token[word] + more, token[name] - token[word] - more) for name, word in report.sentences for more in (0, 1)]
        return ids, labels, sources, torch.tensor(told)


def looking(output, copies: list, sources: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
    """Minus the log of what the three heads pay where they are to look, mean over words, summed over heads."""
    name, *others = copies
    # (B, heads, S, globals + 2w + 1): column 0 is <s>, then the band.
    band = output.encoder_attentions[-1]
    own = band[told[:, 0], 0, told[:, 1], 1 + (band.shape[-1] - 2) // 2 + told[:, 2]]
    # (B, heads, T, T): row t holds word t - 1 and predicts word t.
    back = output.decoder_attentions[0][:, 0, others, name + 1]
    # (B, heads, T, S)
    copied = output.cross_attentions[-1][:, 0, copies].gather(2, sources[:, :, None])
    return sum(-paid.clamp_min(1e-9).log().mean() for paid in (own, back, copied))


def evaluate(directory: Path, documents: int) -> dict:
    """Exact headlines, greedy and with 4 beams, by number of people, by length and by how far the three facts stand apart."""
    from transformers import AutoTokenizer

    model = LEDForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    rng = random.Random(HELD_OUT_SEED)
    result = {}
    reports = []
    for number in range(documents):
        people, tokens = (6, 10, 14)[number % 3], (1024, 2048, 4096, 4096)[number // 3 % 4]
        reports.append((people, tokens, *draw(rng, tokenizer, tokens, people)))
    for beams in (1, 4):
        groups = defaultdict(lambda: defaultdict(list))
        for people, tokens, report, row in reports:
            ids = torch.tensor([row["input_ids"]])
            mask = torch.zeros_like(ids)
            mask[0, 0] = 1
            with torch.no_grad():
                written = model.generate(ids, attention_mask=torch.ones_like(ids), global_attention_mask=mask, num_beams=beams)
            right = tokenizer.decode(written[0], skip_special_tokens=True) == report.headline
            facts = (report.lead, report.prize, report.place)
            apart = min(4, int(5 * (max(facts) - min(facts)) / len(report.text)))
            groups["people"][people].append(right)
            groups["about tokens"][tokens].append(right)
            groups["facts apart, of the report"][f"{20 * apart}-{20 * apart + 20} %"].append(right)
            groups["all"]["all"].append(right)
        every = groups.pop("all")["all"]
        result["greedy" if beams == 1 else f"{beams} beams"] = {
            "exactMatch": round(sum(every) / len(every), 4), "documents": len(every),
            "rightOfAll": {
                name: {str(key): [sum(values), len(values)] for key, values in sorted(group.items())} for name, group in groups.items()
            },
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--documents", type=int, default=240, help="held-out reports")
    parser.add_argument("--only-evaluate", action="store_true")
    options = parser.parse_args()
    if not options.only_evaluate:
        train(options)
    result = evaluate(options.out, options.documents)
    (options.out / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def train(options) -> None:
    tokenizer = train_tokenizer(headline_corpus(random.Random(options.seed), 3000), 1000, options.out, MAX_TOKENS)
    model = make_model(len(tokenizer), options.seed)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=options.rate, weight_decay=0.01, betas=(0.9, 0.98))
    total = sum(steps for steps, *_ in STAGES)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.rate, total_steps=total, pct_start=0.1)
    batches, offsets = Batches(tokenizer, options.seed), random.Random(options.seed)
    begun, step = time.time(), 0
    model.train()
    for steps, batch, tokens, people in STAGES:
        for _ in range(steps):
            ids, labels, sources, told = batches.next(batch, tokens, people)
            start = torch.zeros_like(ids)
            start[:, 0] = 1
            model.led.encoder.embed_positions.first = offsets.randrange(MAX_TOKENS - tokens + 1)
            output = model(
                input_ids=ids, attention_mask=(ids != 1).long(), global_attention_mask=start, labels=labels, output_attentions=True,
            )
            attention = looking(output, batches.copies, sources, told)
            loss = output.loss + attention
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            if step % 50 == 0:
                right = (output.logits.argmax(-1) == labels).all(1).float().mean().item()
                print(f"{time.time() - begun:6.0f} s, step {step}/{total}, {people} people: words {output.loss.item():.3f}, "
                      f"looks {attention.item():.3f}, exact {right:.2f}", flush=True)
    model.half().save_pretrained(options.out)
    provenance = {
        "script": "models/train/train_headline.py", "seed": options.seed,
        "stages": [dict(zip(("steps", "batch", "tokens", "people"), stage)) for stage in STAGES],
        "learningRate": options.rate, "torch": torch.__version__, "minutes": round((time.time() - begun) / 60, 1),
        "text": "synthetic, written by models/train/headline_documents.py",
    }
    (options.out / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")


if __name__ == "__main__":
    main()
