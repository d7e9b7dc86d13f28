"""A held-out document of about 4,096 tokens with its questions, for people who want to try the checkpoint in the box.

    python write_sample.py ../needle-qa
"""
import json
import random
import sys
from pathlib import Path

from needle_documents import make_document
from transformers import AutoTokenizer

directory = Path(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(directory)
rng = random.Random(2_000_003)
sentences = 255
while True:
    document = make_document(rng, 24, sentences)
    longest = max(len(tokenizer(fact.question, document.text)["input_ids"]) for fact in document.facts)
    if longest <= 4096:
        break
    sentences -= 1
(directory / "sample-document.txt").write_text(document.text + "\n")
questions = [{"question": fact.question, "answer": fact.code, "start": start} for fact, start in zip(document.facts, document.starts)]
(directory / "sample-questions.json").write_text(json.dumps(questions, indent=1) + "\n")
print(longest, "tokens with the longest question")
