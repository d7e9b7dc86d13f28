"""What is asked of LED, case by case: levels led, led-step and generation. generate_led.py runs them.

Every case carries its own inputs, so that new ones may stand anywhere.
"""
import random

import torch

from cases import ids, marks, mask, tensor, with_pads


def led_cases():
    """Whole models without a cache: everything HF returns."""

    def case(name, description, inputs, exercises, model="led", **more):
        return "led", name, {**dict(model=model, description=description, inputs=inputs, exercises=exercises), **more}

    def pair(seed, rows=2, n=11, u=5, high=40):
        return dict(input_ids=ids(seed, rows, n, high=high), decoder_input_ids=targets(seed + 1, rows, u, high))

    lm = dict(model="led-lm")
    plain = pair(101)
    yield case("plain", "two sources of 11 tokens, two targets of 5", plain, ["ragged length", "batch"])
    yield case("lm-plain", "logits with final_logits_bias", pair(103), ["final_logits_bias", "tied weights"], **lm)
    padded = pair(105, 3, 12)
    padded["input_ids"] = with_pads(padded["input_ids"], 1, (1, slice(8, 12)), (2, slice(0, 3)))
    seen = (padded["input_ids"] != 1).long()
    yield case("lm-padding", "padding on the right and on the left of the source", dict(padded, attention_mask=seen), ["padding", "cross-attention"], **lm)
    yield case("padding-attended", "pads without a mask are attended to, and have positions", padded, ["padding", "no mask", "position ids"])
    holes = pair(107, 1, 13)
    yield case("padding-holes", "masked tokens between others", dict(holes, attention_mask=tensor([mask(13, 4, 7, 8)])), ["padding", "holes"])
    yield case("padding-hides-tokens", "the mask hides tokens that are no pads", dict(plain, attention_mask=tensor([mask(11, 0, 1), mask(11, 5, 10)])), ["padding"])
    yield case("lm-global-first", "<s> is global", dict(pair(109), global_attention_mask=tensor([marks(11, 0)] * 2)), ["global"], **lm)
    yield case("global-different", "2, 1 and no global tokens, padding too", dict(padded, attention_mask=seen, global_attention_mask=tensor([marks(12, 0, 6), marks(12, 2), [0] * 12])), ["global", "empty slots", "padding"])
    yield case("global-all", "every token of the source is global", dict(pair(111, 1, 9), global_attention_mask=tensor([[1] * 9])), ["all global"])
    yield case("global-minus-one", "marks of -1 hide tokens from the encoder but not from the decoder", dict(plain, attention_mask=tensor([mask(11, 10), [1] * 11]), global_attention_mask=tensor([marks(11, 0, 10, minus=(4,)), marks(11, 3, minus=(0, 1))])), ["global mask -1", "masked beats global", "cross-attention"])
    yield case("source-one-token", "a source of one token", pair(113, 1, 1), ["length"])
    yield case("source-length-9", "one token more than the largest window", pair(151, 1, 9, 3), ["length", "band edge"])
    yield case("target-one-token", "a target of one token: HF makes no causal mask", pair(117, 2, 8, 1), ["length", "causal"])
    yield case("target-longer", "a target longer than its source", pair(119, 1, 5, 10), ["length", "causal"])
    yield case("lm-largest", "source and target as long as their position tables", pair(121, 1, 48, 24), ["longest document", "longest target"], **lm)
    yield case("target-shifted", "without a target: the source shifted right", dict(input_ids=with_pads(ids(123, 2, 9, high=40), 1, (1, slice(6, 9))), attention_mask=tensor([[1] * 9, mask(9, 6, 7, 8)])), ["shift right"])
    yield case("target-padding", "padding at the end of a target", dict(plain, decoder_attention_mask=tensor([mask(5, 3, 4), [1] * 5])), ["target padding"])
    yield case("target-holes", "masked tokens inside a target", dict(pair(125, 1, 8, 7), decoder_attention_mask=tensor([mask(7, 2, 4)])), ["target padding", "holes"])
    yield case("target-left-padding", "padding at the beginning of a target: rows that see nothing are zeros, where HF lets them see everything", dict(plain, decoder_attention_mask=tensor([mask(5, 0, 1), [1] * 5])), ["target padding"], source="dense-oracle", undefined={0: 2})
    embeds = torch.Generator().manual_seed(127)
    yield case("embeds", "embeddings on both sides", dict(inputs_embeds=torch.randn(1, 9, 16, generator=embeds), decoder_inputs_embeds=torch.randn(1, 4, 16, generator=embeds), global_attention_mask=tensor([marks(9, 0)])), ["inputs_embeds", "decoder_inputs_embeds"])
    yield case("lm-untied", "four tables, each for itself; another number of layers and heads on each side", pair(129), ["untied weights", "layers", "heads"], model="led-lm-untied", newest_only=True)
    yield case("activation-relu", "activation_function relu, on both sides", pair(131, 1, 7, 3), ["activation_function"], config=dict(activation_function="relu"))
    yield case("activation-gelu-new", "activation_function gelu_new", pair(133, 1, 7, 3), ["activation_function"], config=dict(activation_function="gelu_new"))
    yield case("windows-reversed", "the wide window first", dict(pair(135, 1, 13, 3), global_attention_mask=tensor([marks(13, 2)])), ["windows per layer"], config=dict(attention_window=[8, 4]))
    yield case("window-over-all", "windows wider than the source", pair(137, 1, 9, 3), ["w >= n"], config=dict(attention_window=[32, 16]))
    yield case("dilated", "a dilated encoder", dict(pair(139, 1, 13, 3), global_attention_mask=tensor([marks(13, 0)])), ["dilation"], config=dict(attention_dilation=[[1, 2, 3, 1], [2, 1, 1, 2]]), source="dense-oracle")
    yield case("question-answering", "a span of the target, which is the source shifted right", dict(input_ids=ids(141, 2, 9, high=40), global_attention_mask=tensor([marks(9, 0, 1, 2)] * 2)), ["question answering", "shift right"], model="led-question-answering")
    yield case("question-answering-target", "a span of a given target", pair(143, 1, 7, 4), ["question answering"], model="led-question-answering")
    ends = ids(145, 2, 9, high=40)
    ends[0, 4] = 2
    ends[1, 6], ends[1, 8] = 2, 1
    ends[1, 2] = 2
    ends[1, 8] = 5
    yield case("sequence-classification", "the row of the last </s>, which need not be the last row", dict(input_ids=ends), ["sequence classification", "shift right"], model="led-sequence-classification", transformers=4)
    yield case("sequence-classification-target", "a given target as long as the source, global <s>", dict(input_ids=ids(147, 2, 8, high=40), decoder_input_ids=targets(148, 2, 8, 40), global_attention_mask=tensor([marks(8, 0)] * 2)), ["sequence classification", "global"], model="led-sequence-classification", transformers=4)


def targets(seed, rows, length, high):
    """Random targets behind the start token."""
    values = ids(seed, rows, length, high=high, ends=False)
    values[:, 0] = 2
    return values


def refusals():
    """Inputs that must be refused."""
    plain = dict(input_ids=ids(201, 1, 9, high=40), decoder_input_ids=targets(202, 1, 4, 40))

    def case(level, name, model, description, inputs, code, about, **more):
        settings = dict(model=model, description=description, inputs=inputs, exercises=["refusal"], expectedError=dict(code=code, about=about))
        return level, f"refuse-{name}", {**settings, **more}

    led = ("led-lm",)
    yield case("led", "source-too-long", *led, "one token more than the encoder's position table holds", dict(plain, input_ids=ids(203, 1, 49, high=40)), "E_SHAPE", "input_ids")
    yield case("led", "target-too-long", *led, "one token more than the decoder's position table holds", dict(plain, decoder_input_ids=targets(204, 1, 25, 40)), "E_SHAPE", "decoder_input_ids")
    yield case("led", "source-all-padding", *led, "nothing to read in the second row", dict(input_ids=ids(205, 2, 9, high=40), decoder_input_ids=targets(206, 2, 4, 40), attention_mask=tensor([[1] * 9, [0] * 9])), "E_RANGE", "attention_mask")
    yield case("led", "source-empty", *led, "a source of no tokens", dict(plain, input_ids=torch.zeros(1, 0, dtype=torch.long)), "E_SHAPE", "input_ids")
    yield case("led", "id-too-large", *led, "an id beyond the vocabulary", dict(plain, input_ids=plain["input_ids"] + 38), "E_RANGE", "input_ids")
    yield case("led", "target-id-too-large", *led, "an id of the target beyond the vocabulary", dict(plain, decoder_input_ids=plain["decoder_input_ids"] + 38), "E_RANGE", "decoder_input_ids")
    yield case("led", "target-id-of-labels", *led, "-100 belongs into labels", dict(plain, decoder_input_ids=tensor([[2, 5, -100, -100]])), "E_RANGE", "decoder_input_ids")
    yield case("led", "mask-of-2", *led, "attention_mask takes 0 and 1 only", dict(plain, attention_mask=tensor([[2] + [1] * 8])), "E_RANGE", "attention_mask")
    yield case("led", "target-mask-too-short", *led, "a mask of another shape than the target", dict(plain, decoder_attention_mask=tensor([[1] * 3])), "E_SHAPE", "decoder_attention_mask")
    yield case("led", "no-start-token", *led, "no target, and decoder_start_token_id is null", dict(input_ids=plain["input_ids"]), "E_RANGE", "decoder_start_token_id", config=dict(decoder_start_token_id=None))
    yield case("led", "embeds-without-target", *led, "without source ids there is nothing to shift right", dict(inputs_embeds=torch.zeros(1, 5, 16)), "E_RANGE", "decoder_input_ids")
    yield case("led", "two-targets", *led, "ids and embeddings of the target", dict(plain, decoder_inputs_embeds=torch.zeros(1, 4, 16)), "E_RANGE", "decoder_input_ids")
    yield case("led", "target-of-other-batch", *led, "two targets for one source", dict(plain, decoder_input_ids=targets(207, 2, 4, 40)), "E_SHAPE", "decoder_input_ids")
    yield case("led", "no-end-token", "led-sequence-classification", "no </s> whose row could be classified", dict(input_ids=tensor([[0, 5, 6, 7]])), "E_RANGE", "input_ids")
    source = dict(input_ids=plain["input_ids"])
    yield case("generation", "prompt-too-long", *led, "a prompt as long as max_length", dict(source, decoder_input_ids=targets(208, 1, 6, 40)), "E_RANGE", "decoder_input_ids", options=dict(max_length=6))
    yield case("generation", "min-above-max", *led, "must not end before 9, must end at 8", source, "E_RANGE", "min_length", options=dict(max_length=8, min_length=9))
    yield case("generation", "more-sequences-than-beams", *led, "three of two beams", source, "E_RANGE", "num_return_sequences", options=dict(num_beams=2, num_return_sequences=3))
    yield case("generation", "beyond-position-table", *led, "more tokens than the decoder has positions for", source, "E_RANGE", "max_length", options=dict(max_length=26))
    yield case("generation", "penalty-of-0", *led, "a repetition penalty divides", source, "E_RANGE", "repetition_penalty", options=dict(repetition_penalty=0.0))
    yield case("generation", "no-start-token", *led, "nothing to begin with", source, "E_RANGE", "decoder_start_token_id", options=dict(max_length=8), config=dict(decoder_start_token_id=None))
    yield case("generation", "source-all-padding", *led, "nothing to read", dict(source, attention_mask=tensor([[0] * 9])), "E_RANGE", "attention_mask", options=dict(max_length=8))


def step_cases():
    """Decoding with a cache: groups of hypotheses, each reading one source, continuing the past of another."""

    def case(name, description, seed, sources, groups, prompt, steps, exercises, parents=None, model="led-lm", **inputs):
        high = 24 if model == "led-writer" else 40
        generator = torch.Generator().manual_seed(seed)
        own = list(range(len(groups)))
        inputs = dict(
            input_ids=ids(seed, sources, 11, high=high), group_documents=tensor(groups),
            prompt=torch.randint(3, high, (len(groups), prompt), generator=generator),
            steps=torch.randint(0, high, (steps, len(groups)), generator=generator),
            parents=tensor(parents or [own] * steps), **inputs,
        )
        inputs["prompt"][:, 0] = 2
        return "led-step", name, dict(model=model, description=description, inputs=inputs, exercises=exercises)

    yield case("greedy", "one hypothesis, step by step", 301, 1, [0], 1, 6, ["cache"])
    yield case("prompt", "four tokens at once, then one by one", 302, 1, [0], 4, 4, ["cache", "prompt"])
    yield case("longest", "up to the last position", 303, 1, [0], 1, 19, ["cache", "longest target"], model="led-writer")
    yield case("beams", "four hypotheses that change places", 304, 1, [0] * 4, 1, 6, ["cache", "reordering"], parents=[[0, 0, 0, 0], [1, 0, 3, 2], [3, 3, 1, 0], [0, 1, 2, 3], [2, 2, 2, 1], [3, 0, 1, 2]])
    yield case("beams-two-sources", "two sources with three hypotheses each, among themselves", 305, 2, [0, 0, 0, 1, 1, 1], 2, 5, ["cache", "reordering", "batch"], parents=[[0, 0, 1, 5, 3, 3], [2, 1, 0, 3, 4, 5], [1, 1, 1, 4, 4, 3], [0, 2, 1, 5, 5, 5], [2, 0, 1, 3, 4, 4]], attention_mask=tensor([[1] * 11, mask(11, 8, 9, 10)]), global_attention_mask=tensor([marks(11, 0), marks(11, 0, 3)]))
    yield case("unequal-groups", "sources in any order, one of them read by nobody", 306, 3, [2, 0, 2], 1, 4, ["cache", "batch"], parents=[[2, 1, 0], [0, 1, 0], [2, 1, 2], [0, 1, 2]], attention_mask=tensor([mask(11, 0, 1), [1] * 11, mask(11, 6, 9, 10)]))
    yield case("long-prompt-of-beams", "a prompt for several hypotheses at once", 307, 1, [0, 0, 0], 7, 3, ["cache", "prompt", "reordering"], parents=[[2, 0, 0], [1, 1, 2], [0, 2, 1]])
    yield case("untied", "with an output table of its own and three decoder layers", 308, 1, [0, 0], 2, 3, ["cache", "untied weights"], parents=[[1, 0], [0, 0], [1, 1]], model="led-lm-untied")


def generation_cases():
    """generate(): ids must be equal."""

    def case(name, description, options, exercises, seed=401, rows=1, model="led-lm", **more):
        high = 24 if model in ("led-writer", "led-twins") else 40
        inputs = dict(input_ids=ids(seed, rows, 13, high=high), **more)
        return "generation", name, dict(model=model, description=description, inputs=inputs, options=options, exercises=exercises)

    writer = dict(model="led-writer")
    yield case("default", "nothing said: greedy, 20 new tokens", {}, ["greedy", "max_length"])
    yield case("beams", "four beams, all of them", dict(max_length=14, num_beams=4, num_return_sequences=4), ["beams"], **writer)
    for stopping in (False, True, "never"):
        for penalty in (-1.0, 0.0, 2.0):
            name = f"stopping-{str(stopping).lower()}-penalty-{penalty:g}".replace("--", "-minus-")
            options = dict(max_length=16, num_beams=3, num_return_sequences=3, early_stopping=stopping, length_penalty=penalty)
            yield case(name, f"early_stopping {stopping}, length_penalty {penalty:g}", options, ["early_stopping", "length_penalty"], seed=701, rows=2, **writer)
    yield case("prompt-penalty", "the prompt does not count in the length that a score is divided by", dict(max_length=14, num_beams=3, num_return_sequences=3, length_penalty=1.0), ["prompt", "length_penalty"], seed=403, decoder_input_ids=tensor([[2, 7, 9, 11, 5]]), **writer)
    yield case("prompt-without-start", "the start token is put before a prompt", dict(max_new_tokens=6), ["prompt"], seed=404, decoder_input_ids=tensor([[7, 9]]))
    yield case("prompt-batch", "two prompts, with beams", dict(max_new_tokens=7, num_beams=2), ["prompt", "batch"], seed=405, rows=2, decoder_input_ids=tensor([[2, 7], [2, 12]]), **writer)
    yield case("min-length", "counts the prompt", dict(max_length=14, min_length=7, num_beams=2), ["min_length"], seed=406, decoder_input_ids=tensor([[2, 9, 30]]))
    yield case("min-length-greedy", "no end before 10 tokens", dict(max_length=14, min_length=10), ["min_length"], seed=407, rows=3)
    yield case("min-new-tokens", "does not count the prompt", dict(max_length=14, min_new_tokens=5), ["min_new_tokens"], seed=408, rows=2, decoder_input_ids=tensor([[2, 9, 30], [2, 4, 7]]))
    for size in (1, 2, 3, 4):
        yield case(f"no-repeat-{size}", f"no {size}-gram twice", dict(max_length=18, no_repeat_ngram_size=size), ["no_repeat_ngram_size"], seed=409, rows=2)
        yield case(f"no-repeat-{size}-beams", f"no {size}-gram twice, three beams", dict(max_length=16, min_length=15, no_repeat_ngram_size=size, num_beams=3), ["no_repeat_ngram_size", "min_length"], seed=410, **writer)
    repeated = ids(411, 2, 13, high=24)
    for size in (1, 2, 3):
        options = dict(max_length=14, encoder_no_repeat_ngram_size=size, num_beams=1 + size)
        yield case(f"encoder-no-repeat-{size}", f"no {size}-gram of the source", options, ["encoder_no_repeat_ngram_size"], seed=411, rows=2, attention_mask=(repeated != 1).long(), **writer)
    yield case("repetition-penalty", "greedy: logits of both signs", dict(max_length=16, repetition_penalty=1.8), ["repetition_penalty"], seed=412, rows=2)
    yield case("repetition-penalty-beams", "beams: log probabilities", dict(max_length=14, repetition_penalty=1.5, num_beams=3, num_return_sequences=2), ["repetition_penalty"], seed=413, **writer)
    yield case("repetition-reward", "below 1 what was written comes again", dict(max_length=14, repetition_penalty=0.7, num_beams=2), ["repetition_penalty"], seed=414, **writer)
    yield case("bad-words", "one token, two tokens, three, and the end token, which is overlooked", dict(max_length=14, bad_words_ids=[[17], [13, 4], [2], [22, 22, 6]]), ["bad_words_ids"], seed=415, rows=2, **writer)
    yield case("bad-words-beams", "with beams", dict(max_length=14, num_beams=4, bad_words_ids=[[4], [17, 22], [13, 17, 14]]), ["bad_words_ids"], seed=416, **writer)
    yield case("bad-words-first", "a bad word that the start token begins", dict(max_length=10, bad_words_ids=[[2, 13], [2, 22]]), ["bad_words_ids"], seed=417, rows=2, **writer)
    yield case("forced-bos", "the token after the start token", dict(max_length=10, forced_bos_token_id=0, num_beams=2), ["forced_bos_token_id"], seed=418, rows=2)
    yield case("forced-bos-after-prompt", "a prompt of two tokens is not a beginning", dict(max_length=10, forced_bos_token_id=0), ["forced_bos_token_id", "prompt"], seed=419, decoder_input_ids=tensor([[2, 7]]))
    yield case("forced-eos", "the last token is the end token", dict(max_length=9, forced_eos_token_id=2, num_beams=3, num_return_sequences=3), ["forced_eos_token_id"], seed=420, **writer)
    yield case("forced-both", "forced at both ends, greedy", dict(max_length=7, forced_bos_token_id=5, forced_eos_token_id=2), ["forced_bos_token_id", "forced_eos_token_id"], seed=421, rows=2)
    yield case("forced-eos-over-minimum", "must not end before 9, must end at 9: the force is asked later", dict(max_length=9, min_length=9, forced_eos_token_id=2, num_beams=2), ["forced_eos_token_id", "min_length"], seed=432)
    yield case("ends-two", "two end tokens: three times as many candidates as beams", dict(max_length=14, num_beams=3, num_return_sequences=3, eos_token_id=[2, 17]), ["eos_token_id"], seed=422, **writer)
    yield case("ends-three", "three end tokens, all of them likely: without enough candidates beams die out", dict(max_length=12, num_beams=3, num_return_sequences=3, eos_token_id=[2, 29, 35], early_stopping="never", length_penalty=2.0), ["eos_token_id"], seed=433, rows=2)
    yield case("bad-words-end", "the end token cannot be a bad word", dict(max_length=14, bad_words_ids=[[2], [3]]), ["bad_words_ids"], seed=434, rows=3)
    yield case("start-token", "another start token, which is no end token", dict(max_length=12, decoder_start_token_id=0, no_repeat_ngram_size=1), ["decoder_start_token_id"], seed=423, rows=2)
    yield case("longest", "the last token needs no position", dict(max_length=21, min_length=21, num_beams=2, no_repeat_ngram_size=2), ["longest target"], seed=424, **writer)
    padded = tensor([[1] * 13, mask(13, 9, 10, 11, 12), mask(13, 0, 1)])
    marked = tensor([marks(13, 0), marks(13, 0, 4), marks(13, 2)])
    yield case("padding-and-global", "sources of unequal length, global tokens", dict(max_length=14, num_beams=3), ["batch", "padding", "global"], seed=425, rows=3, attention_mask=padded, global_attention_mask=marked)
    yield case("padding-and-global-greedy", "the same, greedy", dict(max_length=14), ["batch", "padding", "global"], seed=426, rows=3, attention_mask=padded, global_attention_mask=marked, **writer)
    yield case("global-minus-one", "hidden from the encoder only", dict(max_length=10, num_beams=2), ["global mask -1"], seed=427, global_attention_mask=tensor([marks(13, 0, minus=(3, 12))]))
    yield case("untied", "another output table", dict(max_length=12, num_beams=3, num_return_sequences=2), ["untied weights"], seed=428, rows=2, model="led-lm-untied")
    yield case("twins", "two tokens that differ in the last bit of one number", dict(max_length=10, num_beams=3, no_repeat_ngram_size=2, min_length=8), ["tie"], seed=429, model="led-twins")
    yield case("twins-greedy", "the same, greedy", dict(max_length=10, min_length=8), ["tie"], seed=430, model="led-twins")
    for seed in range(60):
        yield drawn_case(seed)


def drawn_case(seed):
    """Options drawn by lot."""
    lot = random.Random(seed)
    model = lot.choice(["led-lm", "led-writer", "led-writer", "led-lm-untied"])
    high = 24 if model == "led-writer" else 40
    longest = 20 if model == "led-writer" else 24
    rows = lot.choice([1, 1, 2])
    inputs = dict(input_ids=ids(500 + seed, rows, 13, high=high))
    if lot.random() < 0.4:
        inputs["attention_mask"] = tensor([mask(13, *range(lot.randint(6, 13), 13)) for _ in range(rows)])
    if lot.random() < 0.5:
        inputs["global_attention_mask"] = tensor([marks(13, 0)] * rows)
    prompt = 1
    if lot.random() < 0.3:
        prompt = lot.randint(2, 4)
        inputs["decoder_input_ids"] = targets(600 + seed, rows, prompt, high)
    options = {}
    beams = lot.choice([1, 2, 2, 3, 4, 5])
    if beams > 1:
        options |= dict(num_beams=beams, num_return_sequences=lot.randint(1, beams), early_stopping=lot.choice([False, True, "never"]))
        options["length_penalty"] = lot.choice([-0.5, 0.0, 0.6, 1.0, 1.0, 2.0])
    new = lot.randint(4, longest - prompt)
    # transformers 4 takes a max_length of 20 for its default, 20 new tokens.
    options |= dict(max_length=prompt + new) if lot.random() < 0.6 and prompt + new != 20 else dict(max_new_tokens=new)
    if lot.random() < 0.4:
        options |= dict(min_length=lot.randint(2, prompt + new)) if lot.random() < 0.5 else dict(min_new_tokens=lot.randint(1, new))
    if lot.random() < 0.5:
        options["no_repeat_ngram_size"] = lot.choice([2, 3, 3])
    if lot.random() < 0.25:
        options["encoder_no_repeat_ngram_size"] = lot.choice([2, 3])
    if lot.random() < 0.35:
        options["repetition_penalty"] = lot.choice([0.8, 1.2, 1.5, 2.5])
    if lot.random() < 0.2:
        options["forced_bos_token_id"] = lot.choice([0, 5])
    if lot.random() < 0.25:
        options["forced_eos_token_id"] = 2
    if lot.random() < 0.3:
        options["bad_words_ids"] = [[lot.randrange(3, high) for _ in range(lot.choice([1, 1, 2]))] for _ in range(3)]
    return "generation", f"drawn-{seed}", dict(model=model, description="options drawn by lot", inputs=inputs, options=options, exercises=sorted(options))


def all_led_cases():
    for source in (led_cases, step_cases, generation_cases, refusals):
        yield from source()
