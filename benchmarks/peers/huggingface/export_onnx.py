"""Exports Hugging Face's Longformer to ONNX at one length: the graph that benchmarks/peers/javascript/onnx-graph.mjs runs.

Usage: python export_onnx.py --checkpoint DIRECTORY --tokens 512 --out FILE.onnx [--exporter legacy|dynamo] [--opset 18] [--plain-chunks]

Prints one line of JSON: what was written, or the error and where in the model it arose (exit status 1). Beside the graph, FILE.onnx.json
holds what Hugging Face's own forward pass answers, so that a runtime's answer can be compared without Python.
The inputs are those of forward.py; the length is fixed, because the model's own chunking counts its chunks in Python.
"""
import argparse
import json
import os
import pathlib
import resource
import sys
import time
import traceback
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"

import onnx
import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings("ignore")
torch.set_num_threads(1)

parser = argparse.ArgumentParser()
parser.add_argument("--checkpoint", required=True)
parser.add_argument("--tokens", type=int, default=512)
parser.add_argument("--out", required=True)
parser.add_argument("--exporter", choices=["legacy", "dynamo"], default="legacy")
parser.add_argument("--opset", type=int, default=18)
parser.add_argument("--plain-chunks", action="store_true", help="leave onnx_export off in the configuration")
options = parser.parse_args()

config_path = os.path.join(options.checkpoint, "config.json")
with open(config_path) as file:
    architecture = getattr(transformers, json.load(file)["architectures"][0])
# With onnx_export the model copies its chunks in a loop instead of laying them over each other with strides.
config = transformers.AutoConfig.from_pretrained(options.checkpoint, onnx_export=not options.plain_chunks)
model = architecture.from_pretrained(options.checkpoint, config=config, dtype=torch.float32).eval()


class Graph(torch.nn.Module):
    """Tensors in, tensors out. Logits first if the checkpoint has a head."""

    def __init__(self):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, global_attention_mask):
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            global_attention_mask=global_attention_mask,
            output_hidden_states=True,
        )
        states = output.hidden_states[-1]
        return (output.logits, states) if "logits" in output else (states,)


def inputs():
    """One document, the same ids as in forward.py."""
    input_ids = 4 + (7919 * torch.arange(options.tokens)) % (config.vocab_size - 5)
    input_ids[0], input_ids[-1] = 0, 2
    input_ids = input_ids[None]
    global_attention_mask = torch.zeros_like(input_ids)
    global_attention_mask[:, 0] = 1
    return input_ids, torch.ones_like(input_ids), global_attention_mask


def probe_of(values):
    """32 numbers spread over a tensor, as in forward.py."""
    row = values.flatten()
    return row[[(i * (row.numel() - 1)) // 31 for i in range(32)]].tolist()


def cause_of(error):
    """What went wrong first, and the innermost place in the model's own code on the way there."""
    places = []
    while True:
        places += [frame for frame in traceback.extract_tb(error.__traceback__) if "/models/" in frame.filename]
        below = error.__cause__ or error.__context__
        if below is None:
            break
        error = below
    message = next((line for line in str(error).splitlines() if line.strip()), "")
    place = f"{os.path.basename(places[-1].filename)}:{places[-1].lineno}, {places[-1].name}" if places else None
    return {"error": f"{type(error).__name__}: {message}", "at": place}


graph, arguments = Graph().eval(), inputs()
with torch.inference_mode():
    expected = graph(*arguments)
names = ["logits", "last_hidden_state"][-len(expected) :]
began = time.perf_counter()
report = {"exporter": options.exporter, "onnxExport": not options.plain_chunks, "tokens": options.tokens, "opset": options.opset}
try:
    with torch.no_grad():
        torch.onnx.export(
            graph,
            arguments,
            options.out,
            input_names=["input_ids", "attention_mask", "global_attention_mask"],
            output_names=names,
            opset_version=options.opset,
            dynamo=options.exporter == "dynamo",
            # One file: a runtime in a browser is handed bytes.
            **(dict(external_data=False, verbose=False) if options.exporter == "dynamo" else {}),
        )
except Exception as error:
    print(json.dumps({**report, **cause_of(error)}))
    traceback.print_exc()
    sys.exit(1)
report["seconds"] = round(time.perf_counter() - began, 1)

written = onnx.load(options.out)
report["bytes"] = pathlib.Path(options.out).stat().st_size
report["nodes"] = len(written.graph.node)
report["operators"] = len({node.op_type for node in written.graph.node})
report["inputs"] = [value.name for value in written.graph.input]
report["peakBytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
values = dict(zip(names, expected))
answer = {"last": probe_of(values["last_hidden_state"])}
if "logits" in values:
    answer["head"] = values["logits"].flatten().tolist()
beside = {"tokens": options.tokens, "vocabSize": config.vocab_size, "expected": answer}
pathlib.Path(options.out + ".json").write_text(json.dumps(beside) + "\n")
print(json.dumps(report))
