"""The routes that ask an artefact something."""

import base64
import math
import time
from typing import Any

import numpy as np
from fastapi import APIRouter
from starlette.requests import Request as HttpRequest

from flipkd.matching.results import MatchResult
from flipkd.serving.errors import STATUSES, Refused
from flipkd.serving.schemas import (
    Document,
    Embedding,
    EmbeddingAnswer,
    EmbeddingRequest,
    Match,
    MatchAnswer,
    MatchRequest,
    RerankAnswer,
    RerankRequest,
    RerankResult,
    Score,
    ScoreAnswer,
    ScoreRequest,
)
from flipkd.serving.service import Service
from flipkd.serving.texts import broadcast


def make_router(service: Service) -> APIRouter:
    """Scores, ranking, vectors and matches.

    Args:
        service: What answers them.
    """
    router = APIRouter(responses=STATUSES)

    @router.post("/score", summary="The probability that two texts match")
    @router.post("/v1/score", include_in_schema=False)
    async def score(request: ScoreRequest, http: HttpRequest) -> ScoreAnswer:
        """The calibrated probability of each pair, in vLLM's shape; also at /v1/score."""
        names, first, second = request.sides
        asked = await service.ask(http, request.model, "match", broadcast(first, second, names), names[1])
        data = [Score(index=i, score=found.probability) for i, found in enumerate(asked.answers)]
        return ScoreAnswer(**asked.head(), created=int(time.time()), data=data)

    @router.post("/rerank", summary="Documents by falling probability that they match a query")
    @router.post("/v1/rerank", include_in_schema=False)
    @router.post("/v2/rerank", include_in_schema=False)
    async def rerank(request: RerankRequest, http: HttpRequest) -> RerankAnswer:
        """The documents in vLLM's and Cohere's shape; also at /v1/rerank and /v2/rerank."""
        texts = [given if isinstance(given, str) else given.text for given in request.documents]
        rows = [(request.query, text) for text in texts]
        asked = await service.ask(http, request.model, "match", rows, "documents")
        probability = np.array([found.probability for found in asked.answers])
        order = np.argsort(-probability, kind="stable")[: request.top_n or None].tolist()
        repeated = request.return_documents is not False
        results = [
            RerankResult(
                index=i, document=Document(text=texts[i]) if repeated else None, relevance_score=float(probability[i])
            )
            for i in order
        ]
        return RerankAnswer(**asked.head(), results=results)

    @router.post("/v1/embeddings", summary="Vectors of texts")
    async def embeddings(request: EmbeddingRequest, http: HttpRequest) -> EmbeddingAnswer:
        """Vectors of length 1 in OpenAI's shape: their inner products are the similarities."""
        width = service.find(request.model).matcher.student.width
        if request.dimensions not in (None, width):
            raise Refused(
                400, f"This artefact's vectors have {width} dimensions; leave dimensions out.", param="dimensions"
            )
        texts = [request.input] if isinstance(request.input, str) else request.input
        if not texts:
            raise Refused(400, "input is empty: give at least one text.", param="input", code="empty")
        asked = await service.ask(http, request.model, "encode", [(text,) for text in texts], "input")
        packed = request.encoding_format == "base64"
        data = [Embedding(index=i, embedding=_vector(found, packed)) for i, found in enumerate(asked.answers)]
        return EmbeddingAnswer(**asked.head(), data=data)

    @router.post("/match", summary="All that is known of pairs")
    async def match(request: MatchRequest, http: HttpRequest) -> MatchAnswer:
        """Probability, similarity, logit and decision of each pair."""
        asked = await service.ask(http, request.model, "match", request.pairs, "pairs")
        data = [_match(i, found) for i, found in enumerate(asked.answers)]
        threshold = asked.served.matcher.answer.threshold
        return MatchAnswer(**asked.head(), created=int(time.time()), threshold=threshold, data=data)

    return router


def _vector(vector: Any, packed: bool) -> list[float] | str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if packed else vector.tolist()


def _match(index: int, found: MatchResult) -> Match:
    similarity, logit = (None if math.isnan(value) else value for value in (found.similarity, found.logit))
    return Match(
        index=index, probability=found.probability, similarity=similarity, logit=logit, match=found.match,
        decision=found.decision,
    )  # fmt: skip
