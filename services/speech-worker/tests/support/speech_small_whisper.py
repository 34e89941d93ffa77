"""Makes a Whisper model of a few hundred kB with random weights: it hears nothing, but it loads and decodes."""

import json
from pathlib import Path

import ctranslate2
import numpy as np
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

_WIDTH = 64  # one attention head
_MELS = 80
_AUDIO_POSITIONS = 1500
_TEXT_POSITIONS = 448
_TIMESTAMPS = 1501
_WORDS = ["[UNK]", *(f"word{number}" for number in range(40))]
_SPECIAL = [
    "<|endoftext|>", "<|startoftranscript|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>",
    "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip


def make_small_whisper(folder: Path) -> None:
    """An English-only model in CTranslate2 format, as a converter would leave it."""
    special = [*_SPECIAL, *(f"<|{number * 0.02:.2f}|>" for number in range(_TIMESTAMPS))]
    vocabulary = [*_WORDS, *special]
    spec = ctranslate2.specs.WhisperSpec(1, 1, 1, 1)
    random = np.random.default_rng(7)
    _fill(spec, random, len(vocabulary))
    spec.register_vocabulary(vocabulary)
    ids = {token: number for number, token in enumerate(vocabulary)}
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [ids["<|endoftext|>"]]
    spec.config.lang_ids = []
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    spec.save(str(folder))
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(_WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": _MELS}))


def _fill(spec: "ctranslate2.specs.WhisperSpec", random: np.random.Generator, vocabulary: int) -> None:
    def weights(*shape: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        return (random.standard_normal(shape) * 0.05).astype(np.float32)

    def norm(layer: object) -> None:
        layer.gamma = np.ones(_WIDTH, np.float32)  # type: ignore[attr-defined]
        layer.beta = np.zeros(_WIDTH, np.float32)  # type: ignore[attr-defined]

    def linear(layer: object, out: int, into: int = _WIDTH) -> None:
        layer.weight = weights(out, into)  # type: ignore[attr-defined]
        layer.bias = np.zeros(out, np.float32)  # type: ignore[attr-defined]

    def feed_forward(layer: "ctranslate2.specs.transformer_spec.FeedForwardSpec") -> None:
        norm(layer.layer_norm)
        linear(layer.linear_0, 4 * _WIDTH)
        linear(layer.linear_1, _WIDTH, 4 * _WIDTH)

    encoder, decoder = spec.encoder, spec.decoder
    encoder.conv1.weight, encoder.conv1.bias = weights(_WIDTH, _MELS, 3), np.zeros(_WIDTH, np.float32)
    encoder.conv2.weight, encoder.conv2.bias = weights(_WIDTH, _WIDTH, 3), np.zeros(_WIDTH, np.float32)
    encoder.position_encodings.encodings = weights(_AUDIO_POSITIONS, _WIDTH)
    norm(encoder.layer_norm)
    for layer in encoder.layer:
        norm(layer.self_attention.layer_norm)
        linear(layer.self_attention.linear[0], 3 * _WIDTH)
        linear(layer.self_attention.linear[1], _WIDTH)
        feed_forward(layer.ffn)
    decoder.embeddings.weight = weights(vocabulary, _WIDTH)
    decoder.position_encodings.encodings = weights(_TEXT_POSITIONS, _WIDTH)
    decoder.projection.weight = decoder.embeddings.weight
    norm(decoder.layer_norm)
    for layer in decoder.layer:
        norm(layer.self_attention.layer_norm)
        linear(layer.self_attention.linear[0], 3 * _WIDTH)
        linear(layer.self_attention.linear[1], _WIDTH)
        norm(layer.attention.layer_norm)
        linear(layer.attention.linear[0], _WIDTH)
        linear(layer.attention.linear[1], 2 * _WIDTH)
        linear(layer.attention.linear[2], _WIDTH)
        feed_forward(layer.ffn)
