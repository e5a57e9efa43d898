"""The prompt of a pair, P a Q b R, as fixed token ids (docs/method.md section 3).

The ids are what is stored with an adapter, so a changed tokenizer or an edited prompt is noticed, and a
text is cut to a cap of its own: never the template, and never by what the other text leaves free.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import takewhile
from typing import Any

from flipkd.console import warn
from flipkd.errors import FlipkdError

DEFAULT_PROMPT = "Text A:\n{a}\n\nText B:\n{b}\n\nDo A and B mean the same? Answer:"
DEFAULT_LABEL_WORDS = (" no", " yes")
_AT_ONCE = 10_000
"""Texts that the tokenizer gets at once."""


def _beginning(tokenizer: Any, text: str) -> tuple[int, ...]:
    """The special tokens that a tokenizer puts before a text, such as ``<s>``."""
    special = set(tokenizer.all_special_ids)

    def leading(add: bool) -> list[int]:
        return list(takewhile(special.__contains__, tokenizer(text, add_special_tokens=add).input_ids))

    # A text that begins with an unknown letter has a special token of its own.
    return tuple(leading(True)[: len(leading(True)) - len(leading(False))])


def token_ids(tokenizer: Any, texts: Sequence[str]) -> Iterator[list[int]]:
    """The token ids of each text, without special tokens: one that a text names, such as ``</s>``, is read as letters.

    The tokenizer gets some texts at a time, since what it gives beside the ids takes many times their room.

    Args:
        tokenizer: A student's tokenizer.
        texts: The texts.

    Raises:
        FlipkdError: If a text is none, or holds half of a surrogate pair.
    """
    for start in range(0, len(texts), _AT_ONCE):
        some = list(texts[start : start + _AT_ONCE])
        try:
            yield from tokenizer(some, add_special_tokens=False, split_special_tokens=True).input_ids
        except TypeError:
            broken = [text for text in some if not _is_text(text)]
            if not broken:
                raise
            raise FlipkdError(f"{broken[0]!r} is no text in valid Unicode. Mend it, or leave it out.") from None


def _is_text(text: object) -> bool:
    """Whether it is a string, of whole characters."""
    return isinstance(text, str) and not any("\ud800" <= character <= "\udfff" for character in text)


@dataclass(frozen=True)
class Template:
    """P a Q b R and the two label words, as token ids.

    Attributes:
        prompt: The words the ids were made from, with ``{a}`` before ``{b}``.
        label_words: The words of no match and of match, in this order.
        prefix: Ids of P, with the tokenizer's beginning-of-sequence token where it uses one.
        middle: Ids of Q.
        suffix: Ids of R, the answer cue; its last position is where the answer is read.
        label_ids: One token id for no match, one for match.
        max_text_tokens: The cap of each text, in tokens.
    """

    prompt: str
    label_words: tuple[str, str]
    prefix: tuple[int, ...]
    middle: tuple[int, ...]
    suffix: tuple[int, ...]
    label_ids: tuple[int, int]
    max_text_tokens: int

    @classmethod
    def build(
        cls,
        tokenizer: Any,
        *,
        prompt: str = DEFAULT_PROMPT,
        label_words: Sequence[str] = DEFAULT_LABEL_WORDS,
        max_text_tokens: int = 128,
    ) -> "Template":
        """Make the ids from the words.

        Args:
            tokenizer: The student's tokenizer.
            prompt: The prompt with ``{a}`` and, after it, ``{b}``, ending in the answer cue.
            label_words: The words of no match and match; each must be one token.
            max_text_tokens: The cap of each text, in tokens.

        Raises:
            FlipkdError: If the prompt lacks a place, nothing comes before the first, its cue is empty, or a label word
                is not one token.
        """
        before, found_a, rest = prompt.partition("{a}")
        between, found_b, cue = rest.partition("{b}")
        if not (found_a and found_b and cue.strip()) or "{a}" in rest or "{b}" in cue:
            raise FlipkdError(
                f"The prompt {prompt!r} must hold {{a}} once, then {{b}} once, then an answer cue; "
                "put both places in that order and end with the question."
            )
        if max_text_tokens < 1:
            raise FlipkdError(f"max_text_tokens is {max_text_tokens}; it must be at least 1.")

        def ids(text: str) -> tuple[int, ...]:
            return tuple(tokenizer(text, add_special_tokens=False).input_ids)

        if len(label_words) != 2 or any(len(ids(word)) != 1 for word in label_words):
            shown = {word: len(ids(word)) for word in label_words}
            bare = [word.strip() for word in label_words]
            fit = len(bare) == 2 and all(len(ids(word)) == 1 for word in bare)
            raise FlipkdError(
                f"The label words must be two words of one token each for this student; got {shown} "
                "(word: tokens). Choose others with --label-words"
                + (f": without blanks they are, --label-words '{json.dumps(bare)}'." if fit else ".")
            )
        no, yes = (ids(word)[0] for word in label_words)
        if no == yes:
            raise FlipkdError(f"Both label words {tuple(label_words)} are the same token; choose two others.")
        prefix = _beginning(tokenizer, before + "x") + ids(before)
        if not prefix:
            raise FlipkdError(
                f"The prompt {prompt!r} begins with {{a}}, and this student's tokenizer puts nothing before it: there "
                "would be no token that all pairs share. Put a word before {a}."
            )
        return cls(
            prompt=prompt,
            label_words=(label_words[0], label_words[1]),
            prefix=prefix,
            middle=ids(between),
            suffix=ids(cue),
            label_ids=(no, yes),
            max_text_tokens=max_text_tokens,
        )

    def encode_texts(self, tokenizer: Any, texts: Sequence[str], *, counted: bool = True) -> list[tuple[int, ...]]:
        """Token ids of each text, cut to the cap, which is said.

        Args:
            tokenizer: The student's tokenizer.
            texts: The texts, none of which may be empty of tokens.
            counted: Say how many are cut. Of texts that come in parts it is said once that such are, without a count.

        Raises:
            FlipkdError: If a text has no token, since it would have no vector.
        """
        if not texts:
            return []
        kept: list[tuple[int, ...]] = []
        cut = 0
        for text, ids in zip(texts, token_ids(tokenizer, texts), strict=True):
            if not ids:
                raise FlipkdError(f"The text {text!r} is empty: it has no token to match. Leave it out.")
            cut += len(ids) > self.max_text_tokens
            kept.append(tuple(ids[: self.max_text_tokens]))
        if cut:
            which = f"{cut} of {len(texts)} texts are" if counted else "Some texts are"
            warn(
                f"{which} longer than {self.max_text_tokens} tokens and are cut there; raise --max-text-tokens when "
                "training to read more."
            )
        return kept

    def pair(self, a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
        """P a Q b R for two texts that `encode_texts` made."""
        return (*self.prefix, *a, *self.middle, *b, *self.suffix)

    @property
    def longest(self) -> int:
        """Tokens of the longest pair prompt that can arise."""
        return len(self.prefix) + len(self.middle) + len(self.suffix) + 2 * self.max_text_tokens

    def as_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Template":
        """The template that `as_dict` wrote.

        Raises:
            FlipkdError: If a field is missing or unknown.
        """
        made: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        named = {field.name for field in fields(cls)}
        if made.keys() != named:
            raise FlipkdError(
                f"The stored template lacks or adds {', '.join(sorted(made.keys() ^ named))}. Use the files the run "
                "wrote."
            )
        return cls(**made)

    def check_tokenizer(self, tokenizer: Any) -> None:
        """Refuse a tokenizer, or an edited prompt, that no longer gives the stored ids.

        Raises:
            FlipkdError: If rebuilding from the stored words gives other ids.
        """
        try:
            rebuilt = Template.build(
                tokenizer,
                prompt=self.prompt,
                label_words=self.label_words,
                max_text_tokens=self.max_text_tokens,
            )
        except (FlipkdError, TypeError, AttributeError):
            rebuilt = None
        if rebuilt != self:
            raise FlipkdError(
                "The stored template ids differ from what this tokenizer makes of the stored prompt: the prompt "
                "was edited after training, or the tokenizer is another one. Use the files the run wrote."
            )
