"""Writes the tokenizer cases: conformance/cases/tokenizer/<name>/{case.json,texts.jsonl} and the tokenizers they use,
conformance/models/tokenizer-*. Every expected value is what Hugging Face `tokenizers` answers.

Usage: python tokenizer_cases.py [--merges merges.txt]

Deterministic: two runs write the same bytes. --merges is needed once, to bring GPT-2's merges in (see
conformance/models/tokenizer-gpt2/PROVENANCE.md); later runs read them from there.
"""

import argparse
import hashlib
import json
import pathlib
import random
import shutil
import struct

import tokenizers
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from tokenizer_texts import NASTY, NASTY_PAIRS, RULES, WITH_SPECIAL, class_edges, random_text

ROOT = pathlib.Path(__file__).resolve().parents[1]
SEED = 20261123
GPT2_MERGES = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"  # sha256 of OpenAI's vocab.bpe
# Rows with more tokens than this hold digests of ids and offsets.
LARGE = 500


# --- tokenizers -------------------------------------------------------------------------------------------------------


def byte_symbols():
    """Symbols in the order of GPT-2's vocabulary: the bytes that print as themselves, then the others."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) for byte in kept] + [chr(0x100 + i) for i in range(len(others))]


def vocabulary(merges):
    """RoBERTa's four special tokens, the bytes, the merges in order, <mask>."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *byte_symbols(), *("".join(merge) for merge in merges), "<mask>"]
    return {token: i for i, token in enumerate(tokens)}


def build(merges, prefix=False, layout_prefix=None, trim=True, words=True, ignore_merges=False, added=()):
    vocab = vocabulary(merges)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=words)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", vocab["</s>"]),
        ("<s>", vocab["<s>"]),
        trim_offsets=trim,
        add_prefix_space=prefix if layout_prefix is None else layout_prefix,
    )
    tokenizer.add_special_tokens(
        [AddedToken(t, normalized=False) for t in ("<s>", "<pad>", "</s>", "<unk>")]
        + [AddedToken("<mask>", lstrip=True, normalized=False)]
    )
    for token, special in added:
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)([token])
    return tokenizer


def added_tokens():
    return [
        (AddedToken("word", single_word=True, normalized=False), False),
        (AddedToken("left", lstrip=True, normalized=True), False),
        (AddedToken("right", rstrip=True, normalized=False), False),
        (AddedToken("both", lstrip=True, rstrip=True, single_word=True, normalized=True), False),
        (AddedToken(" in blanks ", normalized=False), False),
        (AddedToken("<mask>s", normalized=False), True),
        (AddedToken("<ent", normalized=True), False),
        (AddedToken("<entity>", normalized=True), True),
        (AddedToken("\u00e9t\u00e9\U0001f600", normalized=False), False),
    ]


def write_tokenizers(merges):
    """Name → tokenizer. What is written is read back, so that the files and not the objects answer."""
    small, tiny = merges[:4000], merges[:1000]
    made = {
        "tokenizer-small": build(small),
        "tokenizer-prefix-space": build(tiny, prefix=True),
        "tokenizer-prefix-space-trimmed-away": build(tiny, prefix=True, layout_prefix=False),
        "tokenizer-untrimmed": build(tiny, trim=False),
        "tokenizer-added": build(tiny, added=added_tokens()),
        "tokenizer-uncut": build(tiny, words=False),
        "tokenizer-ignore-merges": build(tiny[:600], ignore_merges=True),
    }
    for name, tokenizer in made.items():
        folder = ROOT / "models" / name
        folder.mkdir(parents=True, exist_ok=True)
        content = json.loads(tokenizer.to_str())
        if name == "tokenizer-ignore-merges":
            # Whole words without the merges that would lead to them.
            for word in ("\u0120whole", "tokeniser"):
                content["model"]["vocab"][word] = 1 + max(content["model"]["vocab"].values())
        text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
        (folder / "tokenizer.json").write_text(text + "\n", encoding="utf-8")
        made[name] = Tokenizer.from_file(str(folder / "tokenizer.json"))

    folder = ROOT / "models" / "tokenizer-gpt2"
    text = json.dumps(vocabulary(merges), ensure_ascii=False, separators=(",", ":"))
    (folder / "vocab.json").write_text(text + "\n", encoding="utf-8")
    made["tokenizer-gpt2"] = build(merges)
    read = models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    made["tokenizer-gpt2"].model = read
    return made


def read_merges(given):
    stored = ROOT / "models" / "tokenizer-gpt2" / "merges.txt"
    if given:
        stored.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(given, stored)
    digest = hashlib.sha256(stored.read_bytes()).hexdigest()
    if digest != GPT2_MERGES:
        raise SystemExit(f"{stored}: sha256 {digest} is not GPT-2's")
    lines = stored.read_text(encoding="utf-8").splitlines()
    return [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]


# --- answers ----------------------------------------------------------------------------------------------------------


def digest(numbers):
    return hashlib.sha256(struct.pack(f"<{len(numbers)}i", *numbers)).hexdigest()


def describe(encoding):
    return {
        "ids": encoding.ids,
        "offsets": [index for span in encoding.offsets for index in span],
        "sequenceIds": [-1 if i is None else i for i in encoding.sequence_ids],
    }


def answer(tokenizer, text, pair=None, **options):
    """One row. options: HF's names; `truncation` False means that nothing is cut."""
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = options.get("split_special_tokens", False)
    row = {}
    try:
        if options.get("truncation", False):
            tokenizer.enable_truncation(
                options["max_length"],
                stride=options.get("stride", 0),
                strategy=options["truncation"],
                direction=options.get("truncation_side", "right"),
            )
        encoding = tokenizer.encode(text, pair, add_special_tokens=options.get("add_special_tokens", True))
    except BaseException as error:  # a failed assertion in Rust arrives as PanicException
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        row["error"] = True
        return row
    answer = describe(encoding)
    if len(encoding.ids) > LARGE:
        row["count"] = len(encoding.ids)
        row["idsSha256"], row["offsetsSha256"] = digest(answer["ids"]), digest(answer["offsets"])
        return row
    row.update(answer)
    if options.get("truncation", False):
        row["overflowing"] = [describe(window) for window in encoding.overflowing]
    else:
        # The encoding's own list holds what stands in the text: " <mask>" with its blank.
        row["tokens"] = [tokenizer.id_to_token(i) for i in encoding.ids]
        row["specialTokensMask"] = encoding.special_tokens_mask
        row["typeIds"] = encoding.type_ids
        row["decoded"] = tokenizer.decode(encoding.ids, skip_special_tokens=False)
        row["decodedWithoutSpecial"] = tokenizer.decode(encoding.ids, skip_special_tokens=True)
    return row


def rows_of(tokenizer, texts, **options):
    rows = []
    for text in texts:
        text, pair = text if isinstance(text, tuple) else (text, None)
        row = {"text": text}
        if pair is not None:
            row["pair"] = pair
        if options:
            row["options"] = options
        rows.append({**row, **answer(tokenizer, text, pair, **options)})
    return rows


def rule_text(rule):
    pieces, (square, linear) = rule["pieces"], rule["step"]
    return "".join(pieces[(i * i * square + i * linear) % len(pieces)] for i in range(rule["count"]))


# --- cases ------------------------------------------------------------------------------------------------------------


def truncation_rows(tokenizer):
    rows = []
    text, pair = NASTY_PAIRS[0]
    for strategy in ("longest_first", "only_first", "only_second"):
        for side in ("right", "left"):
            for max_length in (4, 5, 7, 13, 40, 200):
                for stride in (0, 3):
                    options = dict(truncation=strategy, max_length=max_length, stride=stride, truncation_side=side)
                    rows += rows_of(tokenizer, [(text, pair)], **options)
                    if strategy != "only_second" and side == "right":
                        rows += rows_of(tokenizer, [text], **options)
    options = dict(truncation="longest_first", max_length=6, stride=2, add_special_tokens=False)
    return rows + rows_of(tokenizer, [text, (text, pair), ("", pair), (text, "")], **options)


def border_rows(tokenizer, texts):
    """Every length of cut through texts whose characters are several tokens long."""
    rows = []
    for text in texts:
        for max_length in range(3, 12):
            for stride in (0, 1):
                if stride < max_length - 2:
                    options = dict(truncation="only_first", max_length=max_length, stride=stride)
                    rows += rows_of(tokenizer, [text], **options)
    return rows


def random_rows(tokenizer, count):
    source = random.Random(SEED)
    rows = []
    for _ in range(count):
        text = random_text(source, source.randrange(1, 25))
        pair = random_text(source, source.randrange(0, 25)) if source.random() < 0.4 else None
        options = {}
        if source.random() < 0.5:
            options["truncation"] = source.choice(["longest_first", "only_first"])
            options["max_length"] = source.randrange(8, 30)
            options["stride"] = source.randrange(0, 3)
        if source.random() < 0.2:
            options["add_special_tokens"] = False
        if source.random() < 0.2:
            options["split_special_tokens"] = True
        rows += rows_of(tokenizer, [text if pair is None else (text, pair)], **options)
    return rows


def edge_rows(tokenizer):
    rows = rows_of(tokenizer, class_edges())
    return [{"text": row["text"], "ids": row["ids"]} for row in rows]


def rule_rows(tokenizer):
    rows = []
    for rule in RULES:
        rows.append({"textRule": rule, **answer(tokenizer, rule_text(rule))})
    return rows


def cases(made):
    small, gpt2 = made["tokenizer-small"], made["tokenizer-gpt2"]
    added = made["tokenizer-added"]
    astral = [
        "a\U0001f600b\U0001f468\u200d\U0001f469\u200d\U0001f467 c\U0001f1e9\U0001f1ea",
        "\u6f22\u5b57\U00020bb7\u91ce\u5bb6",
        "e\u0301\u0327n\u0303 \U0001d54f",
    ]
    yield (
        "gpt2-nasty-text",
        "tokenizer-gpt2",
        rows_of(gpt2, NASTY),
        "GPT-2's whole vocabulary, read from vocab.json and merges.txt, on awkward text.",
        [
            "vocab.json and merges.txt",
            "emoji",
            "combining marks",
            "right to left",
            "control characters",
            "contractions",
        ],
    )
    yield (
        "nasty-text",
        "tokenizer-small",
        rows_of(small, NASTY),
        "Awkward text with few merges: most characters are several tokens.",
        ["token inside a character", "blanks of all kinds", "empty text", "only blanks"],
    )
    yield (
        "special-tokens-in-text",
        "tokenizer-small",
        rows_of(small, WITH_SPECIAL) + rows_of(small, WITH_SPECIAL, split_special_tokens=True),
        "Special tokens written by the user, found or taken as ordinary text.",
        ["<mask> swallows blanks before it", "</s> in the text", "split_special_tokens"],
    )
    yield (
        "without-special-tokens",
        "tokenizer-small",
        rows_of(small, WITH_SPECIAL + NASTY_PAIRS, add_special_tokens=False),
        "No tokens around the text.",
        ["add_special_tokens false"],
    )
    yield (
        "pairs",
        "tokenizer-small",
        rows_of(small, NASTY_PAIRS),
        "Two texts: two separators between them, all type ids 0, offsets of each text its own.",
        ["pair layout", "empty texts in pairs"],
    )
    yield (
        "prefix-space",
        "tokenizer-prefix-space",
        rows_of(made["tokenizer-prefix-space"], NASTY + WITH_SPECIAL + NASTY_PAIRS),
        "A blank is put before every stretch of text.",
        ["add_prefix_space", "offsets of an added blank"],
    )
    yield (
        "prefix-space-trimmed-away",
        "tokenizer-prefix-space-trimmed-away",
        rows_of(made["tokenizer-prefix-space-trimmed-away"], NASTY + WITH_SPECIAL),
        "The same, but the post processor does not know of the blank.",
        ["add_prefix_space only in the pre-tokenizer"],
    )
    yield (
        "prefix-space-windows",
        "tokenizer-prefix-space",
        border_rows(made["tokenizer-prefix-space"], [" a  b   c d", "x <mask>y z w v", *astral]),
        "Windows of text with added blanks: the first token of each window is trimmed in its own way.",
        ["trimming of the first token of a window"],
    )
    yield (
        "untrimmed-offsets",
        "tokenizer-untrimmed",
        rows_of(made["tokenizer-untrimmed"], NASTY + WITH_SPECIAL),
        "Offsets with the blanks in them.",
        ["trim_offsets false"],
    )
    yield (
        "added-tokens",
        "tokenizer-added",
        rows_of(added, ADDED_TEXTS) + rows_of(added, ADDED_TEXTS, split_special_tokens=True),
        "Added tokens of every kind.",
        ["single_word", "lstrip", "rstrip", "normalized", "longest match", "blanks inside a token"],
    )
    yield (
        "uncut-words",
        "tokenizer-uncut",
        rows_of(made["tokenizer-uncut"], NASTY + WITH_SPECIAL),
        "Without the word pattern a stretch of text is one word.",
        ["use_regex false"],
    )
    yield (
        "ignore-merges",
        "tokenizer-ignore-merges",
        rows_of(
            made["tokenizer-ignore-merges"], ["whole whole tokeniser", "tokenisers whole", "wholesome", *NASTY[:20]]
        ),
        "Whole words of the vocabulary are not taken apart.",
        ["ignore_merges"],
    )
    yield (
        "unicode-classes",
        "tokenizer-small",
        edge_rows(small),
        "Characters at both edges of every run of letters, numbers and blanks.",
        ["Unicode classes of the word pattern"],
    )
    yield (
        "truncation",
        "tokenizer-small",
        truncation_rows(small),
        "All strategies, sides, lengths and strides, with every window.",
        ["longest_first", "only_first", "only_second", "stride", "overflowing windows of pairs"],
    )
    yield (
        "truncation-inside-characters",
        "tokenizer-small",
        border_rows(small, astral),
        "Windows that begin and end inside a character.",
        ["surrogate pairs at the border of a window"],
    )
    yield (
        "random-text",
        "tokenizer-small",
        random_rows(small, 150),
        "Random text and options.",
        ["random text", "random options"],
    )
    yield (
        "random-added-tokens",
        "tokenizer-added",
        random_rows(added, 100),
        "Random text with added tokens in it.",
        ["random text", "added tokens"],
    )
    yield (
        "long-document",
        "tokenizer-gpt2",
        rule_rows(gpt2),
        "Documents of 100 kB and words of some thousand characters, given by a rule.",
        ["100 kB document", "one very long word"],
    )


ADDED_TEXTS = [
    "word words sword word", "a word, the_word word1 \u00e9word word\u00e9", "wordword word", "a left  left", "right  right b  right", " both  both x", "xboth bothx both.",
    "a in blanks b", "a  in blanks  in blanks b", "x <mask>s y", " <mask>  <mask>s<mask>", "<entity> <ent <entity", "<entit<entity>", "\u00e9t\u00e9\U0001f600 \u00e9t\u00e9", "left\u2003\u0085\ufeffleft",
    "\tright\n\nright", "both both both", " left", "right ", "word", "  <s>left</s>right  word ", "left right both word", "", "  ",
]  # fmt: skip


def check_transformers(tokenizer):
    """What users call is the tokenizer of transformers: it must answer the same.

    It takes an empty second text for none (outside of batches); `tokenizers` and the cases take it for a text.
    """
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    for text, pair in [(text, None) for text in NASTY + WITH_SPECIAL] + NASTY_PAIRS:
        if pair == "":
            continue
        options = dict(max_length=12, truncation="longest_first", stride=1, return_overflowing_tokens=True)
        users = wrapped(text, pair, return_offsets_mapping=True, **options)
        row = answer(tokenizer, text, pair, truncation="longest_first", max_length=12, stride=1)
        windows = [row, *row["overflowing"]]
        assert users["input_ids"] == [window["ids"] for window in windows], text
        offsets = [[index for span in spans for index in span] for spans in users["offset_mapping"]]
        assert offsets == [window["offsets"] for window in windows], text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--merges")
    made = write_tokenizers(read_merges(parser.parse_args().merges))
    check_transformers(Tokenizer.from_file(str(ROOT / "models" / "tokenizer-small" / "tokenizer.json")))
    total = 0
    for name, tokenizer, rows, description, exercises in cases(made):
        folder = ROOT / "cases" / "tokenizer" / name
        folder.mkdir(parents=True, exist_ok=True)
        case = {
            "format": 1,
            "level": "tokenizer",
            "name": name,
            "description": description,
            "source": "hf",
            "generator": {
                "tokenizers": tokenizers.__version__,
                "transformers": transformers.__version__,
                "seed": SEED,
                "script": "tokenizer_cases.py",
            },
            "tokenizer": tokenizer,
            "texts": len(rows),
            "exercises": exercises,
        }
        (folder / "case.json").write_text(json.dumps(case, indent=2) + "\n", encoding="utf-8")
        lines = "".join(json.dumps(row, ensure_ascii=True, separators=(",", ":")) + "\n" for row in rows)
        (folder / "texts.jsonl").write_text(lines, encoding="utf-8")
        total += len(rows)
        print(f"{name}: {len(rows)} texts, {len(lines)} bytes")
    print(f"{total} texts")


if __name__ == "__main__":
    main()
