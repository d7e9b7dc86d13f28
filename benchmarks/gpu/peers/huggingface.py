"""Hugging Face's Longformer on the same GPU as encoder.ts: the whole encoder, and attention alone.

Usage: python huggingface.py [--size base] [--tokens 512,…] [--runs 5] [--source 4096] [--steps 64] [--beams 1,4] [--json FILE]
                             [--device cuda]

Rows: eager f32 without and with TF32, bf16, for one document whose first token is global, and for documents of 128 tokens in a
batch. Then torch's compiled FlexAttention with the same pattern (sliding window and one global token), in f32 and bf16, for one
layer. Then LED: seconds a step of `generate` behind a source that was read, for 1 and 4 beams. Random weights: speed does not depend
on them. Needs torch with CUDA and transformers; no network.
"""
import argparse
import contextlib
import json
import time

import torch
import transformers

SIZES = {
    "tiny": dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, attention_window=[16] * 2),
    "base": dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, attention_window=[512] * 12),
    "large": dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096, attention_window=[512] * 24),
}

# As in synthetic-checkpoint.ts: hidden size, layers on each side, heads, feed-forward, window on both sides.
LED_SIZES = {"tiny": (64, 2, 4, 128, 16), "base": (768, 6, 12, 3072, 1024), "large": (1024, 12, 16, 4096, 1024)}
PRECISIONS = [("hf f32", torch.float32, False), ("hf f32 tf32", torch.float32, True), ("hf bf16", torch.bfloat16, False)]

parser = argparse.ArgumentParser()
parser.add_argument("--size", choices=list(SIZES), default="base")
parser.add_argument("--tokens", default="512,1024,2048,4096,8192,16384")
parser.add_argument("--runs", type=int, default=5)
parser.add_argument("--source", type=int, default=4096)
parser.add_argument("--steps", type=int, default=64)
parser.add_argument("--beams", default="1,4")
parser.add_argument("--device", default="cuda")
parser.add_argument("--json")
options = parser.parse_args()
lengths = [int(length) for length in options.tokens.split(",")]
device = torch.device(options.device)


def synchronize():
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure(run):
    """Seconds of each run after one that is not counted."""
    seconds = []
    for count in range(options.runs + 1):
        synchronize()
        begin = time.perf_counter()
        run()
        synchronize()
        if count > 0:
            seconds.append(time.perf_counter() - begin)
    return seconds


def report(rows, name, tokens, run):
    """One row; what the card cannot hold is a row that says so."""
    try:
        seconds = measure(run)
    except torch.OutOfMemoryError:
        rows.append(dict(name=name, tokens=tokens, error="out of memory"))
        print(f"{name:>28} {tokens:>8}  out of memory", flush=True)
        return
    rows.append(dict(name=name, tokens=tokens, seconds=seconds, best=min(seconds)))
    print(f"{name:>28} {tokens:>8} {min(seconds):>11.5f} s {tokens / min(seconds):>11.0f} tokens/s", flush=True)


@contextlib.contextmanager
def tf32(allowed):
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def inputs_of(documents, length):
    input_ids = 4 + (7919 * torch.arange(length, device=device)) % 1000
    global_attention_mask = torch.zeros(documents, length, dtype=torch.long, device=device)
    global_attention_mask[:, 0] = 1
    return dict(input_ids=input_ids.repeat(documents, 1), global_attention_mask=global_attention_mask)


def encoder_rows():
    rows = []
    config = transformers.LongformerConfig(
        vocab_size=1024, max_position_embeddings=max(lengths) + 2, type_vocab_size=1, bos_token_id=0, pad_token_id=1,
        eos_token_id=2, sep_token_id=2, **SIZES[options.size],
    )
    model = transformers.LongformerModel(config).eval().to(device)
    documents = max(1, min(4096, max(lengths)) // 128)
    for name, dtype, allowed in PRECISIONS:
        model = model.to(dtype)
        with tf32(allowed), torch.inference_mode():
            for length in lengths:
                inputs = inputs_of(1, length)
                report(rows, name, length, lambda: model(**inputs).last_hidden_state.float().cpu())
            inputs = inputs_of(documents, 128)
            report(rows, f"{name}, {documents} x 128", documents * 128, lambda: model(**inputs).last_hidden_state.float().cpu())
    return rows


def flex_attention_rows():
    """Attention of one layer with the same keys as slidingWindowAttention and globalAttention together."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    rows = []
    size = SIZES[options.size]
    heads = size["num_attention_heads"]
    head_dim = size["hidden_size"] // heads
    one_sided = size["attention_window"][0] // 2
    compiled = torch.compile(flex_attention, dynamic=False)

    def sees(batch, head, query, key):
        return ((query - key).abs() <= one_sided) | (key == 0) | (query == 0)

    for name, dtype in [("flex f32", torch.float32), ("flex bf16", torch.bfloat16)]:
        for length in lengths:
            mask = create_block_mask(sees, None, None, length, length, device=device)
            query, key, value = (torch.randn(1, heads, length, head_dim, device=device, dtype=dtype) for _ in range(3))
            with tf32(False), torch.inference_mode():
                report(rows, name, length, lambda: compiled(query, key, value, block_mask=mask))
    return rows


def decoding_rows():
    """Milliseconds a step: a whole `generate` of so many tokens, less reading the source, shared by the steps."""
    hidden, layers, heads, intermediate, window = LED_SIZES[options.size]
    config = transformers.LEDConfig(
        vocab_size=50265, d_model=hidden, encoder_layers=layers, decoder_layers=layers, encoder_attention_heads=heads,
        decoder_attention_heads=heads, encoder_ffn_dim=intermediate, decoder_ffn_dim=intermediate, attention_window=[window] * layers,
        max_encoder_position_embeddings=max(window, options.source), max_decoder_position_embeddings=options.steps + 2,
    )
    model = transformers.LEDForConditionalGeneration(config).eval().to(device)
    input_ids = (4 + (7919 * torch.arange(options.source, device=device)) % 50000).unsqueeze(0)
    rows = []
    for name, dtype, allowed in PRECISIONS:
        model = model.to(dtype)
        for beams in [int(beams) for beams in options.beams.split(",")]:
            settings = transformers.GenerationConfig(
                max_new_tokens=options.steps, min_new_tokens=options.steps, num_beams=beams, do_sample=False, pad_token_id=1,
                bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
            )
            with tf32(allowed), torch.inference_mode():
                source = min(measure(lambda: model.get_encoder()(input_ids)))
                whole = min(measure(lambda: model.generate(input_ids, generation_config=settings)))
            step = (whole - source) / options.steps
            rows.append(dict(name=name, beams=beams, sourceSeconds=source, stepSeconds=step))
            print(f"{name:>28} LED, {beams} beams: source {source:.4f} s, {1000 * step:.3f} ms a step", flush=True)
    return rows


name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
print(f"{name}, torch {torch.__version__}, transformers {transformers.__version__}")
figures = dict(device=name, torch=torch.__version__, transformers=transformers.__version__, options=vars(options))
figures["encoder"] = encoder_rows()
figures["flexAttention"] = flex_attention_rows()
figures["decoding"] = decoding_rows()
if options.json:
    with open(options.json, "w") as out:
        json.dump(figures, out, indent=2)
