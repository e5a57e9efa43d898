import pytest

from flipkd.data.identity import is_empty, pair_keys, text_key


@pytest.mark.parametrize(
    "text", ["", " ", "\t\n", "\u200b", "\x00", "\u3000", "\ufeff\u200d ", "\ufe0f", "\u2800\u3164", "\u034f"]
)
def test_texts_that_show_nothing_are_empty(text):
    assert is_empty(text)


@pytest.mark.parametrize("text", ["NA", "0", ".", "\u200b?", "👍", "你", "❤\ufe0f", "한", "\U000f0000"])
def test_texts_that_show_something_are_not(text):
    assert not is_empty(text)


def test_width_case_and_white_space_do_not_tell_texts_apart():
    assert text_key("Pay  ＢＩＬＬ\n") == text_key("pay bill") == text_key("PAYBILL")
    assert text_key("pay bill.") != text_key("pay bill")


def test_a_pair_is_named_whatever_its_order_case_and_white_space():
    assert pair_keys(["Pay", "ab"], ["my Bill", "c"]) == pair_keys([" mybill", "AB"], ["pay ", "c"])


def test_pairs_whose_texts_read_alike_together_have_other_names():
    assert len(set(pair_keys(["ab", "a", "abc"], ["c", "bc", ""]))) == 3
