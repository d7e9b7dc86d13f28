"""A RoBERTa-style byte-level BPE tokenizer of a small vocabulary: <s> 0, <pad> 1, </s> 2, <unk> 3, <mask> last."""
import json
from pathlib import Path

from tokenizers import AddedToken, ByteLevelBPETokenizer
from transformers import LongformerTokenizerFast


def train_tokenizer(texts, vocab_size: int, directory: Path, max_length: int) -> LongformerTokenizerFast:
    directory.mkdir(parents=True, exist_ok=True)
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        texts, vocab_size=vocab_size - 1, min_frequency=2, show_progress=False, special_tokens=["<s>", "<pad>", "</s>", "<unk>"]
    )
    bpe.save_model(str(directory))
    vocab = json.loads((directory / "vocab.json").read_text())
    vocab["<mask>"] = len(vocab)
    (directory / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    # As RoBERTa's: the mask takes the blank before it, so that what stands there is a whole word.
    tokenizer = LongformerTokenizerFast(
        vocab=str(directory / "vocab.json"), merges=str(directory / "merges.txt"), model_max_length=max_length,
        mask_token=AddedToken("<mask>", lstrip=True, special=True, normalized=False),
    )
    tokenizer.save_pretrained(directory)
    return tokenizer
