"""What Hugging Face's pipelines (transformers 4.57.6, the last with question answering) say to 200 texts.

    python pipelines.py ../pipelines

Writes one tokenizer, a tiny random checkpoint for each head, and cases.json: inputs, options and results. Character positions are
code points, as Python counts. Read by conformance/pipelines.test.ts.
"""
import json
import random
import sys
from pathlib import Path

import torch
import transformers
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    LongformerConfig,
    LongformerForMaskedLM,
    LongformerForMultipleChoice,
    LongformerForQuestionAnswering,
    LongformerForSequenceClassification,
    LongformerForTokenClassification,
    LongformerModel,
    LongformerTokenizerFast,
    pipeline,
)

transformers.logging.set_verbosity_error()
WORDS = (
    "the a of to in and is was for on that with as by from at this are which it river stone paper light window house garden "
    "letter morning evening winter summer number question answer reader writer teacher student city street market bridge "
    "Ada Lovelace Alan Turing Grace Hopper London Paris Berlin Zürich São Köln red green blue seven eleven quickly slowly never"
).split()
STRANGE = ["naïve", "café", "東京", "🙂", "👩‍🚀", "e\u0301", "שלום", "مرحبا", "Ωmega", "ﬁne", "don't", "it's", "3.14", "(x)", "—", "…", "a\u00a0b", "\n", "\t", "  "]


def sentence(rng, words):
    parts = [rng.choice(STRANGE) if rng.random() < 0.15 else rng.choice(WORDS) for _ in range(words)]
    text = " ".join(parts)
    return text[:1].upper() + text[1:] + rng.choice([".", "!", "?", "", " ."])


def text(rng, words):
    out = []
    while words > 0:
        n = min(words, rng.randrange(3, 14))
        out.append(sentence(rng, n))
        words -= n
    return " ".join(out)


def make_tokenizer(rng, directory):
    bpe = ByteLevelBPETokenizer()
    texts = [text(rng, 40) for _ in range(400)]
    bpe.train_from_iterator(texts, vocab_size=499, min_frequency=2, show_progress=False, special_tokens=["<s>", "<pad>", "</s>", "<unk>"])
    directory.mkdir(parents=True, exist_ok=True)
    bpe.save_model(str(directory))
    vocab = json.loads((directory / "vocab.json").read_text())
    vocab["<mask>"] = len(vocab)
    (directory / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    files = (str(directory / "vocab.json"), str(directory / "merges.txt"))
    LongformerTokenizerFast(*files, model_max_length=256).save_pretrained(directory)
    for name in files:
        Path(name).unlink()  # tokenizer.json has them
    return LongformerTokenizerFast.from_pretrained(directory)


def make_model(cls, seed, vocab, **extra):
    torch.manual_seed(seed)
    config = LongformerConfig(
        vocab_size=vocab, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, attention_window=8,
        max_position_embeddings=258, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        sep_token_id=2, initializer_range=0.35, **extra,
    )
    model = cls(config).eval()
    with torch.no_grad():  # heads that have opinions
        for name, weight in model.named_parameters():
            if name.split(".")[0] in ("classifier", "qa_outputs", "lm_head") and weight.dim() == 2 and "decoder" not in name:
                weight.mul_(2)
    return model


def plain(value):
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value.item() if hasattr(value, "item") else value


def main(out: Path) -> None:
    rng = random.Random(20_24)
    tokenizer = make_tokenizer(rng, out / "tokenizer")
    cases = []

    def save(name, model):
        model.save_pretrained(out / name)
        (out / name / "generation_config.json").unlink(missing_ok=True)

    def add(task, model, inputs, options, result):
        cases.append({"task": task, "model": model, "inputs": inputs, "options": options, "result": plain(result)})

    fill = make_model(LongformerForMaskedLM, 1, len(tokenizer))
    save("masked-lm", fill)
    run = pipeline("fill-mask", model=fill, tokenizer=tokenizer)
    for number in range(34):
        words = text(rng, rng.randrange(2, 60)).split(" ")
        for _ in range(1 if number % 3 else 2):
            words.insert(rng.randrange(len(words) + 1), "<mask>")
        given = " ".join(words)
        options = {} if number % 4 else {"top_k": 3}
        if number % 5 == 4:
            options["targets"] = ["Ġriver", "Ġstone", " window"]
        add("fill-mask", "masked-lm", given, options, run(given, **options))

    labels = {0: "bad", 1: "fair", 2: "good", 3: "great"}
    named = {"id2label": labels, "label2id": {label: number for number, label in labels.items()}}
    several = make_model(LongformerForSequenceClassification, 2, len(tokenizer), **named)
    save("sequence-classification", several)
    single = make_model(LongformerForSequenceClassification, 3, len(tokenizer), num_labels=1)
    save("regression", single)
    multiple = make_model(LongformerForSequenceClassification, 4, len(tokenizer), problem_type="multi_label_classification", **named)
    save("multi-label", multiple)
    for name, model, count in (("sequence-classification", several, 20), ("regression", single, 7), ("multi-label", multiple, 7)):
        run = pipeline("text-classification", model=model, tokenizer=tokenizer)
        for number in range(count):
            given = text(rng, rng.randrange(1, 80))
            if number % 6 == 5:
                given = {"text": given, "text_pair": text(rng, 12)}
            sigmoid, none = {"top_k": 2, "function_to_apply": "sigmoid"}, {"top_k": None, "function_to_apply": "none"}
            options = [{"top_k": None}, {"top_k": 1}, sigmoid, none][number % 4]
            add("text-classification", name, given, options, run([given], **options)[0])

    tags = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}
    numbers = {tag: number for number, tag in tags.items()}
    tagger = make_model(LongformerForTokenClassification, 5, len(tokenizer), id2label=tags, label2id=numbers)
    save("token-classification", tagger)
    run = pipeline("token-classification", model=tagger, tokenizer=tokenizer)
    for number in range(40):
        given = text(rng, rng.randrange(1, 50) if number < 34 else 150)
        options = {"aggregation_strategy": ["none", "simple", "first", "average", "max"][number % 5]}
        if number % 7 == 6:
            options["ignore_labels"] = ["O", "LOC"]
        if number >= 34:
            options = {"aggregation_strategy": ["simple", "first", "max"][number % 3], "stride": 20}
            run = pipeline("token-classification", model=tagger, tokenizer=tokenizer, **options)
            add("token-classification", "token-classification", given, options, run(given))
            continue
        add("token-classification", "token-classification", given, options, run(given, **options))

    qa = make_model(LongformerForQuestionAnswering, 6, len(tokenizer))
    save("question-answering", qa)
    run = pipeline("question-answering", model=qa, tokenizer=tokenizer)
    for number in range(50):
        question, context = sentence(rng, rng.randrange(2, 8)), text(rng, rng.randrange(3, 60) if number < 42 else 150)
        impossible, tokens = {"handle_impossible_answer": True}, {"align_to_words": False, "top_k": 2}
        options = [{}, {"top_k": 3}, {"max_answer_len": 4}, impossible, tokens][number % 5]
        answer = run(question=question, context=context, max_seq_len=256, doc_stride=64, **options)
        inputs = {"question": question, "context": context}
        add("question-answering", "question-answering", inputs, {**options, "stride": 64}, answer)

    bare = make_model(LongformerModel, 7, len(tokenizer))
    save("bare", bare)
    run = pipeline("feature-extraction", model=bare, tokenizer=tokenizer)
    for _ in range(20):
        given = text(rng, rng.randrange(1, 60))
        rows = run(given)[0]
        mean = [sum(column) / len(rows) for column in zip(*rows)]
        add("feature-extraction", "bare", given, {}, {"tokens": len(rows), "cls": rows[0], "mean": mean})

    choice = make_model(LongformerForMultipleChoice, 8, len(tokenizer))
    save("multiple-choice", choice)
    for _ in range(22):
        prompt, choices = text(rng, 15), [sentence(rng, rng.randrange(2, 9)) for _ in range(rng.randrange(2, 5))]
        batch = tokenizer([prompt] * len(choices), choices, return_tensors="pt", padding=True)
        with torch.no_grad():
            logits = choice(**{key: value[None] for key, value in batch.items()}).logits[0]
        add("multiple-choice", "multiple-choice", {"prompt": prompt, "choices": choices}, {}, logits.softmax(0).tolist())

    whole = {"transformers": transformers.__version__, "torch": torch.__version__, "cases": cases}
    (out / "cases.json").write_text(json.dumps(whole, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(len(cases), "cases")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
