import pytest

from flipkd.distill.run import distill
from flipkd.distill.settle import warn_of_answer
from flipkd.evaluation.answer import Answer


@pytest.mark.parametrize(
    ("weights", "few", "said"),
    [
        ((1.0, -2.0), False, "the similarities of the encoder count against a match"),
        ((1.0, 2.0), True, "Fewer than 10 validation pairs of a class"),
        ((1.0, 2.0), False, ""),
    ],
)
def test_what_is_odd_about_the_answer_is_said(capsys, weights, few, said):
    warn_of_answer(Answer(("decoder", "encoder"), weights, 0.0, 0.5, "made up"), few)
    shown = " ".join(capsys.readouterr().err.split())
    assert said in shown
    assert bool(said) == bool(shown)


def test_figures_of_too_few_pairs_are_not_called_cross_fitted(settings, tmp_path, capsys):
    distill(settings(tmp_path / "run", validation=None, validation_share=0.2, baseline=False, warmup_epochs=0))
    said = " ".join(capsys.readouterr().err.split())
    assert "calibration on validation, in-sample" in said
    assert "which flatters. Give more validation pairs" in said
    assert "cross-fitted" not in said
