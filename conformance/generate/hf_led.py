"""Hugging Face's LED: whole models, steps with a cache, and generation, each in float32 or in float64 throughout."""
import contextlib

import torch
import transformers
from transformers.generation import logits_process, utils

SINGLE = ("last_hidden_state", "encoder_last_hidden_state", "logits", "start_logits", "end_logits")
LAYERED = ("encoder_hidden_states", "encoder_attentions", "encoder_global_attentions", "decoder_hidden_states", "decoder_attentions", "cross_attentions")
TOKENS = dict(bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2)


@contextlib.contextmanager
def own_precision(model):
    """transformers 4 makes its causal mask in torch's default dtype; the smallest float64 does not fit into a float32."""
    original = torch.get_default_dtype()
    torch.set_default_dtype(next(model.parameters()).dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(original)


def arguments(model, inputs):
    dtype = next(model.parameters()).dtype
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}


def run_led(model, inputs):
    """A whole model with every output it has, by name."""
    with own_precision(model):
        outputs = model(**arguments(model, inputs), output_hidden_states=True, output_attentions=True, use_cache=False, return_dict=True)
    result = {name: outputs[name] for name in SINGLE if outputs.get(name) is not None}
    result.setdefault("last_hidden_state", outputs.decoder_hidden_states[-1])
    for name in LAYERED:
        for index, value in enumerate(outputs.get(name) or ()):
            result[f"{name}.{index}"] = value
    return result


def split_steps(inputs):
    """The inputs of level led-step: what the encoder gets, and what the decoder gets."""
    decoder = ("group_documents", "prompt", "steps", "parents")
    return {name: value for name, value in inputs.items() if name not in decoder}, *(inputs.get(name) for name in decoder)


def read_sources(model, source, groups):
    """Encoder outputs and attention mask, a row for each group."""
    encoder = {name: value for name, value in source.items() if not name.startswith("decoder_")}
    hidden = model.get_encoder()(**arguments(model, encoder), return_dict=True).last_hidden_state[groups]
    mask = source.get("attention_mask")
    return dict(encoder_outputs=transformers.modeling_outputs.BaseModelOutput(last_hidden_state=hidden), attention_mask=None if mask is None else mask[groups])


def run_steps(model, inputs, cached=True):
    """Logits of the last position after the prompt (logits.0) and after each step."""
    with own_precision(model):
        return decode_steps(model, inputs, cached)


def decode_steps(model, inputs, cached):
    source, groups, prompt, steps, parents = split_steps(inputs)
    read = read_sources(model, source, groups)
    targets = prompt
    outputs = model(**read, decoder_input_ids=prompt, use_cache=cached)
    result = {"logits.0": outputs.logits[:, -1]}
    for index, (tokens, parent) in enumerate(zip(steps, parents), start=1):
        targets = torch.cat([targets[parent], tokens[:, None]], dim=1)
        if cached:
            outputs.past_key_values.reorder_cache(parent)
            outputs = model(**read, decoder_input_ids=tokens[:, None], past_key_values=outputs.past_key_values, use_cache=True)
        else:
            outputs = model(**read, decoder_input_ids=targets, use_cache=False)
        result[f"logits.{index}"] = outputs.logits[:, -1].clone()
    return result


class Float64Torch:
    """The module torch, for code that asks it for float32 by name: that code gets float64."""

    float32 = float = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@contextlib.contextmanager
def float64_generation():
    """HF's generate() rounds logits and scores to float32. While this is open it does not."""
    modules = (utils, logits_process)
    for module in modules:
        module.torch = Float64Torch()
    try:
        yield
    finally:
        for module in modules:
            module.torch = torch


class Margins:
    """The smallest distance between two things that generate() had to choose between. Conservative: not every order mattered."""

    UNLIKELY = -1e8  # HF rules candidates out by adding -1e9

    def __init__(self):
        self.smallest = float("inf")
        self.open = None  # rows of the batch that can still improve

    def see(self, values, rows=True):
        """values [rows, n] in any order: gaps between neighbours of the sorted ones, where they are likely at all."""
        values = values.double()
        for row, keep in zip(values, rows if rows is not True else [True] * len(values)):
            likely = row[row > self.UNLIKELY].sort().values
            if keep and len(likely) > 1:
                self.smallest = min(self.smallest, likely.diff().min().item())

    def compare(self, left, right, rows):
        for a, b, keep in zip(left.flatten(), right.flatten(), rows):
            if keep and b > self.UNLIKELY and a > self.UNLIKELY:
                self.smallest = min(self.smallest, (a - b).abs().item())


@contextlib.contextmanager
def measured_margins(margins):
    """Looks over the shoulder of beam search."""
    mixin = transformers.GenerationMixin
    originals = {name: mixin.__dict__[name] for name in ("_get_top_k_continuations", "_update_finished_beams", "_check_early_stop_heuristic")}

    def top_k(self, accumulated_log_probs, beams_to_keep, **rest):
        most = min(beams_to_keep + 1, accumulated_log_probs.shape[-1])
        rows = True if margins.open is None else margins.open
        margins.see(torch.topk(accumulated_log_probs, most).values, rows)
        return originals["_get_top_k_continuations"](self, accumulated_log_probs=accumulated_log_probs, beams_to_keep=beams_to_keep, **rest)

    def finished(self, **arguments):
        result = originals["_update_finished_beams"](self, **arguments)
        length = arguments["cur_len"] + 1 - arguments["decoder_prompt_len"]
        new = arguments["topk_log_probs"] / length ** arguments["length_penalty"]
        done = arguments["next_token_hits_stopping_criteria"] & arguments["top_num_beam_mask"][None, :]
        new = torch.where(done & arguments["is_early_stop_heuristic_unsatisfied"], new, -1e9)
        margins.see(torch.cat([arguments["beam_scores"], new], dim=1))
        return result

    def stopping(**arguments):
        result = originals["_check_early_stop_heuristic"].__func__(**arguments)
        never = arguments["early_stopping"] == "never" and arguments["length_penalty"] > 0
        length = (arguments["max_length"] if never else arguments["cur_len"]) - arguments["decoder_prompt_len"]
        best = arguments["running_beam_scores"][:, 0] / length ** arguments["length_penalty"]
        worst = arguments["beam_scores"].min(dim=1).values
        full = arguments["is_sent_finished"].all(dim=1)
        margins.compare(best, worst, full & arguments["is_early_stop_heuristic_unsatisfied"][:, 0])
        margins.open = result[:, 0].tolist()
        return result

    mixin._get_top_k_continuations, mixin._update_finished_beams, mixin._check_early_stop_heuristic = top_k, finished, staticmethod(stopping)
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(mixin, name, original)


class Watch(transformers.LogitsProcessor):
    """The last processor: sees the scores that a token is chosen from, and changes nothing."""

    def __init__(self, margins, greedy, prompt_length, end):
        self.margins, self.greedy, self.prompt_length, self.end, self.scores = margins, greedy, prompt_length, end, []

    def __call__(self, input_ids, scores):
        running = ~torch.isin(input_ids[:, self.prompt_length :], self.end).any(dim=1)
        if self.greedy:
            self.margins.see(torch.topk(scores, 2).values, running.tolist())
        self.scores.append(scores[running] if self.greedy else scores.clone())
        return scores


def prompt_length(inputs, options):
    """Tokens before the first one that is written: the start token is put before prompts that do not begin with it."""
    prompt = inputs.get("decoder_input_ids")
    start = options.get("decoder_start_token_id", TOKENS["decoder_start_token_id"])
    return 1 if prompt is None else prompt.shape[1] + int(bool((prompt[:, 0] != start).all()))


def run_generation(model, inputs, options):
    """Returns sequences [documents * returned, n], their scores or None, the smallest margin, and all scores that were chosen from."""
    tokens = TOKENS | {name: value for name, value in options.items() if name in TOKENS}
    end = torch.as_tensor(tokens["eos_token_id"]).reshape(-1)
    beams = options.get("num_beams", 1)
    margins = Margins()
    watch = Watch(margins, beams == 1, prompt_length(inputs, options), end)
    config = transformers.GenerationConfig(**(tokens | options), do_sample=False, return_dict_in_generate=True, output_scores=True, use_cache=True)
    wide = next(model.parameters()).dtype == torch.float64
    with own_precision(model), float64_generation() if wide else contextlib.nullcontext(), measured_margins(margins):
        outputs = model.generate(**arguments(model, inputs), generation_config=config, logits_processor=transformers.LogitsProcessorList([watch]))
    scores = outputs.sequences_scores if beams > 1 else None
    return outputs.sequences, scores, margins.smallest, watch.scores
