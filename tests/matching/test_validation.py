"""Other thresholds and another match rate for an artefact that is there: nothing is trained."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from flipkd import FlipkdError, Matcher
from flipkd.evaluation.answer import Answer, cross_fitted, fit_answer
from flipkd.evaluation.policies import Policy, decide
from flipkd.matching.artefact import ArtefactSpec
from flipkd.matching.validation import RECORD_FILE, ValidationRecord, decide_again, read_deciding
from tiny import texts

PAIRS = list(zip(texts(9, seed=5), texts(9, seed=6), strict=True))


def signals(n=200, seed=0):
    random = np.random.default_rng(seed)
    label = (np.arange(n) % 3 == 0).astype(int)
    return {
        "decoder": 2 * (random.normal(size=n) + 2 * label) - 2,
        "encoder": np.clip(0.1 * (random.normal(size=n) + 3 * label) + 0.3, -1, 1),
    }, label


@pytest.fixture
def rich(artefact, tmp_path):
    """The tiny run, with an answer and a validation that are worth something: 200 pairs, 67 of them matches."""
    folder = tmp_path / "run"
    shutil.copytree(artefact, folder)
    columns, label = signals()
    answer = fit_answer(columns, label, [("decoder", "encoder")], seed=0)
    held = cross_fitted(answer, columns, label, seed=0)
    decision = decide(Policy("f1"), held, label)
    spec = ArtefactSpec.read(folder)
    spec = spec.model_copy(
        update={"answer": answer.as_dict(), "decision": decision.as_dict(), "symmetric": False, "seed": 0}
    )
    spec.write(folder)
    record = ValidationRecord(
        digest=spec.data["validation"]["digest"],
        label=tuple(label.tolist()),
        probability=tuple(held.tolist()),
        signals={name: tuple(column.tolist()) for name, column in columns.items()},
    )
    record.write(folder)
    return folder


def answer_of(spec):
    return Answer.from_dict(spec.answer)


def test_what_was_written_is_read_back_to_the_bit(rich):
    spec = ArtefactSpec.read(rich)
    record = ValidationRecord.read(rich, spec)
    columns, label = signals()
    assert record.label == tuple(label)
    assert all(record.signals[name] == tuple(columns[name]) for name in columns)
    again = decide_again(spec, record)
    assert (again.answer, again.decision) == (answer_of(spec).as_dict(), spec.decision)


def test_a_run_keeps_what_its_threshold_was_chosen_on(artefact):
    spec = ArtefactSpec.read(artefact)
    record = ValidationRecord.read(artefact, spec)
    assert len(record.label) == spec.data["validation"]["pairs"]
    assert answer_of(decide_again(spec, record)) == answer_of(spec)


def test_a_policy_is_kept_on_validation_and_its_reason_printed(rich, capsys):
    plain = read_deciding(rich)
    assert plain == ArtefactSpec.read(rich)
    assert capsys.readouterr().err == ""
    made = read_deciding(rich, policy="precision=0.97")
    assert made.decision["validation"]["accepted"]["precision"] >= 0.97
    assert made.answer["threshold"] == made.decision["threshold"] > plain.answer["threshold"]
    assert replace(answer_of(made), threshold=plain.answer["threshold"]) == answer_of(plain)
    said = " ".join(capsys.readouterr().err.split())
    assert "precision=0.97: the highest recall at this precision; chosen on 200 validation pairs, 67 of them" in said
    assert "with 95% confidence" in said


def test_a_prior_moves_the_answer_and_keeps_the_policy(rich, capsys):
    plain, made = read_deciding(rich), read_deciding(rich, prior=0.05)
    before, after = answer_of(plain), answer_of(made)
    columns, label = signals()
    move = logit(0.05) - logit(label.mean())
    np.testing.assert_allclose(after.logit(columns), before.logit(columns) + move, atol=1e-9)
    assert made.decision["policy"] == "f1"
    assert made.decision["validation"]["match_rate"] == 0.05
    said = " ".join(capsys.readouterr().err.split())
    assert f"prior: 0.05 (0.335 of the validation pairs are matches: log-odds move by {move:+.3f})" in said
    assert "weighed as if 0.05 of all pairs were" in said


@pytest.mark.parametrize("prior", [0, 1, 12, float("nan")])
def test_a_prior_that_is_no_share_is_refused(rich, prior):
    with pytest.raises(FlipkdError, match="above 0 and below 1"):
        Matcher.from_pretrained(rich, device="cpu", prior=prior)


def test_every_way_of_answering_reckons_with_the_prior(rich):
    plain, moved = (Matcher.from_pretrained(rich, device="cpu", prior=prior) for prior in (None, 0.05))
    move = logit(0.05) - logit(plain.answer.match_rate)
    query, candidates = PAIRS[0][0], [b for _, b in PAIRS]
    ways = {
        "pairs": lambda matcher, **options: matcher.match_many(PAIRS),
        "rank": lambda matcher, **options: sorted(matcher.rank(query, candidates), key=lambda found: found.index),
        "entries": lambda matcher, **options: sorted(
            matcher.rank(query, matcher.entries(candidates, query_tokens=1)), key=lambda found: found.index
        ),
    }
    for way in ways.values():
        for one, other in zip(way(plain), way(moved), strict=True):
            assert logit(other.probability) == pytest.approx(logit(one.probability) + move, abs=1e-3)
            assert other.match == (other.probability >= moved.answer.threshold)


def test_the_cascade_is_fitted_anew_to_the_decisions_at_the_prior(rich):
    moved = Matcher.from_pretrained(rich, device="cpu", prior=0.05)
    columns, _ = signals()
    band = moved.require_band()
    assert band.encoder.threshold == moved.answer.threshold
    full = moved.answer.probability(columns) >= moved.answer.threshold
    assert ((band.probability(moved.answer, columns) >= moved.answer.threshold) != full).mean() <= 0.005
    # The encoder alone reckons with the prior, too: the mean over validation, weighed to 5 % matches, is near 5 %.
    label = signals()[1]
    alone = band.encoder.probability(columns)
    mean = 0.05 * alone[label == 1].mean() + 0.95 * alone[label == 0].mean()
    assert mean == pytest.approx(0.05, abs=0.015)
    found = moved.match_many(PAIRS, cascade=True)
    for result in found:
        if np.isnan(result.logit):
            assert result.probability == pytest.approx(band.encoder.probability({"encoder": [result.similarity]})[0])


def test_bands_name_each_pair_accept_review_or_reject(rich):
    banded = Matcher.from_pretrained(rich, device="cpu", policy="bands=0.95:0.99")
    found = banded.match_arrays(*zip(*PAIRS, strict=True))
    low, high = banded.decision.reject, banded.answer.threshold
    assert low < high
    for probability, match, name in zip(found.probability, found.match, found.decision, strict=True):
        assert name == ("accept" if probability >= high else "reject" if probability < low else "review")
        assert match == (name == "accept")
    assert [each.decision for each in banded.match_many(PAIRS)] == found.decision.tolist()
    ranked = banded.rank(PAIRS[0][0], [b for _, b in PAIRS])
    assert all(each.decision in ("accept", "review", "reject") for each in ranked)
    plain = Matcher.from_pretrained(rich, device="cpu")
    assert plain.match_arrays(*zip(*PAIRS, strict=True)).decision is None
    assert plain.match(*PAIRS[0]).decision is None


def test_isotonic_steps_answer_from_the_file(rich):
    from flipkd.evaluation.calibrators import Steps

    spec = ArtefactSpec.read(rich)
    steps = Steps((-3.0, 1 / 3, 2.0), (-2.0, 0.1, 4.0))
    answer = replace(Answer.from_dict(spec.answer), steps=steps)
    spec.model_copy(update={"answer": answer.as_dict()}).write(rich)
    matcher = Matcher.from_pretrained(rich, device="cpu")
    assert matcher.answer == answer
    found = matcher.match_arrays(*zip(*PAIRS, strict=True))
    fused = replace(answer, steps=None).logit({"decoder": found.logit, "encoder": found.similarity})
    np.testing.assert_allclose(found.probability, expit(steps(fused)), atol=1e-9)


def older(folder):
    """The artefact as version 1 wrote it."""
    fields = json.loads((folder / "flipkd.json").read_text())
    del fields["decision"], fields["answer"]["steps"], fields["answer"]["match_rate"]
    if fields["cascade"] is not None:
        del fields["cascade"]["encoder"]["steps"], fields["cascade"]["encoder"]["match_rate"]
    (folder / "flipkd.json").write_text(json.dumps(fields | {"schema_version": 1}))
    (folder / RECORD_FILE).unlink()


def test_an_artefact_of_version_1_answers_as_before(rich):
    before = Matcher.from_pretrained(rich, device="cpu").match_many(PAIRS)
    older(rich)
    matcher = Matcher.from_pretrained(rich, device="cpu")
    assert matcher.spec.schema_version == 1
    assert matcher.match_many(PAIRS) == before


@pytest.mark.parametrize("asked", [{"policy": "accuracy"}, {"prior": 0.1}])
def test_an_artefact_of_version_1_has_nothing_to_choose_from(rich, asked):
    older(rich)
    with pytest.raises(FlipkdError, match=r"validation\.json is not there.*train again"):
        Matcher.from_pretrained(rich, device="cpu", **asked)


def edited(folder, **fields):
    file = folder / RECORD_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"digest": "another"}, "of other pairs than this artefact's validation"),
        ({"label": [0, 1]}, "not of one length"),
        ({"label": [2] * 200}, "validation.json: label"),
        ({"more": 1}, "validation.json: more"),
    ],
)
def test_a_record_that_was_edited_is_refused(rich, fields, message):
    edited(rich, **fields)
    with pytest.raises(FlipkdError, match=message):
        read_deciding(rich, policy="accuracy")
