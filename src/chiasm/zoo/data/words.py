"""The vocabulary and the word-level tokenizer of the zoo's models."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from chiasm.zoo.data.captions import CAPTIONS
from chiasm.zoo.data.phrases import ANSWERS, PHRASES, PLURALS, RELATIONS
from chiasm.zoo.data.scenes import COLOURS, SHAPES

PAD, UNKNOWN, MASK, END, IMAGE, USER, ASSISTANT = SPECIAL = (
    "<pad>",
    "<unk>",
    "<mask>",
    "</s>",
    "<image>",
    "<user>",
    "<assistant>",
)

_FILLERS: Final = ("larger", "bigger", "smaller", "greatest", "smallest", "sum", "total", "even", "odd", "color")
"""Words that fill a place in a phrase and are in no other list."""


def _vocabulary() -> dict[str, int]:
    plain = set(COLOURS) | set(SHAPES) | set(PLURALS.values()) | set(ANSWERS) | set(_FILLERS) | {".", ","}
    phrases = [phrase for several in (*PHRASES.values(), *CAPTIONS.values(), tuple(RELATIONS)) for phrase in several]
    for phrase in phrases:
        plain |= set(re.findall(r"\w+|[^\w\s]", re.sub(r"{\w+}", " ", phrase).lower()))
    return {word: number for number, word in enumerate([*SPECIAL, *sorted(plain)])}


VOCABULARY: Final = _vocabulary()
"""Word → token id."""


@lru_cache(maxsize=65536)
def token_words(text: str) -> tuple[tuple[int, ...], ...]:
    """Token ids of a question, one tuple for each word (punctuation belongs to its word).

    Gives what `tokenizer` gives, without the library: the workers that make training batches need nothing else of it.
    """
    unknown = VOCABULARY[UNKNOWN]
    return tuple(
        tuple(VOCABULARY.get(token, unknown) for token in re.findall(r"\w+|[^\w\s]", word))
        for word in text.lower().split()
    )


def tokenizer(**named: str) -> Any:
    """The fast tokenizer: lower-cases, splits at white space and punctuation, one token a word, exact offsets.

    Args:
        **named: further special tokens of a model, each under the name by which its processor asks for it
            (``vision_start_token="<|vision_start|>"``). Those that are not in the vocabulary get the ids behind it, in
            this order, so that the ids of the words are the same in every model.
    """
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    fast = Tokenizer(models.WordLevel(VOCABULARY, unk_token=UNKNOWN))
    fast.normalizer = normalizers.Lowercase()
    fast.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    special = [*SPECIAL, *(token for token in named.values() if token not in SPECIAL)]
    fast.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token=PAD,
        unk_token=UNKNOWN,
        mask_token=MASK,
        eos_token=END,
        padding_side="left",  # so that the last column of a batch is the last token of every row
        model_max_length=512,
        extra_special_tokens={"image_token": IMAGE} | named,
    )
