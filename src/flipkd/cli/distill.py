"""`flipkd distill`."""

from flipkd.distill.config import DistillConfig as Options

__all__ = ["Options", "run"]


def run(options: Options) -> None:
    """Do the whole job."""
    from flipkd.distill.run import distill

    distill(options)
