"""What a run reads, and by what it is known again."""

import pytest

from flipkd.distill.config import DistillConfig
from flipkd.distill.splits import Splits
from flipkd.distill.workspace import Workspace
from flipkd.errors import FlipkdError
from tiny import pairs


def test_work_begun_with_other_further_texts_is_refused(tmp_path):
    """They are batched by their place in the list: a resumed warm-up would read others in their stead."""
    config = DistillConfig(train="pairs.csv", output=str(tmp_path / "run"))
    Workspace(config, Splits(pairs(8), pairs(4), None, ["one", "two"]).digests)
    Workspace(config, Splits(pairs(8), pairs(4), None, ["one", "two"]).digests)
    with pytest.raises(FlipkdError, match="other settings or data"):
        Workspace(config, Splits(pairs(8), pairs(4), None, ["one", "three"]).digests)


def test_without_further_texts_the_work_is_known_by_its_pairs_alone():
    assert list(Splits(pairs(8), pairs(4), None, []).digests) == ["train", "validation"]
