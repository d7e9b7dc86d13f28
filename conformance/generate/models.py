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
LED = dict(
    vocab_size=40, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=2, encoder_ffn_dim=24,
    decoder_ffn_dim=20, max_encoder_position_embeddings=48, max_decoder_position_embeddings=24, attention_window=[4, 8], dropout=0.0,
    attention_dropout=0.0, activation_dropout=0.0, classifier_dropout=0.0, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    decoder_start_token_id=2, activation_function="gelu",
)
# The seeds of the three that write were chosen among 25 each for the variety of their texts.
LED_MODELS = {
    "led": ("LEDModel", dict(), 21),
    "led-lm": ("LEDForConditionalGeneration", dict(), 214),
    "led-lm-untied": ("LEDForConditionalGeneration", dict(tie_word_embeddings=False, encoder_layers=1, decoder_layers=3, encoder_attention_heads=2, decoder_attention_heads=4, attention_window=[4]), 201),
    "led-question-answering": ("LEDForQuestionAnswering", dict(encoder_layers=1, decoder_layers=1, attention_window=[4]), 24),
    "led-sequence-classification": ("LEDForSequenceClassification", dict(encoder_layers=1, decoder_layers=1, attention_window=[4], num_labels=3), 25),
    "led-writer": ("LEDForConditionalGeneration", dict(vocab_size=24, decoder_layers=1, max_decoder_position_embeddings=20), 210),
    "led-twins": ("LEDForConditionalGeneration", dict(vocab_size=24, encoder_layers=1, decoder_layers=1, attention_window=[4]), 27),
}
OLDER = {"led-sequence-classification"}  # classes that transformers 5 no longer has: written when transformers 4 runs
TIED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")  # of an LED
TWINS = {"led-twins"}  # tokens 8 and 9 differ in the last bit of one number: whoever rounds cannot tell them apart
EAGER_TO_END = {"led-lm-untied": 1.0}  # on the logit of the end token: texts of many lengths; 2.5 for the others
COPIED = {"encoder-copied-projections"}  # its global projections are the local ones, as in a freshly converted model
GRID = {"encoder-grid-embeddings"}  # its embedding tables hold multiples of 1/256: float32 sums of them are exact in any order


def make_model(name):
    """The model of that name in float32, weights from its seed."""
    architecture, overrides, seed = (MODELS | LED_MODELS)[name]
    config = transformers.LEDConfig(**{**LED, **overrides}) if name in LED_MODELS else transformers.LongformerConfig(**{**TINY, **overrides})
    model = getattr(transformers, architecture)(config).eval()
    generator = torch.Generator().manual_seed(seed)
    size = config.hidden_size
    for key, parameter in sorted(model.state_dict(keep_vars=True).items()):
        if (".decoder." in key and name in MODELS or key.endswith(TIED)) and config.tie_word_embeddings:
            continue  # tied to another name
        value = draw(key, parameter.shape, size, generator)
        if name in GRID and "_embeddings." in key:
            value = (value * 256).round() / 256
        parameter.data.copy_(value)
    if "final_logits_bias" in model.state_dict():
        # A buffer of zeros in HF until somebody trains it.
        model.final_logits_bias[:] = 0.5 * torch.randn(model.final_logits_bias.shape, generator=generator)
        model.final_logits_bias[0, config.eos_token_id] += EAGER_TO_END.get(name, 2.5)
    if name in TWINS:
        table = model.get_input_embeddings().weight.data
        table[9] = table[8]
        table[9, 0] = torch.nextafter(table[8, 0], torch.tensor(9.0))
        model.final_logits_bias[0, 8:10] = 2.0
    if config.tie_word_embeddings:
        model.tie_weights()
    if name in COPIED:
        weights = model.state_dict()
        model.load_state_dict({key: weights[key.replace("_global.", ".")] for key in weights})
    return model


def draw(key, shape, size, generator):
    """Random values of a weight. Queries and keys are large, so that attention is peaked (scores to about 10)."""
    noise = torch.randn(shape, generator=generator)
    if "LayerNorm.weight" in key or "layer_norm.weight" in key or "layernorm_embedding.weight" in key:
        value = 1 + 0.3 * noise
    elif key.endswith("bias"):
        value = 0.3 * noise
    elif ".query" in key or ".key" in key or ".q_proj" in key or ".k_proj" in key:
        value = 1.8 * noise / size**0.5
    elif "decoder.embed_positions" in key:
        value = 2.1 * noise  # so that texts move on instead of saying one word again and again
    elif "embed" in key or "shared" in key:
        value = 0.7 * noise
    else:
        value = noise / size**0.5
    return value
