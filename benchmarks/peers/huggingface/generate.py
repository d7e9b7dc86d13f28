"""Hugging Face's LED writing on one thread, timed when asked: the peer of benchmarks/generate.ts, with the same conversation.

Usage: python generate.py --checkpoint DIRECTORY        answers requests read from standard input

First line out: {"importSeconds", "loadSeconds"}. Then for each line in, {"sourceTokens", "newTokens", "beams"}:
{"seconds", "encodeSeconds", "cpuSeconds", "peakBytes", "ids", "score"} of the best beam.
"""
import time

started = time.perf_counter()

import argparse
import json
import os
import resource
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
options = parser.parse_args()

imported = time.perf_counter()
model = transformers.LEDForConditionalGeneration.from_pretrained(options.checkpoint, dtype=torch.float32).eval()
loaded = time.perf_counter()
encoded = [0.0]  # when the encoder was done last
model.get_encoder().register_forward_hook(lambda *_: encoded.__setitem__(0, time.perf_counter()))


def peak_bytes():
    """Largest resident set of this process so far. Linux counts in kilobytes, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def generate(source_tokens, new_tokens, beams):
    """The same source as in benchmarks/generate.ts: <s>, something, </s>; the first token is global."""
    input_ids = 4 + (7919 * torch.arange(source_tokens)) % (model.config.vocab_size - 5)
    input_ids[0], input_ids[-1] = 0, 2
    input_ids = input_ids[None]
    global_attention_mask = torch.zeros_like(input_ids)
    global_attention_mask[:, 0] = 1
    wall, cpu = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        output = model.generate(
            input_ids,
            attention_mask=torch.ones_like(input_ids),
            global_attention_mask=global_attention_mask,
            num_beams=beams,
            min_new_tokens=new_tokens,
            max_new_tokens=new_tokens,
            return_dict_in_generate=True,
            output_scores=True,
        )
    return {
        "seconds": time.perf_counter() - wall,
        "encodeSeconds": encoded[0] - wall,
        "cpuSeconds": time.process_time() - cpu,
        "peakBytes": peak_bytes(),
        "ids": output.sequences[0].tolist(),
        "score": output.sequences_scores[0].item(),
    }


def say(answer):
    print(json.dumps(answer), flush=True)


say({"importSeconds": imported - started, "loadSeconds": loaded - imported})
for line in sys.stdin:
    request = json.loads(line)
    say(generate(request["sourceTokens"], request["newTokens"], request["beams"]))
