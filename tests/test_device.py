from types import SimpleNamespace

import pytest

from flipkd.device import choose_device, choose_training_device, use_one_gpu
from flipkd.errors import FlipkdError


def test_training_on_another_gpu_than_the_first_is_refused(monkeypatch):
    """The Trainer would move the model to the first one all the same."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.empty", lambda *_, **__: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(FlipkdError, match="CUDA_VISIBLE_DEVICES=1 and give --device cuda"):
        choose_training_device("cuda:1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with pytest.raises(FlipkdError, match="CUDA_VISIBLE_DEVICES=3 and"):
        choose_training_device("cuda:1")
    assert [choose_training_device(name) for name in ("cuda", "cuda:0", "cpu")] == ["cuda", "cuda:0", "cpu"]


@pytest.mark.parametrize("device", ["gpu", "cup", "cpu:x"])
def test_a_device_that_torch_does_not_know_is_one_clear_error(device):
    with pytest.raises(FlipkdError, match=f"cannot compute on device '{device}'.*Use --device cpu"):
        choose_device(device)


def test_a_trainer_keeps_to_one_of_several_gpus(capsys):
    args = SimpleNamespace(n_gpu=8, _n_gpu=8)
    use_one_gpu(args)
    assert args._n_gpu == 1
    assert "1 of 8" in capsys.readouterr().err
