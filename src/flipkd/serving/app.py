"""The application: the routes, what stands around them, and the task that computes batches."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from flipkd import __version__
from flipkd.serving.batcher import Batcher
from flipkd.serving.config import ServeConfig, is_loopback
from flipkd.serving.errors import STATUSES, ErrorAnswer, Refused, refusal_of
from flipkd.serving.gate import OPEN, Gate, GateState, read_keys
from flipkd.serving.metrics import Metrics
from flipkd.serving.models import Key, Served
from flipkd.serving.observe import Observe
from flipkd.serving.queue import FairQueue
from flipkd.serving.routes import make_router
from flipkd.serving.schemas import ModelCard, ModelList, Status
from flipkd.serving.search import make_search_router
from flipkd.serving.service import Service


def make_app(served: dict[str, Served], config: ServeConfig, state: GateState | None = None) -> FastAPI:
    """The application over loaded artefacts.

    Args:
        served: The artefacts by name, the default one first.
        config: Its settings.
        state: Of the server, where somebody else looks at it.

    Raises:
        FlipkdError: If the file of keys cannot be used.
    """
    state = state or GateState()
    queue = FairQueue(config.queue_rows, config.queue_tokens)
    metrics = Metrics(queue)

    def compute(key: Key, rows: list[Any]) -> Sequence[Any]:
        name, kind = key
        return served[name].compute(kind, rows, batch_tokens=config.batch_tokens, cascade=config.cascade)

    batcher = Batcher(compute, queue, metrics, batch_tokens=config.batch_tokens, max_wait=config.max_wait_ms / 1000)
    service = Service(served, batcher, config)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(batcher.run())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        service.close()

    app = FastAPIOffline(
        redoc_url=None, title="flipkd", version=__version__, lifespan=lifespan,
        description="Do two texts mean the same? Scores are calibrated probabilities. Errors have OpenAI's shape.",
    )  # fmt: skip
    routers = [make_router(service)]
    if any(one.index is not None for one in served.values()):
        routers.append(make_search_router(service))
    for router in routers:
        app.include_router(router)
    _add_status(app, service, metrics, state)
    _add_refusals(app)
    _describe_keys(app, bool(config.api_key_file))
    known = [*app.routes, *(route for router in routers for route in router.routes)]
    routes = frozenset(getattr(route, "path", "") for route in known)
    app.add_middleware(
        Gate,
        keys=read_keys(config.api_key_file) if config.api_key_file else None,
        names=_own_names(config),
        max_body=int(config.max_body_mb * 2**20),
        body_seconds=config.body_seconds,
        state=state,
    )
    app.add_middleware(Observe, count=metrics.request, routes=routes, access_log=config.access_log)
    return app


def _own_names(config: ServeConfig) -> frozenset[bytes] | None:
    """What a request without a key may call this machine; None where any name will do."""
    if not is_loopback(config.host) or config.api_key_file or config.allow_anonymous:
        return None
    own = f"[{config.host}]" if ":" in config.host else config.host
    return frozenset({b"localhost", b"127.0.0.1", b"[::1]", own.encode()})


def _add_status(app: FastAPI, service: Service, metrics: Metrics, state: GateState) -> None:
    """The routes that speak of the server itself."""
    started = int(time.time())

    def card(one: Served) -> ModelCard:
        spec, decision = one.matcher.spec, one.matcher.decision
        return ModelCard(
            id=one.name, created=started, hash=one.hash, base_model=spec.base_model,
            dimensions=one.matcher.student.width, threshold=one.matcher.answer.threshold,
            policy="f1" if decision is None else decision.policy,
            teacher=spec.teacher.name if one.matcher.teacher is not None else None,
        )  # fmt: skip

    @app.get("/health", summary="Whether the process lives", responses={"default": {"model": ErrorAnswer}})
    async def health() -> Status:
        """Always ok."""
        return Status(status="ok")

    @app.get("/ready", summary="Whether requests are let in", responses={503: STATUSES[503]})
    async def ready() -> Status:
        """Ready, or 503 once the server is being stopped."""
        if state.draining:
            raise Refused(503, "The server is being stopped.", code="draining")
        return Status(status="ready")

    @app.get("/metrics", summary="For Prometheus", responses=STATUSES, response_class=Response)
    async def read_metrics() -> Response:
        """The counters in Prometheus' text form."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models", summary="The artefacts", responses=STATUSES)
    async def models() -> ModelList:
        """All artefacts, the default one first."""
        return ModelList(data=[card(one) for one in service.served.values()])

    @app.get("/v1/models/{name}", summary="One artefact", responses=STATUSES)
    async def model(name: str) -> ModelCard:
        """Its name, hash, base model, threshold and its policy, and the teacher that serves along, if any."""
        return card(service.find(name))


def _add_refusals(app: FastAPI) -> None:
    """Everything that is not answered has OpenAI's error shape."""

    async def refuse(_http: HttpRequest, error: Any) -> Any:
        return error.response()

    async def misunderstood(_http: HttpRequest, error: Any) -> Response:
        return refusal_of(error).response()

    async def other(_http: HttpRequest, error: Any) -> Response:
        return Refused(error.status_code, str(error.detail), headers=error.headers).response()

    app.add_exception_handler(Refused, refuse)
    app.add_exception_handler(RequestValidationError, misunderstood)
    app.add_exception_handler(HTTPException, other)


def _describe_keys(app: FastAPI, needed: bool) -> None:
    """Say in the OpenAPI description which routes need a key."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None and needed:
            found = plain()
            found.setdefault("components", {})["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for path, operations in found["paths"].items():
                for operation in operations.values() if path not in OPEN else ():
                    operation["security"] = [{"key": []}]
        return plain()

    app.openapi = described  # type: ignore[method-assign]
