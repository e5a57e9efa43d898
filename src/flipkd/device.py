"""Where to compute."""

from flipkd.console import announce
from flipkd.errors import FlipkdError


def choose_device(device: str | None) -> str:
    """The device asked for, or a GPU where there is one."""
    import torch

    if device is not None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise FlipkdError(f"Device {device!r} was asked for, but torch sees no GPU. Use --device cpu.")
        return device
    chosen = "cuda" if torch.cuda.is_available() else "cpu"
    announce("device", chosen, "a GPU was found" if chosen == "cuda" else "no GPU was found")
    return chosen
