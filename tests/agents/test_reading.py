"""Reading a text without a model."""

from hypothesis import given
from hypothesis import strategies as st

from penstock_consumers.agents.reading import WordStatistics, keywords, sentences, summary, word_statistics

TEXT = (
    "# Penstocks\n\nA penstock carries water to a turbine. The turbine turns water pressure into power! "
    "Somebody had lunch.\n\n```\nignored code. really.\n```\n\n- Water is free.\n- Power is not."
)


def test_sentences_lose_markdown_but_not_words():
    assert sentences(TEXT) == [
        "Penstocks",
        "A penstock carries water to a turbine.",
        "The turbine turns water pressure into power!",
        "Somebody had lunch.",
        "Water is free.",
        "Power is not.",
    ]


def test_the_summary_quotes_what_the_text_is_about_in_its_order():
    assert summary(TEXT, 2) == [
        "A penstock carries water to a turbine.",
        "The turbine turns water pressure into power!",
    ]


def test_keywords_are_the_frequent_words_that_mean_something():
    assert keywords(TEXT, 3) == ["water", "turbine", "power"]


def test_statistics_count():
    assert word_statistics("One two two. Three!") == WordStatistics(19, 4, 3, 2, 2.0)
    assert word_statistics("") == WordStatistics(0, 0, 0, 0, 0.0)


@given(st.text(max_size=500), st.integers(min_value=0, max_value=5))
def test_any_text_can_be_read_and_a_summary_only_quotes(text, limit):
    found = summary(text, limit)
    assert len(found) <= limit
    assert set(found) <= set(sentences(text))
    assert summary(text, limit) == found


def test_what_another_summary_counted_is_not_quoted_as_a_sentence():
    said = "Summary\n\n- The dam holds the water.\n\n"
    counted = "Word statistics\n58 words (34 distinct) in 7 sentences, 8.3 words per sentence, 429 characters\n\n"
    listed = "Keywords\nwater, dam, holds, penstock, river, gate"
    assert summary(f"{said}{counted}{listed}") == ["Summary", "The dam holds the water."]
