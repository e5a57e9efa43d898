"""Where to compute."""

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from flipkd.console import announce
from flipkd.errors import FlipkdError

if TYPE_CHECKING:
    from transformers import TrainingArguments


def require_one_process() -> None:
    """Refuse a whole job under a launcher such as torchrun: each process would do it, and write the same files.

    Raises:
        FlipkdError: If the environment says that this is one of several processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise FlipkdError(
            f"The job runs in one process, but WORLD_SIZE is {os.environ['WORLD_SIZE']}. Start it without torchrun or "
            "accelerate launch, or unset WORLD_SIZE. A script of your own around FlipTrainer may have several."
        )


def choose_device(device: str | None) -> str:
    """The device asked for, or a GPU where there is one.

    Raises:
        FlipkdError: If torch cannot compute on the one asked for.
    """
    import torch

    if device is not None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise FlipkdError(f"Device {device!r} was asked for, but torch sees no GPU. Use --device cpu.")
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            said = str(error).partition("\n")[0]
            raise FlipkdError(f"torch cannot compute on device {device!r}: {said}. Use --device cpu.") from error
        return device
    chosen = "cuda" if torch.cuda.is_available() else "cpu"
    announce("device", chosen, "a GPU was found" if chosen == "cuda" else "no GPU was found")
    return chosen


def choose_training_device(device: str | None) -> str:
    """As `choose_device`; of several GPUs the first, which is where the Trainer computes.

    Raises:
        FlipkdError: If another one is asked for, or one where torch sees none.
    """
    import torch

    chosen = choose_device(device)
    if index := torch.device(chosen).index:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        own = visible[index] if index < len(visible) else index
        raise FlipkdError(
            f"Training computes on the first GPU it sees, and --device is {chosen}. Set CUDA_VISIBLE_DEVICES={own} and "
            "give --device cuda."
        )
    return chosen


def use_one_gpu(args: "TrainingArguments") -> None:
    """Keep a Trainer from splitting each batch over all GPUs: losses compare the pairs of a batch with each other.

    Args:
        args: The Trainer's, changed where it would.
    """
    if args.n_gpu > 1:
        announce("GPUs", f"1 of {args.n_gpu}", "one process computes on one; for more see docs/how-to/hardware.md")
        args._n_gpu = 1


def describe_device(device: str) -> str:
    """A GPU with its name; the CPU as it is.

    Args:
        device: As torch calls it.
    """
    import torch

    return f"{device}, {torch.cuda.get_device_name(device)}" if device.startswith("cuda") else device


def processor_name() -> str:
    """The processor as the system names it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
