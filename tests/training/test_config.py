import pytest

from flipkd.distill.config import DistillConfig
from flipkd.errors import FlipkdError
from flipkd.training.config import FlipConfig


@pytest.mark.parametrize(
    ("made", "setting", "words"),
    [
        (FlipConfig, {"pooling": "Mean"}, "pooling is 'Mean'; it must be one of mean, last"),
        (FlipConfig, {"pooling": None}, "pooling is None; it must be one of mean, last"),
        (FlipConfig, {"learning_rate": "Auto"}, "learning_rate is 'Auto'; it must be one of auto"),
        (FlipConfig, {"adapt_layers": "every"}, "adapt_layers is 'every'; it must be one of all, auto"),
        (DistillConfig, {"sets": "label"}, "sets is 'label'; it must be one of labels, thresholds, matrix"),
        (DistillConfig, {"empty": "skip"}, "empty is 'skip'; it must be one of fail, drop"),
        (DistillConfig, {"trunk_cache_dtype": "fp16"}, "trunk_cache_dtype is 'fp16'"),
    ],
)
def test_a_word_that_means_nothing_is_refused_before_anything_is_trained(made, setting, words):
    with pytest.raises(FlipkdError, match=words):
        made(**setting)


def test_numbers_beside_words_are_taken():
    assert FlipConfig(adapt_layers=3, learning_rate=1e-3).adapt_layers == 3
