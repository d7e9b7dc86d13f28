"""Exact match on held-out documents of up to 4,096 tokens, by depth of the fact and by number of facts.

    python evaluate_needle.py ../needle-qa --documents 300
    python evaluate_needle.py ../needle-qa-local --no-global
"""
import argparse
import json
import random
from collections import defaultdict
from pathlib import Path

import torch
from needle_documents import make_document
from transformers import AutoTokenizer, LongformerForQuestionAnswering

HELD_OUT_SEED = 1_000_003  # training uses small seeds


def answer(model, tokenizer, question: str, text: str, use_global: bool) -> str:
    row = tokenizer(question, text, return_offsets_mapping=True, return_tensors="pt")
    spans = row.pop("offset_mapping")[0]
    ids = row["input_ids"]
    first = ids[0].tolist().index(2) + 2
    mask = torch.zeros_like(ids)
    if use_global:
        mask[0, : first - 2] = 1
    with torch.no_grad():
        output = model(input_ids=ids, global_attention_mask=mask)
    starts, ends = output.start_logits[0, first:-1], output.end_logits[0, first:-1]
    scores = torch.triu(starts[:, None] + ends[None, :]) - torch.triu(torch.full((len(starts),) * 2, 1e9), 15)
    scores = scores.masked_fill(torch.tril(torch.ones_like(scores), -1).bool(), -1e9)
    start, end = divmod(int(scores.argmax()), len(starts))
    return text[spans[first + start][0] : spans[first + end][1]].strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--no-global", action="store_true")
    parser.add_argument("--documents", type=int, default=300)
    options = parser.parse_args()
    model = LongformerForQuestionAnswering.from_pretrained(options.checkpoint, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(options.checkpoint)
    rng = random.Random(HELD_OUT_SEED)
    by_depth, by_facts, by_length = defaultdict(list), defaultdict(list), defaultdict(list)
    for number in range(options.documents):
        facts = (21, 24, 30, 40)[number % 4]
        tokens = (1024, 2048, 4096, 4096)[number // 4 % 4]
        sentences = max(facts, (tokens - 14 * facts) // 15)
        while True:
            document = make_document(rng, facts, sentences)
            index = rng.randrange(facts)
            fact = document.facts[index]
            length = len(tokenizer(fact.question, document.text)["input_ids"])
            if length <= 4096:
                break
            sentences -= 2
        right = answer(model, tokenizer, fact.question, document.text, not options.no_global) == fact.code
        depth = document.starts[index] / len(document.text)
        by_depth[f"{int(10 * depth) * 10}-{int(10 * depth) * 10 + 10} %"].append(right)
        by_facts[facts].append(right)
        by_length[tokens].append(right)
    table = {
        name: {str(key): [sum(values), len(values)] for key, values in sorted(groups.items())}
        for name, groups in (("depth", by_depth), ("facts", by_facts), ("about tokens", by_length))
    }
    every = [right for group in by_facts.values() for right in group]
    result = {"exactMatch": round(sum(every) / len(every), 4), "documents": len(every), "rightOfAll": table}
    (options.checkpoint / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
