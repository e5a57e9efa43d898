import numpy as np
import pytest

from flipkd.student.inference import EncodedPairs, Reader
from flipkd.student.prefixes import Prefixes
from tiny import student, texts


@pytest.fixture(scope="module", params=["llama", "gemma3", "gpt_neox"])
def made(request):
    return student(request.param, trained=True)


def encoded(made):
    query, *entries = made.template.encode_texts(made.tokenizer, texts(9))
    return query, entries


@pytest.mark.parametrize("batch_tokens", [1, 30, 1024])
def test_kept_prefixes_answer_as_whole_prompts_do(made, batch_tokens):
    query, entries = encoded(made)
    prefixes = Prefixes(made, entries, limit_bytes=1 << 30, batch_tokens=batch_tokens)
    order = [5, 0, 7, 1, 2]
    expected = Reader(made).log_odds(
        EncodedPairs([query, *entries], np.array(order) + 1, np.zeros(len(order), dtype=np.int64))
    )
    assert prefixes.kept == len(entries)
    np.testing.assert_allclose(prefixes.log_odds(query, order), expected, atol=1e-4)


def test_answers_are_the_same_whatever_sites_the_vectors_have():
    made = student(trained=True, site_layer=3, site_modules=["self_attn.o_proj"])
    query, entries = encoded(made)
    expected = Reader(made).log_odds(EncodedPairs([query, *entries], np.arange(1, 9), np.zeros(8, dtype=np.int64)))
    found = Prefixes(made, entries, limit_bytes=1 << 30).log_odds(query, range(8))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_limit_holds(made):
    _, entries = encoded(made)
    whole = Prefixes(made, entries, limit_bytes=1 << 30)
    tokens = len(made.template.prefix) + sum(len(ids) for ids in entries[:3])
    part = Prefixes(made, entries, limit_bytes=tokens * whole.bytes_per_token)
    assert part.kept == 3
    taken = sum(states.numel() * states.element_size() for both in part._states.values() for states in both)
    assert taken == tokens * whole.bytes_per_token
