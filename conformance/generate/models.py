"""The checkpoints behind the cases: tiny, seeded, with peaked attention, as Hugging Face saves them."""
import torch
import transformers

TINY = dict(
    vocab_size=32, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
    max_position_embeddings=48, type_vocab_size=2, attention_window=[4, 8], layer_norm_eps=1e-5, pad_token_id=1,
    bos_token_id=0, eos_token_id=2, sep_token_id=2, hidden_act="gelu", hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)

MODELS = {
    "encoder-2-layers": ("LongformerModel", dict(), 1),
    "encoder-3-layers-2-heads": ("LongformerModel", dict(num_hidden_layers=3, num_attention_heads=2, attention_window=[8, 4, 4]), 2),
    "encoder-1-head": ("LongformerModel", dict(num_hidden_layers=1, num_attention_heads=1, hidden_size=12, attention_window=[4]), 3),
    "encoder-odd-head-dim": ("LongformerModel", dict(num_hidden_layers=1, num_attention_heads=2, hidden_size=10, attention_window=[6]), 4),
    "encoder-pad-0": ("LongformerModel", dict(pad_token_id=0, bos_token_id=1, type_vocab_size=1), 5),
    "masked-lm": ("LongformerForMaskedLM", dict(), 6),
    "masked-lm-untied": ("LongformerForMaskedLM", dict(tie_word_embeddings=False), 7),
    "sequence-classification": ("LongformerForSequenceClassification", dict(num_labels=3), 8),
    "regression": ("LongformerForSequenceClassification", dict(num_labels=1), 9),
    "question-answering": ("LongformerForQuestionAnswering", dict(), 10),
    "token-classification": ("LongformerForTokenClassification", dict(num_labels=5), 11),
    "multiple-choice": ("LongformerForMultipleChoice", dict(), 12),
    "encoder-copied-projections": ("LongformerModel", dict(num_hidden_layers=1, num_attention_heads=2, attention_window=[24]), 13),
    "encoder-grid-embeddings": ("LongformerModel", dict(num_hidden_layers=1, attention_window=[4]), 14),
}
COPIED = {"encoder-copied-projections"}  # its global projections are the local ones, as in a freshly converted model
GRID = {"encoder-grid-embeddings"}  # its embedding tables hold multiples of 1/256: float32 sums of them are exact in any order


def make_model(name):
    """The model of that name in float32, weights from its seed."""
    architecture, overrides, seed = MODELS[name]
    config = transformers.LongformerConfig(**{**TINY, **overrides})
    model = getattr(transformers, architecture)(config).eval()
    generator = torch.Generator().manual_seed(seed)
    size = config.hidden_size
    for key, parameter in sorted(model.state_dict(keep_vars=True).items()):
        if ".decoder." in key and config.tie_word_embeddings:
            continue  # tied to another name
        value = draw(key, parameter.shape, size, generator)
        if name in GRID and "_embeddings." in key:
            value = (value * 256).round() / 256
        parameter.data.copy_(value)
    if config.tie_word_embeddings:
        model.tie_weights()
    if name in COPIED:
        weights = model.state_dict()
        model.load_state_dict({key: weights[key.replace("_global.", ".")] for key in weights})
    return model


def draw(key, shape, size, generator):
    """Random values of a weight. Queries and keys are large, so that attention is peaked (scores to about 10)."""
    noise = torch.randn(shape, generator=generator)
    if "LayerNorm.weight" in key or "layer_norm.weight" in key:
        value = 1 + 0.3 * noise
    elif key.endswith("bias"):
        value = 0.3 * noise
    elif ".query" in key or ".key" in key:
        value = 1.8 * noise / size**0.5
    elif "embeddings" in key:
        value = 0.7 * noise
    else:
        value = noise / size**0.5
    return value
