"""What can be read off a text without a model: statistics, keywords, and an extractive summary. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+(?=\S)|\n\s*\n|\n(?=\s*(?:[-*#|>]|\d+[.)]\s))")
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_MARKUP = re.compile(r"^[\s#>*|+-]+|`+|\*\*")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_COMMON = frozenset(
    _WORD.findall(
        """a about after again all also am an and any are as at be because been before being below between both
        but by can could did do does doing down during each few for from further had has have having he her here
        hers him his how i if in into is it its itself just may me more most my no nor not now of off on once one
        only or other our out over own same she should so some such than that the their them then there these
        they this those through to too under until up use used using very via was we were what when where which
        while who why will with within without would you your"""
    )
)
MAX_SENTENCE_CHARS = 400
"""A longer run of text is a table or a listing, not a sentence one would quote."""


@dataclass(frozen=True, slots=True)
class WordStatistics:
    """Counts of one text."""

    characters: int
    words: int
    distinct_words: int
    sentences: int
    words_per_sentence: float
    """0 for a text without sentences."""


def word_statistics(text: str) -> WordStatistics:
    """Counts over `text`."""
    found = [word.lower() for word in _WORD.findall(text)]
    count = len(sentences(text))
    return WordStatistics(
        len(text), len(found), len(set(found)), count, round(len(found) / count, 1) if count else 0.0
    )


def keywords(text: str, limit: int = 8) -> list[str]:
    """The most frequent words that carry meaning, most frequent first, ties in order of appearance."""
    return [word for word, _ in _terms(text).most_common(limit)]


def sentences(text: str) -> list[str]:
    """The sentences of `text` in order, without Markdown's signs and code blocks; list items are their own."""
    candidates = (
        " ".join(_MARKUP.sub("", piece.strip()).split()) for piece in _SENTENCE_END.split(_FENCE.sub("", text))
    )
    return [sentence for sentence in candidates if _WORD.search(sentence)]


def summary(text: str, limit: int = 3) -> list[str]:
    """The `limit` sentences that say most of what the text is about, in the text's order.

    A sentence's score is the mean frequency, over the whole text, of the words in it that carry meaning (Luhn
    1958; the mean keeps long sentences from winning by length), for at least four words so that headings lose.
    """
    said = dict.fromkeys(sentences(text))  # what is said twice is quoted once
    found = [s for s in said if len(s) <= MAX_SENTENCE_CHARS and not _is_enumeration(s)]
    frequency = _terms(text)

    def score(sentence: str) -> float:
        terms = set(_terms(sentence))
        return sum(frequency[term] for term in terms) / max(4, len(terms))

    best = sorted(range(len(found)), key=lambda n: (-score(found[n]), n))[:limit]
    return [found[n] for n in sorted(best)]


def _is_enumeration(sentence: str) -> bool:
    """Whether it is a list of words or a row of figures: what another summary has left of a text, for one."""
    figures, words = len(_FIGURE.findall(sentence)), len(_WORD.findall(sentence))
    return 2 * sentence.count(",") >= max(6, words) or 2 * figures >= max(6, words)


def _terms(text: str) -> Counter[str]:
    words = (word.lower() for word in _WORD.findall(text))
    return Counter(word for word in words if len(word) > 2 and word not in _COMMON)
