"""/search: a question to the FAQ index."""

from dataclasses import asdict
from math import isnan
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest

from flipkd.serving.errors import STATUSES
from flipkd.serving.schemas import SearchAnswer, SearchRequest
from flipkd.serving.service import Service


def make_search_router(service: Service) -> APIRouter:
    """The route that looks into the index.

    Args:
        service: What answers it.
    """
    router = APIRouter(responses=STATUSES)

    @router.post("/search", summary="The entries of the FAQ that answer a question")
    async def search(request: SearchRequest, http: HttpRequest) -> SearchAnswer:
        """The best entries, each with its similarity and calibrated probability."""
        asked = await service.ask(http, request.model, "search", [(request.query,)], "query", top=request.top)
        return SearchAnswer(**asked.head(), results=[_plain(found) for found in asked.answers[0]])

    return router


def _plain(found: Any) -> dict[str, Any]:
    """The fields of what the index found; null where NaN."""
    return {name: None if isinstance(value, float) and isnan(value) else value for name, value in asdict(found).items()}
