"""Settings of the server."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from flipkd.errors import FlipkdError


@dataclass
class ServeConfig:
    """Serve finished runs over HTTP, in the shapes of vLLM's and OpenAI's servers, until Ctrl-C or SIGTERM."""

    model: str = ""
    """The artefact that answers requests which name none: the --output of a finished run. Its name is the folder's."""
    models: dict[str, str] = field(default_factory=dict)
    """Further artefacts, each under a name of its own: --models.cards runs/cards. Those over one base model share its
    weights."""
    index: str = ""
    """An index of `flipkd index build`, for /search; it must have been built with --model."""
    index_collection: str = "faq"
    """The index's name in its folder or on its server."""
    index_token_file: str | None = None
    """A file that holds the token of a Milvus server that asks for one."""
    host: str = "127.0.0.1"
    """The address to listen at. Any but a loopback address needs --api-key-file or --allow-anonymous."""
    port: int = 8000
    """The port to listen at; 0 takes a free one."""
    api_key_file: str = ""
    """A file with the keys that are let in, one a line; clients send `Authorization: Bearer KEY`."""
    allow_anonymous: bool = False
    """Let everybody in who reaches the address, without a key."""
    cascade: bool = False
    """Let the encoder alone answer where it is sure, as in `flipkd match --cascade`; every artefact needs a band."""
    policy: str | None = None
    """Another threshold policy than the artefacts', kept on each one's validation pairs: f1, accuracy, precision=P,
    recall=R, cost=A:B (a false match costs A, a missed one B) or bands=P:Q (accept at precision P, reject at precision
    Q, review in between)."""
    prior: float | None = None
    """The share of matches among the pairs that are asked, where it is another than in validation: probabilities and
    thresholds are re-weighted to it."""
    int8: bool = False
    """Round the students' weights to int8, on a CPU: about twice as fast, and answers move a little."""
    batch_tokens: int = 1024
    """Tokens that are computed together. A waiting request is held up by one such batch, and its share of the next."""
    max_wait_ms: float = 2.0
    """How long an idle server waits for more rows once the first has come."""
    queue_rows: int = 4096
    """Rows (pairs or texts) that may wait; a request that finds no room is answered 429. An empty queue takes any."""
    queue_tokens: int = 262_144
    """Tokens that may wait, likewise."""
    max_body_mb: float = 2.0
    """The largest request body, in MiB; a larger one is answered 413."""
    max_rows: int = 1024
    """The most pairs or texts of a request."""
    max_characters: int = 20_000
    """The longest text. The artefact reads its first tokens alone, as in training, and says how many texts were cut."""
    body_seconds: float = 30.0
    """How long a client may take to send a body; then it is answered 408."""
    max_connections: int = 1024
    """Connections and requests at once; beyond that 503."""
    drain_seconds: float = 30.0
    """How long SIGTERM waits for the requests at hand."""
    access_log: bool = True
    """A line on standard error for each request: id, route, status, time. Never a text."""
    device: str | None = None
    """Where to compute, such as cuda or cpu; by default a GPU where there is one."""
    cache_dir: str = "~/.cache/flipkd"
    """Where packaged students are kept once converted."""

    def __post_init__(self) -> None:
        """Check the settings among themselves."""
        if not (self.model or self.models):
            raise FlipkdError("--model is missing: give the --output of a finished run.")
        for name in (
            "batch_tokens", "queue_rows", "queue_tokens", "max_body_mb", "max_rows", "max_characters", "body_seconds",
            "max_connections",
        ):  # fmt: skip
            if not getattr(self, name) > 0:
                raise FlipkdError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be above 0.")
        for name in ("max_wait_ms", "drain_seconds"):
            if not getattr(self, name) >= 0:
                raise FlipkdError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 0.")
        if not 0 <= self.port < 65536:
            raise FlipkdError(f"--port is {self.port}; it must be between 0 and 65535.")
        if not (is_loopback(self.host) or self.api_key_file or self.allow_anonymous):
            raise FlipkdError(
                f"--host {self.host} can be reached from other machines. Give --api-key-file, or --allow-anonymous if "
                "everybody who reaches it may ask."
            )

    def folders(self) -> dict[str, Path]:
        """The artefacts' folders by name, the default one first.

        Raises:
            FlipkdError: If a name is given twice or cannot stand in a path of the API.
        """
        own = Path(self.model).expanduser()
        found = {own.resolve().name: own} if self.model else {}
        for name, folder in self.models.items():
            if name in found:
                raise FlipkdError(f"Two artefacts are called {name!r}; give one of them another name.")
            found[name] = Path(folder).expanduser()
        for name in found:
            if not name or "/" in name:
                raise FlipkdError(f"{name!r} cannot be the name of an artefact; name it with --models.NAME FOLDER.")
        return found


def is_loopback(host: str) -> bool:
    """Whether an address reaches this machine alone. A name other than localhost is not asked for."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
