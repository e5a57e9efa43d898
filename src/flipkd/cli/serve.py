"""`flipkd serve`."""

from flipkd.errors import FlipkdError
from flipkd.serving.config import ServeConfig as Options

__all__ = ["Options", "run"]


def run(options: Options) -> None:
    """Serve until told to stop."""
    try:
        from flipkd.serving.run import serve
    except ImportError as error:
        raise FlipkdError(f"{error.name} is not installed; the server needs: pip install 'flipkd[serve]'") from error
    serve(options)
