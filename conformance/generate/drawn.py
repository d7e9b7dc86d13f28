"""Writes cases of generation that nobody chose: models, sources and options drawn by lot. A search for differences, not a part of the suite.

Usage: python drawn.py --root DIRECTORY [--first SEED] [--count N]
Afterwards: longformer conformance --cases DIRECTORY --backend reference,engine-on-reference,wasm
The files are those of the suite (FORMAT.md): ids that HF writes in float64, and the smallest distance between two things it chose between.
"""
import argparse
import pathlib
import random
import shutil
import subprocess
import sys

import torch
import transformers

import generate_led
import models
from cases import ids, marks, mask, tensor
from hf_led import Margins, run_generation
from led_cases import targets


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True, help="a directory of its own")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    root = pathlib.Path(options.root)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    shutil.copytree(pathlib.Path(__file__).parent.parent / "schema", root / "schema", dirs_exist_ok=True)
    tied, undecided, rounded = 0, [], []
    for seed in range(options.first, options.first + options.count):
        name = draw_model(seed)
        if not (root / "models" / name).exists():
            generate_led.write_model(root, name)
        settings = draw_case(seed, name)
        if is_undecided(root, settings):
            undecided.append(seed)
            continue
        try:
            record, _ = generate_led.write_case(root, "generation", f"seed-{seed}", settings)
            tied += record["expected"]["sequences"]["tied"]
        except AssertionError:  # HF's float32 writes something else, although the margin is above CLOSE
            rounded.append(seed)
    written = options.count - len(undecided) - len(rounded)
    print(f"{written} cases, {tied} tied in float32; HF itself has no one answer to seeds {undecided}, and another in float32 to {rounded}")
    subprocess.run([sys.executable, str(pathlib.Path(__file__).with_name("manifest.py")), str(root)], check=True)


def is_undecided(root, settings):
    """Two candidates exactly alike, as several forced end tokens are; or fewer texts than asked for, where HF returns what it had ruled out."""
    with torch.no_grad():
        _, scores, margin, _ = generate_led.in_float64(root, settings, {}, lambda model: run_generation(model, settings["inputs"], settings["options"]))
    return margin == 0 or (scores is not None and scores.min().item() < Margins.UNLIKELY)


def draw_model(seed):
    """A shape of its own for every five cases; more or less eager to end. Returns its name."""
    number = seed // 5
    name = f"model-{number}"
    lot = random.Random(f"model {number}")
    heads = lot.choice([1, 2, 4])
    layers = lot.choice([1, 1, 2])
    shape = dict(
        vocab_size=lot.choice([12, 20, 33, 48]), encoder_layers=layers, decoder_layers=lot.choice([1, 1, 2]),
        encoder_attention_heads=heads, decoder_attention_heads=lot.choice([1, 2, 4]), attention_window=[lot.choice([2 + 2, 8])] * layers,
        tie_word_embeddings=lot.random() < 0.7,
    )
    models.LED_MODELS[name] = ("LEDForConditionalGeneration", shape, 10_000 + number)
    models.EAGER_TO_END[name] = lot.choice([-1.0, 0.5, 1.5, 2.5, 3.5])
    return name


def draw_case(seed, model):
    lot = random.Random(f"case {seed}")
    _, shape, _ = models.LED_MODELS[model]
    vocabulary = shape["vocab_size"]
    longest = models.LED["max_decoder_position_embeddings"] + 1  # the last token needs no position
    rows, length = lot.choice([1, 1, 2, 3]), lot.randint(1, 20)
    inputs = dict(input_ids=ids(20_000 + seed, rows, length, high=vocabulary))
    if lot.random() < 0.5:
        inputs["attention_mask"] = tensor([mask(length, *range(lot.randint(1, length), length)) for _ in range(rows)])
    if lot.random() < 0.5:
        inputs["global_attention_mask"] = tensor([marks(length, *range(lot.randint(0, min(2, length)))) for _ in range(rows)])
    options = {}
    if lot.random() < 0.15:
        options["decoder_start_token_id"] = lot.randrange(vocabulary)
    prompt = 1
    if lot.random() < 0.4:
        prompt = lot.randint(1, 5)
        inputs["decoder_input_ids"] = targets(30_000 + seed, rows, prompt, vocabulary)
        start = options.get("decoder_start_token_id", 2)
        inputs["decoder_input_ids"][:, 0] = lot.choice([start, start, lot.randrange(vocabulary)])
        prompt = generate_led.prompt_length(inputs, options)
    if lot.random() < 0.2:
        options["eos_token_id"] = [2, *lot.sample(range(3, vocabulary), lot.randint(1, 2))]
    ends = options.get("eos_token_id", [2])
    beams = lot.choice([1, 2, 2, 3, 4, 5])
    if beams > 1:
        options |= dict(num_beams=beams, num_return_sequences=lot.randint(1, beams), early_stopping=lot.choice([False, True, "never"]))
        options["length_penalty"] = lot.choice([-1.0, -0.5, 0.0, 0.6, 1.0, 1.0, 2.0, 3.5])
    new = lot.randint(1, longest - prompt)
    if lot.random() < 0.9:
        options |= dict(max_length=prompt + new) if lot.random() < 0.6 and prompt + new != 20 else dict(max_new_tokens=new)
    else:
        new = min(20, longest - prompt)
        if new < 20:
            options["max_new_tokens"] = new  # HF's own default would leave the table
    if lot.random() < 0.4:
        options |= dict(min_length=lot.randint(0, prompt + new)) if lot.random() < 0.5 else dict(min_new_tokens=lot.randint(0, new))
    if lot.random() < 0.4:
        options["no_repeat_ngram_size"] = lot.choice([1, 2, 2, 3, 3, 4])
    if lot.random() < 0.3:
        options["encoder_no_repeat_ngram_size"] = lot.choice([1, 2, 2, 3])
    if lot.random() < 0.35:
        options["repetition_penalty"] = lot.choice([0.5, 0.8, 1.2, 1.5, 2.5])
    if lot.random() < 0.2:
        options["forced_bos_token_id"] = lot.randrange(vocabulary)
    if lot.random() < 0.25:
        options["forced_eos_token_id"] = lot.choice([2, ends])
    if lot.random() < 0.35:
        options["bad_words_ids"] = [[lot.randrange(vocabulary) for _ in range(lot.choice([1, 1, 2, 3]))] for _ in range(lot.randint(1, 4))]
    return dict(model=model, description="drawn by lot", inputs=inputs, options=options, exercises=sorted(options))


if __name__ == "__main__":
    main()
