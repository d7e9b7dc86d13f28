"""What Hugging Face's pipelines answer: conformance/pipelines/<task>.json, and the checkpoints that answer, conformance/pipelines/models/.

Usage: python pipelines.py      with transformers 4 (5 has no question-answering pipeline); deterministic on one kind of CPU.

A checkpoint is small and random, in float16, with vocab.json and merges.txt of its own. Every input goes through the pipeline in
float64, which is the answer, and in float32, whose largest difference is the `spread` that budget.ts takes. Inputs on which the two
choose differently, or where two candidates are closer than CLOSE, are drawn again: they would test luck. Answers count code points,
as Python does.
"""
import copy
import hashlib
import json
import pathlib
import random
import shutil
import warnings

import numpy as np
import tokenizers
import torch
import transformers

import pipeline_texts
from hf_run import float64_softmax

ROOT = pathlib.Path(__file__).resolve().parents[1] / "pipelines"
SEED = 20261124
CLOSE = 1e-3
DIGITS = 12
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
LONGEST = 192

SHAPE = dict(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, attention_window=[8, 16], type_vocab_size=1,
    max_position_embeddings=LONGEST + 2, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2, sep_token_id=2,
)  # fmt: skip
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC"]
MODELS = {
    "fill-mask": ("LongformerForMaskedLM", {}, 1),
    "text-classification": ("LongformerForSequenceClassification", dict(id2label=dict(enumerate(["joy", "anger", "fear", "calm"]))), 2),
    "rating": ("LongformerForSequenceClassification", dict(id2label={0: "stars"}, num_hidden_layers=1, attention_window=[8]), 3),
    "question-answering": ("LongformerForQuestionAnswering", {}, 4),
    "token-classification": ("LongformerForTokenClassification", dict(id2label=dict(enumerate(TAGS))), 5),
    "multiple-choice": ("LongformerForMultipleChoice", {}, 6),
}


# --- checkpoints --------------------------------------------------------------------------------------------------------


def train_tokenizer(folder):
    """vocab.json and merges.txt, learnt from texts of the same generator."""
    trained = tokenizers.ByteLevelBPETokenizer()
    draw = random.Random(SEED)
    texts = [pipeline_texts.text(draw, 20, 40) for _ in range(400)]
    trained.train_from_iterator(texts, vocab_size=512, min_frequency=2, special_tokens=SPECIAL, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    trained.save_model(str(folder))
    config = dict(tokenizer_class="LongformerTokenizer", model_max_length=LONGEST, add_prefix_space=False, trim_offsets=True)
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


def draw_weight(key, shape, size, generator):
    """Peaked attention and peaked answers, so that no result hangs by a hair."""
    noise = torch.randn(shape, generator=generator)
    if "LayerNorm.weight" in key:
        return 1 + 0.3 * noise
    if key.endswith("bias"):
        return 0.3 * noise
    if ".query" in key or ".key" in key:
        return 1.5 * noise / size**0.5
    if "embeddings" in key:
        return 0.7 * noise
    if key.startswith(("qa_outputs", "classifier")) and key != "classifier.dense.weight":
        return 3 * noise / size**0.5
    return noise / size**0.5


def write_model(name):
    architecture, overrides, seed = MODELS[name]
    folder = ROOT / "models" / name
    train_tokenizer(folder)
    vocab_size = len(json.loads((folder / "vocab.json").read_text()))
    config = transformers.LongformerConfig(**{**SHAPE, "vocab_size": vocab_size, **overrides})
    model = getattr(transformers, architecture)(config).eval()
    generator = torch.Generator().manual_seed(seed)
    for key, parameter in sorted(model.state_dict(keep_vars=True).items()):
        if key.startswith("lm_head.decoder"):
            continue  # tied to the embeddings, and to lm_head.bias
        parameter.data.copy_(draw_weight(key, parameter.shape, config.hidden_size, generator))
    model.tie_weights()
    model.half().save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text())
    written["torch_dtype"] = written.pop("dtype", "float16")
    (folder / "config.json").write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")


# --- running ------------------------------------------------------------------------------------------------------------


class Twins:
    """A checkpoint in float64 and in float32, under one task of transformers."""

    def __init__(self, task, name, architecture=None, config=None):
        folder = ROOT / "models" / name  # name may be a whole path
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, use_fast=True)
        kind = getattr(transformers, architecture or MODELS[name][0])
        exact = kind.from_pretrained(folder, torch_dtype=torch.float64).eval()
        self.models = [exact, copy.deepcopy(exact).to(torch.float32)]
        for model in self.models:
            for key, value in (config or {}).items():
                setattr(model.config, key, value)
        self.pipelines = [
            transformers.pipeline(task, model=model, tokenizer=self.tokenizer, device="cpu") for model in self.models if task
        ]

    def __call__(self, *inputs, **options):
        with torch.no_grad(), float64_softmax():
            return tuple(pipeline(*inputs, **options) for pipeline in self.pipelines)


def flat(value):
    """All dictionaries of an answer."""
    if isinstance(value, dict):
        return [value]
    return [each for inner in value for each in flat(inner)]


def choice(answer):
    return [{key: value for key, value in each.items() if key != "score"} for each in flat(answer)]


def spread_of(exact, single):
    return max((abs(float(a["score"]) - float(b["score"])) for a, b in zip(flat(exact), flat(single))), default=0.0)


def clear(exact, single, scores=None):
    """Both precisions say the same, and no two neighbours in the ranking are closer than CLOSE."""
    if choice(exact) != choice(single):
        return False
    ranked = scores if scores is not None else [float(each["score"]) for each in flat(exact)]
    return all(abs(a - b) > CLOSE * max(abs(a), abs(b)) for a, b in zip(ranked, ranked[1:]))


def plain(value):
    """What json can write, with as many digits as a comparison needs."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.{DIGITS}g}")
    return value.item() if isinstance(value, np.integer) else value


class Sheet:
    """The cases of one file."""

    def __init__(self, name, scores="float64"):
        self.name, self.scores, self.cases, self.spread, self.redrawn = name, scores, [], 0.0, 0

    def add(self, model, exact, spread, **case):
        self.spread = max(self.spread, spread)
        self.cases.append({"model": model, **case, "expected": plain(exact)})

    def write(self):
        """scores: the arithmetic HF ends with, whatever the weights are in."""
        head = dict(transformers=transformers.__version__, seed=SEED, scores=self.scores, spread=plain(self.spread))
        lines = ",\n".join(json.dumps(case, ensure_ascii=True, separators=(",", ":")) for case in self.cases)
        text = json.dumps(head)[:-1] + ', "cases": [\n' + lines + "\n]}\n"
        (ROOT / f"{self.name}.json").write_text(text)
        print(f"{self.name}: {len(self.cases)} cases, {self.redrawn} drawn again, spread {self.spread:.1e}, {len(text)} bytes")

    def draw(self, make, run):
        """make() → an input; run(input) → (model, exact, spread, case) or None to draw again."""
        for _ in range(100):
            found = run(make())
            if found is not None:
                model, exact, spread, case = found
                return self.add(model, exact, spread, **case)
            self.redrawn += 1
        raise SystemExit(f"{self.name}: no clear input in 100 draws")


# --- tasks --------------------------------------------------------------------------------------------------------------


def fill_mask():
    sheet, twins, draw = Sheet("fill-mask"), Twins("fill-mask", "fill-mask"), random.Random(SEED + 1)

    def make(masks):
        words = pipeline_texts.short_or(draw, 3, 25).split(" ")
        for _ in range(masks):
            words.insert(draw.randint(0, len(words)), draw.choice(["<mask>", "<mask>", "<mask>.", "(<mask>)"]))
        return " ".join(words)

    def run(text, options, ours):
        exact, single = twins(text, **options)
        per_mask = exact if isinstance(exact[0], list) else [exact]
        if choice(exact) != choice(single) or not all(clear(each, each) for each in per_mask):
            return None
        return "fill-mask", exact, spread_of(exact, single), dict(input=text, options=ours)

    def near_cut(text, count):
        """One more than is kept, so that the last place is clear as well."""
        exact, single = twins(text, top_k=count + 1)
        per_mask = exact if isinstance(exact[0], list) else [exact]
        return choice(exact) == choice(single) and all(clear(each, each) for each in per_mask)

    for number in range(40):
        masks, count = (1 if number % 5 else 2), (5, 1, 3)[number % 3]
        make_clear = lambda: make(masks)
        sheet.draw(make_clear, lambda text: run(text, dict(top_k=count), dict(topK=count)) if near_cut(text, count) else None)
    for targets in (["\u0120the", "\u0120a", "river"], ["teacher of", "\u0120Anna", "\u0120Oslo"]):
        for _ in range(3):
            sheet.draw(lambda: make(1), lambda text: run(text, dict(targets=targets), dict(targets=targets)))
    sheet.write()


def text_classification():
    sheet, draw = Sheet("text-classification", "float32"), random.Random(SEED + 2)
    four = Twins("text-classification", "text-classification")
    regression = Twins("text-classification", "text-classification", config=dict(problem_type="regression"))
    multi = Twins("text-classification", "text-classification", config=dict(problem_type="multi_label_classification"))
    rating = Twins("text-classification", "rating")
    rated = Twins("text-classification", "rating", config=dict(problem_type="regression"))
    kinds = [
        (four, "text-classification", {}, {}, {}),
        (four, "text-classification", {}, dict(function_to_apply="sigmoid"), dict(functionToApply="sigmoid")),
        (four, "text-classification", {}, dict(function_to_apply="none"), dict(functionToApply="none")),
        (multi, "text-classification", dict(problem_type="multi_label_classification"), {}, {}),
        (regression, "text-classification", dict(problem_type="regression"), {}, {}),
        (rating, "rating", {}, {}, {}),
        (rated, "rating", dict(problem_type="regression"), {}, {}),
    ]

    def run(text, kind, top_k):
        twins, model, config, options, ours = kind
        everything, _ = twins(text, top_k=None, **options)
        exact, single = twins(text, top_k=top_k, **options)
        if choice(exact) != choice(single) or not clear(everything, everything):
            return None
        sent = text if isinstance(text, str) else dict(text=text["text"], textPair=text["text_pair"])
        return model, exact, spread_of(exact, single), dict(input=sent, config=config, options={**ours, "topK": top_k})

    for number in range(42):
        kind, top_k = kinds[number % len(kinds)], (None, 1, 2)[number % 3]
        sheet.draw(lambda: pipeline_texts.short_or(draw, 3, 35), lambda text: run(text, kind, top_k))
    for _ in range(8):
        pair = lambda: dict(text=pipeline_texts.text(draw, 2, 12), text_pair=pipeline_texts.text(draw, 2, 12))
        sheet.draw(pair, lambda text: run(text, kinds[0], None))
    for text in ("", " ", "\n\n"):
        found = run(text, kinds[0], None)
        sheet.add(found[0], found[1], found[2], **found[3])
    sheet.write()


def question_answering():
    sheet, twins, draw = Sheet("question-answering"), Twins("question-answering", "question-answering"), random.Random(SEED + 3)

    def run(made, options, ours):
        question, context = made
        if not context.strip() or not question.strip():
            return None
        if "max_seq_len" not in options:
            options = dict(options, max_seq_len=LONGEST, doc_stride=0)
            if len(twins.tokenizer(question, context).input_ids) > LONGEST:
                return None
        exact, single = twins(question=question, context=context, **options)
        # A score of exactly 0 is no candidate: HF fills up with them in no particular order when a context is short.
        exact, single = ([each for each in flat(answer) if each["score"] > 0] for answer in (exact, single))
        more, _ = twins(question=question, context=context, **{**options, "top_k": 1 + options.get("top_k", 1)})
        if not exact or choice(exact) != choice(single) or not clear(more, more):
            return None
        return "question-answering", exact, spread_of(exact, single), dict(input=dict(question=question, context=context), options=ours)

    def make(fewest, most):
        return lambda: (pipeline_texts.text(draw, 2, 8), pipeline_texts.short_or(draw, fewest, most, 0.1))

    for number in range(32):
        top_k, longest = (1, 3, 1, 2)[number % 4], (15, 15, 4, 30)[number // 4 % 4]
        impossible, align = number % 8 >= 6, number % 3 != 0
        options = dict(top_k=top_k, max_answer_len=longest, handle_impossible_answer=impossible, align_to_words=align)
        ours = dict(topK=top_k, maxAnswerLength=longest, handleImpossibleAnswer=impossible, alignToWords=align)
        sheet.draw(make(3, 40), lambda made: run(made, options, ours))
    for number in range(18):
        length, stride, top_k = (96, 128, LONGEST)[number % 3], (16, 32, 48)[number % 3], (1, 3)[number % 2]
        options = dict(top_k=top_k, max_seq_len=length, doc_stride=stride, handle_impossible_answer=number % 5 == 0)
        ours = dict(topK=top_k, maxLength=length, stride=stride, handleImpossibleAnswer=number % 5 == 0)
        sheet.draw(make(60, 140), lambda made: run(made, options, ours))
    sheet.write()


def token_classification():
    sheet, twins, draw = Sheet("token-classification"), Twins("token-classification", "token-classification"), random.Random(SEED + 4)

    def run(text, options, ours):
        tokens, _ = twins(text, aggregation_strategy="none", ignore_labels=[])
        with torch.no_grad(), float64_softmax():
            ids = twins.tokenizer(text, return_tensors="pt", truncation=True)
            probs = twins.models[0](**ids).logits[0].softmax(-1).sort(-1, descending=True).values
        if bool(((probs[:, 0] - probs[:, 1]) < CLOSE).any()) or not tokens:
            return None
        exact, single = twins(text, **options)
        if choice(exact) != choice(single):
            return None
        return "token-classification", exact, spread_of(exact, single), dict(input=text, options=ours)

    def fits(text):
        return len(twins.tokenizer(text).input_ids) <= LONGEST

    for number in range(40):
        how = ("none", "simple", "first", "average", "max")[number % 5]
        ignored = (["O"], [], ["O", "MISC", "LOC"])[number % 3]
        options, ours = dict(aggregation_strategy=how, ignore_labels=ignored), dict(aggregation=how, ignoreLabels=ignored)
        sheet.draw(lambda: pipeline_texts.short_or(draw, 3, 18), lambda text: run(text, options, ours) if fits(text) else None)

    for number in range(12):
        how, stride = ("simple", "first", "average", "max")[number % 4], (8, 24, 64)[number % 3]
        options, ours = dict(aggregation_strategy=how, stride=stride), dict(aggregation=how, stride=stride)
        sheet.draw(lambda: pipeline_texts.text(draw, 60, 110), lambda text: None if fits(text) else run(text, options, ours))
    sheet.write()


def rows_of(exact):
    """The number of tokens, and the rows of the first token, the last and of their mean."""
    return dict(tokens=len(exact), first=exact[0].tolist(), last=exact[-1].tolist(), mean=exact.mean(0).tolist())


def feature_extraction():
    sheet, draw = Sheet("feature-extraction"), random.Random(SEED + 5)
    for name in ("fill-mask", "text-classification", "question-answering"):
        twins = Twins("feature-extraction", name, "LongformerModel")
        for _ in range(6):
            text = pipeline_texts.short_or(draw, 3, 35)
            exact, single = (np.array(each[0]) for each in twins(text))
            sheet.add(name, rows_of(exact), float(np.abs(exact - single).max()), input=text, options={})
    sheet.write()


def multiple_choice():
    """transformers has no pipeline for it: the model class, and a softmax over the choices."""
    sheet, twins, draw = Sheet("multiple-choice"), Twins(None, "multiple-choice"), random.Random(SEED + 6)

    def run(made):
        prompt, choices = made
        encoded = twins.tokenizer([prompt] * len(choices), choices, padding=True, return_tensors="pt")
        if encoded.input_ids.shape[1] > LONGEST:
            return None
        with torch.no_grad(), float64_softmax():
            given = {key: value[None] for key, value in encoded.items()}
            exact, single = (model(**given).logits[0].softmax(-1).tolist() for model in twins.models)
        order = sorted(range(len(choices)), key=lambda index: -exact[index])
        ranked = [dict(choice=choices[index], index=index, score=exact[index]) for index in order]
        if not clear(ranked, ranked) or order != sorted(range(len(choices)), key=lambda index: -single[index]):
            return None
        return "multiple-choice", ranked, max(abs(a - b) for a, b in zip(exact, single)), dict(input=dict(prompt=prompt, choices=choices), options={})

    for number in range(15):
        make = lambda: (pipeline_texts.text(draw, 2, 15), [pipeline_texts.short_or(draw, 2, 10) for _ in range(2 + number % 3)])
        sheet.draw(make, run)
    sheet.write()


def needle_qa():
    """The trained checkpoint on the document beside it: 4,000 tokens in one piece. The text is in models/, its hash is here."""
    folder = ROOT.parents[1] / "models" / "needle-qa"
    sheet, twins = Sheet("needle-qa"), Twins("question-answering", folder, "LongformerForQuestionAnswering")
    context = (folder / "sample-document.txt").read_text(encoding="utf-8")
    for each in json.loads((folder / "sample-questions.json").read_text())[::4]:
        options = dict(top_k=2, max_seq_len=4096, doc_stride=0)
        exact, single = twins(question=each["question"], context=context, **options)
        if not clear(exact, single):
            raise SystemExit(f"{each['question']}: not clear")
        given = dict(question=each["question"], sha256=hashlib.sha256(context.encode()).hexdigest())
        sheet.add("needle-qa", exact, spread_of(exact, single), input=given, options=dict(topK=2))
    sheet.write()


def documentation_mlm():
    """The small language model in the box: fillings and vectors, of its sample text of many hundred tokens too."""
    folder = ROOT.parents[1] / "models" / "documentation-mlm"
    sheet, fill = Sheet("documentation-mlm-fill-mask"), Twins("fill-mask", folder, "LongformerForMaskedLM")
    sample = (folder / "sample-text.txt").read_text(encoding="utf-8").strip()
    given = lambda text: dict(sha256=hashlib.sha256(text.encode()).hexdigest()) if text is sample else text
    texts = [
        "If the file does not exist, an <mask> is raised.", "Return True if the object is an <mask> of the class.", "Changed in version 3.<mask>.",
        "If the key is not found, KeyError is <mask>.", "The function takes two <mask> and returns a <mask>.",
        "Le caf\u00e9 \U0001f44b\U0001f3fd is a <mask> of bytes \u6f22\u5b57.", sample,
    ]  # fmt: skip
    for text in texts:
        more, _ = fill(text, top_k=6)
        exact, single = fill(text)
        per_mask = more if isinstance(more[0], list) else [more]
        if choice(exact) != choice(single) or not all(clear(each, each) for each in per_mask):
            raise SystemExit(f"{text[:60]}: not clear")
        sheet.add("documentation-mlm", exact, spread_of(exact, single), input=given(text), options={})
    sheet.write()
    sheet, embed = Sheet("documentation-mlm-vectors"), Twins("feature-extraction", folder, "LongformerModel")
    for text in (texts[0], texts[5], sample):
        exact, single = (np.array(each[0]) for each in embed(text))
        sheet.add("documentation-mlm", rows_of(exact), float(np.abs(exact - single).max()), input=given(text), options={})
    sheet.write()


if __name__ == "__main__":
    if not transformers.__version__.startswith("4."):
        raise SystemExit("pipelines.py: expected transformers 4, which still has the question-answering pipeline")
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    shutil.rmtree(ROOT, ignore_errors=True)
    for name in MODELS:
        write_model(name)
    for task in (fill_mask, text_classification, question_answering, token_classification, feature_extraction, multiple_choice, needle_qa, documentation_mlm):
        task()
