"""A held-out report of about 4,096 tokens and its headline, for people who want to try the LED in the box.

    python write_sample_report.py ../headline-led
"""
import random
import sys
from pathlib import Path

from train_headline import MAX_TOKENS, draw
from transformers import AutoTokenizer

directory = Path(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(directory)
rng = random.Random(2_000_003)
while True:
    report, row = draw(rng, tokenizer, MAX_TOKENS, 14)
    facts = (report.lead, report.prize, report.place)
    if max(facts) - min(facts) > 0.8 * len(report.text):
        break
(directory / "sample-report.txt").write_text(report.text + "\n")
(directory / "sample-headline.txt").write_text(report.headline + "\n")
print(len(row["input_ids"]), "tokens:", report.headline)
