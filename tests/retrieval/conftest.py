"""A tiny artefact with an answer by hand, and an index of a few entries."""

import pytest

from flipkd.evaluation.answer import Answer
from flipkd.matching.matcher import Matcher
from flipkd.retrieval.entries import Entry


@pytest.fixture(scope="session")
def loaded(artefact):
    return Matcher.from_pretrained(artefact, device="cpu")


@pytest.fixture(scope="session")
def answering(loaded):
    """Makes a matcher of the tiny run that answers by the given signals, from a threshold on."""

    def make(*sources, threshold=0.5, **fields):
        weights = {"decoder": 0.5, "encoder": 4.0}
        answer = Answer(sources, tuple(weights[each] for each in sources), -2.0, threshold, "by hand").as_dict()
        spec = loaded.spec.model_copy(update={"answer": answer, "symmetric": False, "cascade": None} | fields)
        return Matcher(loaded.student, spec, None, loaded.fingerprint)

    return make


@pytest.fixture(scope="session")
def matcher(answering):
    return answering("decoder", "encoder")


@pytest.fixture(scope="session")
def entries():
    return [
        Entry("pin", "how do i reset my pin", "In the app.", {"topic": "cards"}),
        Entry("stolen", "my card was stolen", "Call us."),
        Entry("open", "how do i open a new account", "Online."),
        Entry("fee", "what is the fee of a transfer", "None."),
        Entry("gold", "pay with gold", ""),
    ]
