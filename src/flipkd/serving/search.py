"""/search: a question to the FAQ index."""

from math import isnan

from fastapi import APIRouter
from starlette.requests import Request as HttpRequest

from flipkd.retrieval.results import Hit
from flipkd.serving.errors import STATUSES
from flipkd.serving.schemas import SearchAnswer, SearchRequest, SearchResult
from flipkd.serving.service import Service


def make_search_router(service: Service) -> APIRouter:
    """The route that looks into the index.

    Args:
        service: What answers it.
    """
    router = APIRouter(responses=STATUSES)

    @router.post("/search", summary="The entries of the FAQ that answer a question")
    async def search(request: SearchRequest, http: HttpRequest) -> SearchAnswer:
        """The best entries, and the answer: null where no entry is a match."""
        asked = await service.search(http, request.model, request.query, request.top)
        (found,) = asked.answers
        results = [_result(hit) for hit in found.hits]
        return SearchAnswer(**asked.head(), answer=None if found.answer is None else results[0], results=results)

    return router


def _result(hit: Hit) -> SearchResult:
    entry = hit.entry
    return SearchResult(
        id=entry.id, question=entry.question, answer=entry.answer, extra=entry.extra, similarity=hit.similarity,
        logit=None if isnan(hit.logit) else hit.logit, probability=hit.probability, match=hit.match,
        decision=hit.decision,
    )  # fmt: skip
