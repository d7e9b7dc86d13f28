"""What is asked, case by case. Each function yields (level, name, settings); generate.py runs them.

The seed of a case is its place in all_cases(), so new cases go to the end, into later_cases(): anywhere else they would
change the inputs of every case after them.
"""
import torch

R = [1] * 64


def mask(length, *holes):
    return [0 if t in holes else 1 for t in range(length)]


def marks(length, *positions, minus=()):
    return [1 if t in positions else -1 if t in minus else 0 for t in range(length)]


def attention_cases():
    """One attention: hidden states in, before the output projection."""
    model = dict(model="encoder-2-layers", layer=0)  # layer 0 has a one-sided window of 2, layer 1 of 4

    def case(name, description, rows, exercises, **more):
        """rows: for each row (length, attention mask or None, global mask or None)."""
        settings = {**model, **more}
        lengths = {row[0] for row in rows}
        assert len(lengths) == 1, name
        return "attention", name, dict(settings, description=description, rows=rows, exercises=exercises)

    for length, label in ((1, "one-token"), (2, "length-w"), (3, "length-w-plus-1"), (4, "length-2w"), (5, "length-2w-plus-1")):
        yield case(label, f"{length} tokens, one-sided window 2", [(length, None, None)], ["length", "band edge"])
    yield case("length-2w-minus-1", "7 tokens, one-sided window 4", [(7, None, None)], ["length", "band edge"], layer=1)
    yield case("length-2w-of-4", "8 tokens, one-sided window 4", [(8, None, None)], ["length"], layer=1)
    yield case("length-2w-plus-1-of-4", "9 tokens, one-sided window 4", [(9, None, None)], ["length"], layer=1)
    yield case("plain-batch", "two rows of 13 tokens", [(13, None, None), (13, None, None)], ["ragged length", "batch"])
    yield case("long", "40 tokens, many windows", [(40, None, None)], ["many blocks"])
    yield case("padding-right", "the last tokens are padding", [(12, mask(12, 9, 10, 11), None), (12, None, None)], ["padding"])
    yield case("padding-left", "the first tokens are padding", [(12, mask(12, 0, 1, 2), None)], ["padding"])
    yield case("padding-holes", "padding between tokens", [(13, mask(13, 2, 5, 6, 9), None)], ["padding", "holes"])
    yield case("padding-all-of-one-row", "one row is all padding", [(9, [0] * 9, None), (9, None, None)], ["all padding"])
    yield case("padding-all", "nothing but padding", [(6, [0] * 6, None)], ["all padding"])
    yield case("padding-wide", "more padding than the window reaches", [(14, mask(14, *range(4, 10)), None)], ["padding", "empty band"])
    yield case("global-first", "the first token is global", [(13, None, marks(13, 0))], ["global"])
    yield case("global-last", "the last token is global", [(13, None, marks(13, 12))], ["global"])
    yield case("global-scattered", "three global tokens apart", [(20, None, marks(20, 1, 9, 18))], ["global", "global key inside the band"])
    yield case("global-adjacent", "global tokens side by side", [(14, None, marks(14, 5, 6, 7))], ["global", "global key inside the band"])
    yield case("global-all", "every token is global", [(9, None, [1] * 9)], ["all global"])
    yield case("global-all-of-one-row", "one row all global, one row none", [(7, None, [1] * 7), (7, None, [0] * 7)], ["all global", "empty slots"])
    yield case("global-different-places", "as many global tokens, elsewhere", [(10, None, marks(10, 0)), (10, None, marks(10, 6))], ["global", "batch"])
    yield case("global-different-numbers", "3, 1 and no global tokens", [(11, None, marks(11, 0, 4, 9)), (11, None, marks(11, 5)), (11, None, [0] * 11)], ["global", "empty slots"])
    yield case("global-mask-of-zeros", "a global mask without any mark", [(10, None, [0] * 10)], ["no global"])
    yield case("global-and-padding", "global tokens beside padding, in three rows", [(12, mask(12, 10, 11), marks(12, 0, 3)), (12, mask(12, 0, 5), marks(12, 4, 6)), (12, None, marks(12, 11))], ["global", "padding", "empty slots"])
    yield case("global-on-padding", "a mark on a masked token does not count", [(10, mask(10, 4, 9), marks(10, 0, 4))], ["masked beats global"])
    yield case("global-only-on-padding", "every mark is on padding: no global columns at all", [(8, mask(8, 6, 7), marks(8, 6, 7))], ["masked beats global", "no global"])
    yield case("global-minus-one", "a global mask of -1 masks", [(11, None, marks(11, 2, minus=(5, 6, 10)))], ["global mask -1"])
    yield case("global-wide-window", "global tokens with one-sided window 4", [(18, mask(18, 16, 17), marks(18, 0, 8)), (18, None, marks(18, 3, 12))], ["global", "padding"], layer=1)
    yield case("window-over-all", "the window is wider than the document", [(4, None, None)], ["w >= n"], layer=1)
    yield case("heads-1", "one head", [(11, None, marks(11, 2))], ["heads"], model="encoder-1-head", layer=0)
    yield case("heads-2", "two heads", [(13, mask(13, 12), marks(13, 0, 7))], ["heads"], model="encoder-3-layers-2-heads", layer=1)
    yield case("head-dim-odd", "a head of 5 features, one-sided window 3", [(16, None, marks(16, 4)), (16, mask(16, 15), None or marks(16, 4))], ["headDim"], model="encoder-odd-head-dim", layer=0)
    yield case("heads-2-window-8", "two heads, one-sided window 4", [(21, mask(21, 3), marks(21, 0, 20))], ["heads"], model="encoder-3-layers-2-heads", layer=0)

    def oracle(name, description, rows, exercises, config, **more):
        return case(name, description, rows, exercises, source="dense-oracle", config=config, **more)

    dilated = dict(attention_dilation=[[1, 2, 3, 1], [2, 2, 2, 2]])
    causal = dict(autoregressive=True)
    yield oracle("dilated-per-head", "dilations 1, 2, 3, 1", [(17, None, None)], ["dilation"], dilated)
    yield oracle("dilated-all-heads", "dilation 2 in every head, one-sided window 4", [(19, None, None)], ["dilation"], dilated, layer=1)
    yield oracle("dilated-padding", "dilation beside padding", [(16, mask(16, 3, 8, 15), None)], ["dilation", "padding"], dilated)
    yield oracle("dilated-global", "dilation beside global tokens", [(18, mask(18, 17), marks(18, 0, 6)), (18, None, marks(18, 9))], ["dilation", "global"], dilated)
    yield oracle("dilated-short", "the reach is longer than the document", [(4, None, None)], ["dilation", "w >= n"], dilated)
    yield oracle("causal", "keys at or before the query", [(13, None, None)], ["causal"], causal)
    yield oracle("causal-padding", "causal with padding on the left", [(12, mask(12, 0, 1, 6), None)], ["causal", "padding"], causal)
    yield oracle("causal-dilated", "causal and dilated per head", [(17, None, None)], ["causal", "dilation"], {**causal, **dilated})
    yield oracle("causal-global", "causal with global tokens: j <= i for all of them", [(14, None, marks(14, 0, 8)), (14, mask(14, 13), marks(14, 5, 8, 9))], ["causal", "global"], causal)
    yield oracle("causal-dilated-global", "causal, dilated, global and padded", [(16, mask(16, 2, 15), marks(16, 1, 7))], ["causal", "dilation", "global"], {**causal, **dilated})
    yield oracle("window-1", "one token on each side", [(9, mask(9, 8), marks(9, 3))], ["one-sided window 1"], dict(attention_window=[2, 2]))
    yield oracle("window-1-causal", "the token and the one before it", [(7, None, None)], ["one-sided window 1", "causal"], dict(attention_window=[2, 2], autoregressive=True))
    yield oracle("window-6-beside-4", "windows that do not divide each other", [(15, None, marks(15, 0))], ["window 3 of [4, 6]"], dict(attention_window=[4, 6]), layer=1)


def layer_cases():
    def case(name, description, rows, exercises, **more):
        return "layer", name, {**dict(model="encoder-2-layers", layer=0, description=description, rows=rows, exercises=exercises), **more}

    yield case("plain", "one layer, 13 tokens", [(13, None, None)], ["residuals", "layer norm", "gelu"])
    yield case("padding", "padding passes through by the residual", [(12, mask(12, 9, 10, 11), None), (12, [0] * 12, None)], ["padding", "all padding"])
    yield case("global", "global tokens and padding", [(14, mask(14, 13), marks(14, 0, 5)), (14, None, marks(14, 2))], ["global", "empty slots"])
    yield case("second-layer", "the other window", [(17, None, marks(17, 1))], ["window of the layer"], layer=1)
    for act in ("relu", "gelu_new", "silu"):
        yield case(f"activation-{act.replace('_', '-')}", f"hidden_act {act}", [(9, None, None)], ["hidden_act"], config=dict(hidden_act=act))
    yield case("eps-large", "an epsilon that shows", [(9, None, None)], ["layer_norm_eps"], config=dict(layer_norm_eps=0.01))
    yield case("causal-dilated", "a whole layer of the authors' kernel", [(15, None, marks(15, 3))], ["causal", "dilation"], source="dense-oracle", config=dict(autoregressive=True, attention_dilation=[[1, 2, 3, 1], [1, 1, 1, 1]]))


def ids(seed, *shape, low=3, high=31, ends=True):
    """Random token ids without special ones; <s> first and </s> last."""
    values = torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))
    if ends:
        values[..., 0] = 0
        values[..., -1] = 2
    return values


def with_pads(values, pad, *where):
    values = values.clone()
    for index in where:
        values[index] = pad
    return values


def tensor(rows):
    return torch.tensor(rows)


def encoder_cases():
    def case(name, description, inputs, exercises, **more):
        return "encoder", name, {**dict(model="encoder-2-layers", description=description, inputs=inputs, exercises=exercises), **more}

    for length in (1, 2, 3, 7, 8, 9):
        yield case(f"length-{length}", f"{length} tokens, windows 4 and 8", dict(input_ids=ids(length, 1, length, ends=False)), ["length"])
    plain = ids(21, 2, 13)
    yield case("plain", "two rows of 13 tokens, no masks", dict(input_ids=plain), ["ragged length", "batch"])
    yield case("long", "40 tokens", dict(input_ids=ids(22, 1, 40)), ["many blocks"])
    padded = with_pads(ids(23, 3, 12), 1, (1, slice(8, 12)), (2, slice(0, 3)))
    yield case("padding", "pads on the right and on the left", dict(input_ids=padded, attention_mask=(padded != 1).long()), ["padding", "position ids"])
    holes = with_pads(ids(24, 1, 14), 1, (0, 4), (0, slice(7, 9)))
    yield case("padding-holes", "pads in the middle consume no position", dict(input_ids=holes, attention_mask=(holes != 1).long()), ["padding", "position ids"])
    yield case("padding-attended", "pads without a mask are attended to", dict(input_ids=holes), ["padding", "no mask"])
    yield case("padding-hides-tokens", "the mask hides tokens that are no pads", dict(input_ids=plain, attention_mask=tensor([mask(13, 3, 11, 12), mask(13, 0, 1)])), ["padding"])
    yield case("padding-all", "a row of nothing but padding", dict(input_ids=with_pads(ids(25, 2, 9), 1, (0, slice(0, 9))), attention_mask=tensor([[0] * 9, [1] * 9])), ["all padding"])
    yield case("global-first", "<s> is global", dict(input_ids=plain, global_attention_mask=tensor([marks(13, 0)] * 2)), ["global"])
    yield case("global-different", "2, 1 and no global tokens, padding too", dict(input_ids=padded, attention_mask=(padded != 1).long(), global_attention_mask=tensor([marks(12, 0, 7), marks(12, 2), [0] * 12])), ["global", "empty slots", "padding"])
    yield case("global-adjacent", "global tokens side by side", dict(input_ids=plain[:1], global_attention_mask=tensor([marks(13, 4, 5, 6)])), ["global"])
    yield case("global-all", "every token is global", dict(input_ids=plain[:1], global_attention_mask=tensor([[1] * 13])), ["all global"])
    yield case("global-minus-one", "marks of -1 and marks on padding", dict(input_ids=plain, attention_mask=tensor([mask(13, 12), mask(13, 5)]), global_attention_mask=tensor([marks(13, 0, 12, minus=(6,)), marks(13, 5, 8)])), ["global mask -1", "masked beats global"])
    yield case("token-types", "both token types", dict(input_ids=plain, token_type_ids=tensor([[0] * 6 + [1] * 7, [1, 0] * 6 + [1]])), ["token_type_ids"])
    yield case("position-ids", "positions given by the caller", dict(input_ids=plain, position_ids=tensor([list(range(20, 33)), list(range(47, 34, -1))])), ["position_ids"])
    yield case("inputs-embeds", "embeddings given by the caller", dict(inputs_embeds=torch.randn(2, 11, 16, generator=torch.Generator().manual_seed(26)), attention_mask=tensor([mask(11, 10), [1] * 11])), ["inputs_embeds"])
    yield case("inputs-embeds-global", "embeddings with types, positions and global tokens", dict(inputs_embeds=torch.randn(1, 9, 16, generator=torch.Generator().manual_seed(27)), global_attention_mask=tensor([marks(9, 0, 8)]), token_type_ids=tensor([[1] * 9]), position_ids=tensor([list(range(9))])), ["inputs_embeds", "global"])
    yield case("windows-reversed", "the wide window first", dict(input_ids=plain, global_attention_mask=tensor([marks(13, 2)] * 2)), ["windows per layer"], config=dict(attention_window=[8, 4]))
    yield case("window-number", "one window for all layers", dict(input_ids=plain), ["attention_window as a number"], config=dict(attention_window=4))
    yield case("window-over-all", "windows wider than the document", dict(input_ids=plain), ["w >= n"], config=dict(attention_window=[32, 64]))
    yield case("activation-relu", "hidden_act relu", dict(input_ids=plain[:1]), ["hidden_act"], config=dict(hidden_act="relu"))
    yield case("eps-1e-12", "the class default of layer_norm_eps", dict(input_ids=plain[:1]), ["layer_norm_eps"], config=dict(layer_norm_eps=1e-12))
    yield case("layers-3", "three layers, windows 8, 4, 4", dict(input_ids=ids(28, 1, 19), global_attention_mask=tensor([marks(19, 0, 10)])), ["layers", "windows per layer"], model="encoder-3-layers-2-heads")
    yield case("heads-1", "one layer, one head", dict(input_ids=ids(29, 1, 10)), ["heads"], model="encoder-1-head")
    yield case("head-dim-odd", "5 features in a head", dict(input_ids=ids(30, 2, 12), global_attention_mask=tensor([marks(12, 0), marks(12, 11)])), ["headDim"], model="encoder-odd-head-dim")
    pad0 = with_pads(ids(31, 2, 11, ends=False), 0, (0, slice(8, 11)))
    yield case("pad-token-0", "pad_token_id 0: positions start at 1", dict(input_ids=pad0, attention_mask=(pad0 != 0).long()), ["pad_token_id"], model="encoder-pad-0")
    yield case("largest-length", "as many tokens as the position table holds", dict(input_ids=ids(32, 1, 46)), ["longest document"])
    yield case("dilated-ones-change-nothing", "attention_dilation of ones and autoregressive false", dict(input_ids=plain[:1]), ["attention_dilation"], config=dict(attention_dilation=[1, 1], autoregressive=False))

    def oracle(name, description, inputs, exercises, config):
        return case(name, description, inputs, exercises, source="dense-oracle", config=config)

    yield oracle("dilated", "dilation per layer and head", dict(input_ids=plain, attention_mask=tensor([mask(13, 12), [1] * 13])), ["dilation"], dict(attention_dilation=[[1, 2, 3, 1], [2, 1, 1, 2]]))
    yield oracle("causal", "an autoregressive encoder", dict(input_ids=plain), ["causal"], dict(autoregressive=True))
    yield oracle("causal-dilated-global", "everything at once", dict(input_ids=padded, attention_mask=(padded != 1).long(), global_attention_mask=tensor([marks(12, 0, 7), marks(12, 2), [0] * 12])), ["causal", "dilation", "global", "padding"], dict(autoregressive=True, attention_dilation=[1, 2]))
    yield oracle("windows-4-6", "windows that do not divide each other", dict(input_ids=plain, global_attention_mask=tensor([marks(13, 0)] * 2)), ["windows per layer"], dict(attention_window=[4, 6]))
    yield oracle("window-1", "one token on each side", dict(input_ids=plain), ["one-sided window 1"], dict(attention_window=[2, 2]))


def pair(first, second, length, seed):
    """<s> first </s></s> second </s>, padded with 1."""
    words = torch.randint(4, 31, (first + second,), generator=torch.Generator().manual_seed(seed)).tolist()
    row = [0, *words[:first], 2, 2, *words[first:], 2]
    return row + [1] * (length - len(row))


def heads_cases():
    def case(name, model, description, inputs, exercises, **more):
        return "heads", name, {**dict(model=model, description=description, inputs=inputs, exercises=exercises), **more}

    plain = ids(41, 2, 11)
    padded = with_pads(ids(42, 2, 12), 1, (1, slice(9, 12)))
    attended = (padded != 1).long()
    yield case("masked-lm", "masked-lm", "tied decoder, no global attention", dict(input_ids=padded, attention_mask=attended), ["masked LM", "tied weights"])
    yield case("masked-lm-global", "masked-lm", "with a global mask", dict(input_ids=plain, global_attention_mask=tensor([marks(11, 0), marks(11, 5)])), ["masked LM", "global"])
    yield case("masked-lm-relu", "masked-lm", "the head is GELU whatever hidden_act says", dict(input_ids=plain), ["masked LM", "hidden_act"], config=dict(hidden_act="relu"))
    yield case("masked-lm-untied", "masked-lm-untied", "a decoder of its own", dict(input_ids=plain), ["masked LM", "untied weights"])
    yield case("sequence-classification", "sequence-classification", "<s> becomes global by itself", dict(input_ids=padded, attention_mask=attended), ["sequence classification", "automatic global"])
    yield case("sequence-classification-global", "sequence-classification", "a given mask is taken as it is", dict(input_ids=plain, global_attention_mask=tensor([marks(11, 3), [0] * 11])), ["sequence classification", "given global"])
    yield case("regression", "regression", "one label", dict(input_ids=plain), ["regression"])
    qa = tensor([pair(3, 5, 14, 1), pair(5, 5, 14, 2)])
    yield case("question-answering", "question-answering", "the question becomes global, its separator does not", dict(input_ids=qa, attention_mask=(qa != 1).long()), ["question answering", "automatic global", "separators"])
    yield case("question-answering-no-mask", "question-answering", "padding attended to", dict(input_ids=qa), ["question answering", "no mask"])
    yield case("question-answering-global", "question-answering", "a given mask needs no separators", dict(input_ids=plain, global_attention_mask=tensor([marks(11, 1, 2)] * 2)), ["question answering", "given global"])
    yield case("question-answering-empty-question", "question-answering", "only <s> before the separator", dict(input_ids=tensor([pair(0, 6, 10, 3)])), ["question answering", "separators"])
    yield case("token-classification", "token-classification", "no automatic global attention", dict(input_ids=padded, attention_mask=attended), ["token classification"])
    yield case("token-classification-global", "token-classification", "with a global mask and types", dict(input_ids=plain, global_attention_mask=tensor([marks(11, 0)] * 2), token_type_ids=tensor([[0] * 5 + [1] * 6] * 2)), ["token classification", "global"])
    choices = tensor([[pair(4, 3, 12, 5), pair(4, 2, 12, 6)], [pair(2, 5, 12, 7), pair(3, 3, 12, 8)]])
    yield case("multiple-choice", "multiple-choice", "everything after the double separator becomes global", dict(input_ids=choices, attention_mask=(choices != 1).long()), ["multiple choice", "automatic global", "separators"])
    yield case("multiple-choice-no-mask", "multiple-choice", "padding becomes global too", dict(input_ids=choices), ["multiple choice", "automatic global"])
    yield case("multiple-choice-three", "multiple-choice", "three choices, a given mask", dict(input_ids=tensor([[pair(4, 3, 12, 9), pair(4, 4, 12, 10), pair(1, 2, 12, 11)]]), global_attention_mask=tensor([[marks(12, 0), marks(12, 1), marks(12, 0, 2)]])), ["multiple choice", "given global"])
    yield case("question-answering-inputs-embeds", "question-answering", "without ids there is no automatic mask", dict(inputs_embeds=torch.randn(1, 9, 16, generator=torch.Generator().manual_seed(43))), ["question answering", "inputs_embeds"])
    yield case("sequence-classification-dilated", "sequence-classification", "a dilated classifier", dict(input_ids=plain), ["sequence classification", "dilation"], source="dense-oracle", config=dict(attention_dilation=[[1, 2, 1, 2], [2, 2, 2, 2]]))


def refusals():
    """Inputs that must be refused: (level, name, settings with expectedError)."""
    plain = ids(51, 1, 9)

    def case(name, level, model, description, inputs, code, about, **more):
        return level, f"refuse-{name}", {**dict(model=model, description=description, inputs=inputs, exercises=["refusal"], expectedError=dict(code=code, about=about)), **more}

    encoder = ("encoder", "encoder-2-layers")
    yield case("id-too-large", *encoder, "an id beyond the vocabulary", dict(input_ids=plain + 30), "E_RANGE", "input_ids")
    yield case("id-negative", *encoder, "a negative id", dict(input_ids=plain - 1), "E_RANGE", "input_ids")
    yield case("mask-of-2", *encoder, "attention_mask takes 0 and 1 only", dict(input_ids=plain, attention_mask=tensor([[2] + [1] * 8])), "E_RANGE", "attention_mask")
    yield case("global-mask-of-2", *encoder, "global_attention_mask takes -1, 0 and 1 only", dict(input_ids=plain, global_attention_mask=tensor([[2] + [0] * 8])), "E_RANGE", "global_attention_mask")
    yield case("mask-too-short", *encoder, "a mask of another shape", dict(input_ids=plain, attention_mask=tensor([[1] * 8])), "E_SHAPE", "attention_mask")
    yield case("too-long", *encoder, "one token more than the position table holds", dict(input_ids=ids(52, 1, 47)), "E_SHAPE", "input_ids")
    yield case("type-too-large", *encoder, "a token type beyond the table", dict(input_ids=plain, token_type_ids=tensor([[2] * 9])), "E_RANGE", "token_type_ids")
    yield case("position-too-large", *encoder, "a position beyond the table", dict(input_ids=plain, position_ids=tensor([list(range(40, 49))])), "E_RANGE", "position_ids")
    yield case("ids-and-embeds", *encoder, "both input_ids and inputs_embeds", dict(input_ids=plain, inputs_embeds=torch.zeros(1, 9, 16)), "E_RANGE", "input_ids")
    yield case("window-odd", *encoder, "an odd window", dict(input_ids=plain), "E_CONFIG", "attention_window[1]", config=dict(attention_window=[4, 7]))
    yield case("windows-too-few", *encoder, "fewer windows than layers", dict(input_ids=plain), "E_CONFIG", "attention_window", config=dict(attention_window=[4]))
    separators = tensor([[0, 5, 2, 2, 6, 2, 2], [0, 5, 2, 6, 7, 8, 2]])  # 4 + 2: HF's count over the batch would pass
    yield case("separators-per-row", "heads", "question-answering", "4 and 2 separators, 6 in all", dict(input_ids=separators), "E_RANGE", "input_ids")
    yield case("two-separators", "heads", "multiple-choice", "a pair with one separator between", dict(input_ids=separators[None, 1:]), "E_RANGE", "input_ids")


def embeds_of_little_variance(model):
    """Embeddings that nearly cancel what is added to them: rows whose variance is near layer_norm_eps, the last one's is 0.

    All on a grid, so that the sums are exact in float32 in any order: what differs is the layer norm.
    """
    table = model.embeddings
    added = table.position_embeddings.weight[2:13] + table.token_type_embeddings.weight[0]
    noise = torch.randn(2, *added.shape, generator=torch.Generator().manual_seed(61))
    sizes = torch.tensor([0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 0.0])
    return {"inputs_embeds": ((noise * sizes[:, None] * 2**14).round() / 2**14 - added).detach()}


def embeds_of_large_mean(model):
    """Rows whose mean is large beside their deviation: mean(x * x) - mean(x) ** 2 loses them in float32.

    On a grid again: the mean itself is exact in float32, by any way of summing.
    """
    noise = torch.randn(1, 8, model.config.hidden_size, generator=torch.Generator().manual_seed(62))
    means = torch.tensor([0, 2, -4, 8, -16, 32, -64, 128])
    return {"inputs_embeds": (noise * 256).round() / 256 + means[:, None]}


def later_cases():
    """Added after the first set."""
    model = dict(model="encoder-2-layers", layer=0)
    full = "as wide as the document, global projections copied from the local ones: equals full attention"
    copied = dict(model="encoder-copied-projections", layer=0, equals="full attention", exercises=["w >= n", "full attention"])
    yield "attention", "full-attention", dict(copied, description=f"no marks, {full}", rows=[(11, [1] * 11, None), (11, mask(11, 9, 10), None)])
    yield "attention", "full-attention-global", dict(copied, description=f"marks, {full}", rows=[(11, [1] * 11, marks(11, 0, 6)), (11, mask(11, 4, 10), marks(11, 7))])
    flat = dict(model, description="small hidden states: attention is nearly uniform", scale=0.1, exercises=["flat attention"])
    yield "attention", "flat", dict(flat, rows=[(17, mask(17, 16), marks(17, 3)), (17, None, [0] * 17)])

    def encoder(name, description, exercises, **more):
        return "encoder", name, dict(dict(model="encoder-2-layers", description=description, exercises=exercises), **more)

    def heads(name, model, description, exercises, **more):
        return "heads", name, dict(model=model, description=description, exercises=exercises, **more)

    yield encoder("small-variance", "rows whose variance is near layer_norm_eps", ["layer_norm_eps", "inputs_embeds"], model="encoder-grid-embeddings", embeds=embeds_of_little_variance)
    yield encoder("large-mean", "rows whose mean is large beside their deviation", ["layer norm", "inputs_embeds"], model="encoder-grid-embeddings", embeds=embeds_of_large_mean)
    holes = with_pads(ids(63, 2, 12), 1, (0, slice(8, 12)), (1, slice(3, 5)))
    yield encoder("padding-attended-ones", "pads that a mask of ones lets in", ["padding", "position ids"], inputs=dict(input_ids=holes, attention_mask=torch.ones_like(holes)))

    question = tensor([pair(3, 5, 14, 68), pair(4, 3, 14, 69)])
    embeds = torch.randn(2, 3, 9, 16, generator=torch.Generator().manual_seed(66))
    yield heads("multiple-choice-inputs-embeds", "multiple-choice", "three choices of embeddings: no automatic mask", ["multiple choice", "inputs_embeds"], inputs=dict(inputs_embeds=embeds))
    types = torch.cat([torch.zeros(2, 14, dtype=torch.long), torch.ones(2, 14, dtype=torch.long)]).reshape(2, 2, 14)
    places = torch.arange(30, 44).expand(2, 2, 14) - types
    yield heads("multiple-choice-types-positions", "multiple-choice", "token types and positions for each choice", ["multiple choice", "token_type_ids", "position_ids"], inputs=dict(input_ids=torch.stack([question, question.flip(0)]), token_type_ids=types, position_ids=places))
    older = dict(transformers=4)
    padded = with_pads(ids(67, 3, 13), 1, (1, slice(10, 13)))
    yield encoder("transformers-4", "global tokens and padding, by transformers 4", ["global", "padding", "empty slots", "transformers 4"], inputs=dict(input_ids=padded, attention_mask=(padded != 1).long(), global_attention_mask=tensor([marks(13, 0, 6), marks(13, 4, 11), [0] * 13])), **older)
    yield heads("question-answering-transformers-4", "question-answering", "automatic global attention, by transformers 4", ["question answering", "automatic global", "transformers 4"], inputs=dict(input_ids=question, attention_mask=(question != 1).long()), **older)
    yield heads("masked-lm-untied-transformers-4", "masked-lm-untied", "lm_head.decoder.bias counts and lm_head.bias does not, by transformers 4 too", ["masked LM", "untied weights", "transformers 4"], inputs=dict(input_ids=padded), **older)

    refused = dict(exercises=["refusal"], expectedError=dict(code="E_RANGE", about="input_ids"))
    yield "heads", "refuse-question-with-two-separators", dict(refused, model="question-answering", description="a question whose pair has two separators only", inputs=dict(input_ids=tensor([[0, 5, 6, 2, 7, 8, 9, 2]])))


def all_cases():
    for source in (attention_cases, layer_cases, encoder_cases, heads_cases, refusals, later_cases):
        yield from source()
