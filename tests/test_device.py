import pytest

from flipkd.device import choose_training_device
from flipkd.errors import FlipkdError


def test_training_on_another_gpu_than_the_first_is_refused(monkeypatch):
    """The Trainer would move the model to the first one all the same."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(FlipkdError, match="CUDA_VISIBLE_DEVICES=1 and give --device cuda"):
        choose_training_device("cuda:1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with pytest.raises(FlipkdError, match="CUDA_VISIBLE_DEVICES=3 and"):
        choose_training_device("cuda:1")
    assert [choose_training_device(name) for name in ("cuda", "cuda:0", "cpu")] == ["cuda", "cuda:0", "cpu"]
