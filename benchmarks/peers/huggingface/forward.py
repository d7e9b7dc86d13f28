"""Hugging Face's Longformer on one thread, timed when asked: the peer of benchmarks/forward.ts, with the same conversation.

Usage: python forward.py --checkpoint DIRECTORY [--dtype f32|bf16|int8]        answers requests read from standard input
       python forward.py --checkpoint DIRECTORY --tokens 512,4096 [--want head] measures and prints, without a partner

First line out: {"importSeconds", "loadSeconds", "loadCpuSeconds"}. Then for each line in, {"tokens": [T, ...], "batch", "want": "all" | "last" | "head"}:
{"seconds", "cpuSeconds", "peakBytes", "residentBytes", "probe"}. Documents go through `batch` at a time, padded to the longest of them.
"""
import time

started = time.perf_counter()

import argparse
import json
import os
import resource
import statistics
import sys

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)
torch.set_num_interop_threads(1)

parser = argparse.ArgumentParser()
parser.add_argument("--checkpoint", required=True)
parser.add_argument("--dtype", choices=["f32", "bf16", "int8"], default="f32")
parser.add_argument("--tokens", help="lengths; without a partner")
parser.add_argument("--want", choices=["all", "last", "head"], default="all")
parser.add_argument("--runs", type=int, default=3)
options = parser.parse_args()


def peak_bytes():
    """Largest resident set of this process so far. Linux counts in kilobytes, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def resident_bytes():
    """Resident set now, or None where /proc is missing."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:
        return None


with open(os.path.join(options.checkpoint, "config.json")) as config:
    architecture = getattr(transformers, json.load(config)["architectures"][0])  # imports its module
imported, cpu_imported = time.perf_counter(), time.process_time()
dtype = torch.bfloat16 if options.dtype == "bf16" else torch.float32
model = architecture.from_pretrained(options.checkpoint, dtype=dtype).eval()
if options.dtype == "int8":
    model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
loaded, cpu_loaded = time.perf_counter(), time.process_time()


def inputs_of(tokens, first, batch):
    """Documents first .. first + batch, the same ids as in benchmarks/forward.ts: <s>, something, </s>; the first token is global."""
    lengths = tokens[first : first + batch]
    input_ids = torch.full((len(lengths), max(lengths)), model.config.pad_token_id)
    for row, length in enumerate(lengths):
        input_ids[row, :length] = 4 + (7919 * torch.arange(length) + 31 * (first + row)) % (model.config.vocab_size - 5)
        input_ids[row, 0], input_ids[row, length - 1] = 0, 2
    global_attention_mask = torch.zeros_like(input_ids)
    global_attention_mask[:, 0] = 1
    return dict(
        input_ids=input_ids,
        attention_mask=(input_ids != model.config.pad_token_id).long(),
        global_attention_mask=global_attention_mask,
    )


def probe_of(output, tokens, want):
    """A few numbers of the last document, by which the two sides see that they computed the same: logits, or hidden states."""
    if want == "head":
        return output.logits[-1].float().flatten().tolist()
    states = output.hidden_states[-1] if want == "all" else output[0]
    row = states[-1, : tokens[-1]].float().flatten()
    return row[[(i * (row.numel() - 1)) // 31 for i in range(32)]].tolist()


def forward(tokens, batch, want):
    batches = [inputs_of(tokens, first, batch) for first in range(0, len(tokens), batch)]
    # "last": the encoder below the head. Its hidden states are what the head would have read.
    run = model.base_model if want == "last" else model
    wall, cpu = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        for inputs in batches:
            output = run(**inputs, output_hidden_states=want == "all")
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "seconds": seconds,
        "cpuSeconds": cpu_seconds,
        "peakBytes": peak_bytes(),
        "residentBytes": resident_bytes(),
        "probe": probe_of(output, tokens, want),
    }


def say(answer):
    print(json.dumps(answer), flush=True)


say(
    {
        "importSeconds": imported - started,
        "loadSeconds": loaded - imported,
        "loadCpuSeconds": cpu_loaded - cpu_imported,
    }
)
if options.tokens:
    for length in map(int, options.tokens.split(",")):
        first, *runs = [forward([length], 1, options.want) for _ in range(options.runs + 1)]
        seconds = [run["seconds"] for run in runs]
        say(
            {
                "tokens": length,
                "dtype": options.dtype,
                "firstSeconds": first["seconds"],
                "medianSeconds": statistics.median(seconds),
                "minSeconds": min(seconds),
                "peakBytes": runs[-1]["peakBytes"],
            }
        )
else:
    for line in sys.stdin:
        request = json.loads(line)
        say(forward(request["tokens"], request["batch"], request["want"]))
