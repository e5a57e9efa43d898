"""Where an index is, and the way to the engine there: Milvus Lite in a local folder, or a Milvus server."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flipkd.errors import FlipkdError

ENGINES_OWN = {"LOCK", "collections", "databases", ".database-staging"} | {
    name + end for name in ("aliases.json", "database_properties.json") for end in ("", ".tmp")
}
"""What Milvus Lite makes in its folder."""
FILES = ("data_files", "delta_files")
"""The lists of files in its manifest."""
REBUILD = "Take the whole folder from where it came, or build the index again."


@dataclass(frozen=True)
class Place:
    """Where an index is."""

    path: str
    """A folder, or the URI of a Milvus server."""
    collection: str = "faq"
    """The collection's name."""
    token: str = ""
    """For a server that asks for one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", os.path.expanduser(self.path))

    @property
    def remote(self) -> bool:
        """Whether it is behind a URI."""
        return "://" in self.path

    def __str__(self) -> str:
        return f"{self.path}, collection {self.collection}" if self.remote else self.path


def read_token(file: str | None) -> str:
    """The token in a file; none where no file is named.

    Raises:
        FlipkdError: If the file is missing or not UTF-8.
    """
    if file is None:
        return ""
    if not Path(file).is_file():
        raise FlipkdError(f"{file}: no such file. It must hold the server's token.")
    try:
        return Path(file).read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise FlipkdError(f"{file}: not UTF-8 ({error}). Save it as UTF-8.") from error


def exists_locally(place: Place) -> bool:
    """Whether a local place holds an index; a remote one is taken to."""
    return place.remote or (Path(place.path) / "collections" / place.collection).is_dir()


def require_index(place: Place) -> None:
    """Check that a local place holds an index with all its files, before the engine sees it.

    The engine would go on without those that are missing. Where its list of them is damaged it would go on by an older
    one, and remove the files that stand in the newer one alone.

    Raises:
        FlipkdError: If there is none, a file is missing, or the list is damaged.
    """
    if not exists_locally(place):
        raise FlipkdError(f"{place} is no index. Make one: flipkd index build --output {place.path}")
    if place.remote:
        return
    folder = Path(place.path) / "collections" / place.collection
    manifest = folder / "manifest.json"
    try:
        parts = json.loads(manifest.read_text(encoding="utf-8"))["partitions"]
        listed = [f"{part}/{file}" for part in parts for kind in FILES for file in parts[part][kind]]
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise FlipkdError(f"{manifest} is damaged ({error}). {REBUILD}") from error
    files = [folder / "partitions" / file.replace("\\", "/") for file in listed]
    lost = next((file for file in files if not file.is_file()), None)
    if lost is not None:
        raise FlipkdError(f"{lost} is missing: a part of the index was lost or not copied. {REBUILD}")


def require_free(place: Place, *, overwrite: bool) -> None:
    """Check that nothing stands in the way of an index at a local place.

    Raises:
        FlipkdError: If an index is there and is not to be overwritten or open elsewhere, or something else is.
    """
    if place.remote or not Path(place.path).exists():
        return
    if not exists_locally(place):
        raise FlipkdError(f"{place.path} is already there and is no index. Choose another --output.")
    if not overwrite:
        raise FlipkdError(f"{place.path} is already there. Choose another --output, or --overwrite it.")
    foreign = sorted({file.name for file in Path(place.path).iterdir()} - ENGINES_OWN)
    if foreign:
        raise FlipkdError(
            f"{place.path} holds what is no part of an index, too ({', '.join(foreign)}), which would be lost. Move it "
            "elsewhere, or choose another --output."
        )
    others = sorted({folder.name for folder in (Path(place.path) / "collections").iterdir()} - {place.collection})
    others += sorted(f"database {folder.name}" for folder in (Path(place.path) / "databases").glob("*"))
    if others:
        raise FlipkdError(
            f"{place.path} holds other collections, too ({', '.join(others)}), which would be lost. Choose another "
            "--output, or let milvus-lite server have the folder and give its URI."
        )
    require_closed(place)


def require_closed(place: Place) -> None:
    """Check that no process has a local index open.

    Raises:
        FlipkdError: If one has.
    """
    _, stop = connect(place)
    stop()


@contextmanager
def translated(place: Place) -> Iterator[None]:
    """Errors of Milvus, and of the way to it, as ours."""
    from grpc import RpcError
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        raise FlipkdError(f"{place}: Milvus could not do it: {error.message}") from error
    except RpcError as error:
        raise FlipkdError(f"{place}: Milvus does not answer: {error.details()}") from error


def prepare_jieba() -> None:
    """Its dictionary is packed once into a folder of the user's own, not the shared one for temporary files."""
    try:
        import jieba
    except ImportError as error:
        raise FlipkdError("BM25 of Chinese texts needs jieba: pip install 'flipkd[index]'.") from error

    jieba.setLogLevel(logging.WARNING)
    folder = Path("~/.cache/flipkd").expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    jieba.dt.tmp_dir = str(folder)


def connect(place: Place) -> tuple[Any, Callable[[], None]]:
    """Reach the engine.

    Returns:
        A `pymilvus.MilvusClient`, and what lets go of the engine.

    Raises:
        FlipkdError: If the extra is not installed, no server answers, or the folder can't be opened.
    """
    try:
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException
    except ImportError as error:
        raise FlipkdError("A FAQ index needs pymilvus and milvus-lite: pip install 'flipkd[index]'.") from error

    # They print the traceback of every error that they raise, too.
    for name in ("pymilvus", "milvus_lite"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if place.remote:
        try:
            client = MilvusClient(place.path, token=place.token)
        except MilvusException as error:
            raise FlipkdError(f"{place.path}: no Milvus answers there: {error.message}") from error
        return client, client.close
    try:
        # Not MilvusClient("x.db"): it would keep the folder locked until the process ends.
        server, engine, port = start_server_in_thread(place.path)
    except DataDirLockedError as error:
        raise FlipkdError(
            f"{place.path} is open elsewhere. Milvus Lite lets one process in at a time: end the other one, "
            f"or let it be a server for all, milvus-lite server --data-dir {place.path}, and give its URI."
        ) from error
    except MilvusLiteError as error:
        raise FlipkdError(f"{place.path} can't be opened: {error}. Build it again.") from error

    def end() -> None:
        server.stop(grace=2).wait()
        engine.close()

    # It is this very process: no proxy that the environment names can reach it, and pings while a model computes for
    # two minutes would only make it complain on the terminal and close the connection.
    options = {"grpc.enable_http_proxy": 0, "grpc.keepalive_permit_without_calls": 0}
    try:
        client = MilvusClient(f"http://127.0.0.1:{port}", grpc_options=options)
    except MilvusException as error:
        end()
        raise FlipkdError(f"{place.path}: the engine does not answer at 127.0.0.1:{port}: {error.message}") from error

    def stop() -> None:
        client.close()
        end()

    return client, stop
