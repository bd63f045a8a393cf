"""The prompts of decoder models: how a sample's pictures and texts are written, and which tokens are whose."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, ModelError
from chiasm.models.decoder_images import Sight
from chiasm.models.tokens import Encoded, PartTokens, Rendered, encode, expand, render, tokens_within

#: parts of a sample in order: (name, kind)
Order = Sequence[tuple[str, str]]
#: texts by part → prompt with one placeholder a picture
Form = Callable[[Mapping[str, str]], str]

KEPT_PROMPTS = 4096
"""How many tokenised prompts of a sample are remembered."""


@dataclass(eq=False)
class Prompt:
    """A tokenised prompt.

    Attributes:
        ids: ``int64[tokens]``, pictures expanded to their image tokens.
        parts: text part → its tokens.
        text: what was tokenised.
    """

    ids: NDArray[np.int64]
    parts: dict[str, PartTokens]
    text: str


def chat_form(tokenizer: Any, template: str, order: Order) -> Form:
    """All parts as one message of the user, in the sample's order, by the model's chat template.

    The form raises `ModelError` where the template is broken or refuses the message.
    """
    from jinja2 import TemplateError

    def write(texts: Mapping[str, str]) -> str:
        content = [{"type": kind, **({"text": texts[name]} if kind == "text" else {})} for name, kind in order]
        message = [{"role": "user", "content": content}]
        try:
            written = tokenizer.apply_chat_template(
                message, chat_template=template, tokenize=False, add_generation_prompt=True
            )
        except (TemplateError, TypeError, ArithmeticError, LookupError) as error:  # what a template computes may fail
            raise ModelError(
                f"The model's chat template (chat_template.jinja, or chat_template in tokenizer_config.json) cannot "
                f"write this sample: {type(error).__name__}: {error}. Put the template of the original model into the "
                f"model's folder."
            ) from error
        return str(written)

    return write


def llava_form(placeholder: str, order: Order) -> Form:
    """``USER:``, a picture, a line feed, the question, ``ASSISTANT:``, as the LLaVA 1.5 checkpoints document it."""

    def write(texts: Mapping[str, str]) -> str:
        pieces = [f"{placeholder}\n" if kind == "image" else texts[name] for name, kind in order]
        return f"USER: {''.join(pieces)} ASSISTANT:"

    return write


def paligemma_form(placeholder: str, start: str, order: Order) -> Form:
    """All pictures, the start token, the texts (a space between them), a line feed: as PaliGemma was trained."""
    pictures = sum(kind == "image" for _, kind in order)

    def write(texts: Mapping[str, str]) -> str:
        return f"{placeholder * pictures}{start}{' '.join(texts.values())}\n"

    return write


def blip2_form(texts: Mapping[str, str]) -> Form:
    """``Question: … Answer:`` as BLIP-2 documents it, unless the text (of the whole sample) has that form itself."""
    whole = " ".join(texts.values()).strip()
    own = whole.endswith(":") or whole.lower().startswith("question:")

    def write(given: Mapping[str, str]) -> str:
        written = " ".join(given.values())
        return written if own else f"Question: {written} Answer:"

    return write


@dataclass(eq=False)
class Prompter:
    """Writes and tokenises the prompt of one sample, for any masked version of its texts.

    Attributes:
        tokenizer: a fast tokenizer.
        form: how texts become a prompt.
        placeholder: what stands for a picture in the prompt.
        image_token_id: id of an image token.
        sights: the pictures, in the order of their placeholders.
        pictures_first: the image tokens come before everything, even the start token (BLIP-2), and are not written.
        special: whether the tokenizer adds its special tokens; ``None`` adds them unless the prompt starts with one.
    """

    tokenizer: Any
    form: Form
    placeholder: str
    image_token_id: int
    sights: Sequence[Sight]
    pictures_first: bool = False
    special: bool | None = None
    _kept: OrderedDict[tuple[str, ...], Prompt] = field(default_factory=OrderedDict)

    def __call__(self, texts: Mapping[str, str]) -> Prompt:
        """The prompt of these texts (part → text, in the sample's order).

        Raises:
            InvalidInput: a text holds a placeholder.
            ModelError: the tokens do not come out as the model needs them.
        """
        key = tuple(texts.values())
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        prompt = self._write(texts)
        self._kept[key] = prompt
        if len(self._kept) > KEPT_PROMPTS:
            self._kept.popitem(last=False)
        return prompt

    def _write(self, texts: Mapping[str, str]) -> Prompt:
        rendered = render(self.form, texts)
        if self.pictures_first:
            self._refuse_placeholders(texts)
            encoded = self._pictures_before(self._encode(rendered))
        else:
            rendered = expand(rendered, self.placeholder, [sight.replacement for sight in self.sights])
            encoded = self._encode(rendered)
        wanted = sum(sight.tokens for sight in self.sights)
        found = int((encoded.ids == self.image_token_id).sum())
        if found != wanted:
            raise ModelError(
                f"The prompt has {found} image tokens (id {self.image_token_id}) where the pictures make {wanted}; "
                f"tokenizer and model do not belong together, or a text holds image tokens."
            )
        parts = {
            name: tokens_within(encoded, piece.start, piece.end, piece.lead) for name, piece in rendered.pieces.items()
        }
        return Prompt(encoded.ids, parts, rendered.prompt)

    def _encode(self, rendered: Rendered) -> Encoded:
        return encode(self.tokenizer, rendered.prompt, add_special_tokens=self.adds_special(rendered.prompt))

    def adds_special(self, prompt: str) -> bool:
        """Whether special tokens are added: not when the template has written the start token itself."""
        start = self.tokenizer.bos_token
        return not (start and prompt.startswith(start)) if self.special is None else self.special

    def _pictures_before(self, encoded: Encoded) -> Encoded:
        count = sum(sight.tokens for sight in self.sights)
        return Encoded(
            np.concatenate([np.full(count, self.image_token_id, np.int64), encoded.ids]),
            np.concatenate([np.zeros((count, 2), np.int64), encoded.offsets]),
            np.concatenate([np.ones(count, bool), encoded.special]),
        )

    def _refuse_placeholders(self, texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            if self.placeholder in text:
                raise InvalidInput(
                    f"The text of part {name!r} holds {self.placeholder!r}, which stands for a picture; remove it."
                )
