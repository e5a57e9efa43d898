"""Requests and answers: vLLM's for scores and ranking, OpenAI's for vectors, our own for matches and search.

Fields that are not known here are ignored, since clients send many; those that would change the answer are refused.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr, model_validator

from flipkd.serving.errors import FirstFault

UNREAD: dict[str, tuple[tuple[Any, ...], str]] = {
    "truncate_prompt_tokens": ((None, -1), "each text is cut where it was cut in training"),
    "truncation_side": ((None, "right"), "texts are cut on the right, as in training"),
    "max_tokens_per_doc": ((None, 0), "each text is cut where it was cut in training"),
    "max_tokens_per_query": ((None, 0), "each text is cut where it was cut in training"),
    "add_special_tokens": ((None, True), "texts are encoded as in training"),
    "max_chunks_per_doc": ((None,), "a text is read once, up to where it was cut in training"),
    "rank_fields": ((None, ["text"]), "of a document its text alone is read"),
    "use_activation": ((None, True), "scores are calibrated probabilities; /match gives the logit"),
    "activation": ((None, True), "scores are calibrated probabilities; /match gives the logit"),
    "normalize": ((None, True), "vectors have length 1"),
    "embed_dtype": ((None, "float32"), "vectors are float32"),
    "endianness": ((None, "native", "little"), "base64 is little-endian float32"),
    "instruction": ((None,), "the prompt is the artefact's own"),
    "messages": ((None,), "chats are not read; send texts"),
    "chat_template": ((None,), "the prompt is the artefact's own"),
    "chat_template_kwargs": ((None, {}), "the prompt is the artefact's own"),
    "input_type": ((None, "search_query", "search_document"), "vectors are for retrieval, the same on both sides"),
}
"""Fields of other servers that change an answer: what they may say here, and why nothing else."""


class Request(BaseModel):
    """What all requests share.

    Attributes:
        model: The artefact's name; without it the first one answers.
    """

    model_config = ConfigDict(extra="ignore")
    model: StrictStr | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_the_unread(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for name, (allowed, why) in UNREAD.items():
                if name in data and data[name] not in allowed:
                    raise ValueError(f"{name} is not supported: {why}. Leave it out.")
        return data


Texts = StrictStr | Annotated[list[StrictStr], FirstFault()]
SPELLINGS = (("queries", "documents"), ("queries", "items"), ("data_1", "data_2"), ("text_1", "text_2"))
"""The four ways to name the two sides of pairs."""


class ScoreRequest(Request):
    """Pairs under one of four spellings; a text against a list, or two lists of one length."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"anyOf": [{"required": ["queries", "documents"]}, {"required": ["queries", "items"]},
                                     {"required": ["data_1", "data_2"]}, {"required": ["text_1", "text_2"]}]},
    )  # fmt: skip
    queries: Texts | None = None
    documents: Texts | None = None
    items: Texts | None = None
    data_1: Texts | None = None
    data_2: Texts | None = None
    text_1: Texts | None = None
    text_2: Texts | None = None

    @model_validator(mode="after")
    def _one_spelling(self) -> "ScoreRequest":
        fields = {name for spelling in SPELLINGS for name in spelling}
        given = {name for name in fields if getattr(self, name) is not None}
        if given not in map(set, SPELLINGS):
            ways = ", ".join(" and ".join(spelling) for spelling in SPELLINGS)
            shown = f"got {', '.join(sorted(given))}" if given else "got none"
            raise ValueError(f"give the two sides of the pairs as exactly one of {ways}; {shown}")
        return self

    @property
    def sides(self) -> tuple[tuple[str, str], Any, Any]:
        """The names of the two fields, and what they hold."""
        (names,) = [pair for pair in SPELLINGS if all(getattr(self, name) is not None for name in pair)]
        return names, getattr(self, names[0]), getattr(self, names[1])


class Document(BaseModel):
    """A document as an object; only its text is read."""

    text: StrictStr


class RerankRequest(Request):
    """One query against documents.

    Attributes:
        query: Text a of each pair.
        documents: Texts, or objects with a `text`.
        top_n: How many results; 0 or nothing gives all.
        return_documents: Whether results repeat their document.
    """

    query: StrictStr
    documents: Annotated[list[StrictStr | Document], FirstFault()] = Field(min_length=1)
    top_n: int | None = Field(default=None, ge=0)
    return_documents: bool | None = None


class EmbeddingRequest(Request):
    """Texts to encode.

    Attributes:
        input: A text or a list of texts; token ids are refused, since they are another tokenizer's.
        encoding_format: Numbers, or base64 of little-endian float32.
        dimensions: If given, it must be the artefact's own.
    """

    input: Texts
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_token_ids(cls, data: Any) -> Any:
        given = data.get("input") if isinstance(data, dict) else None
        first = given[0] if isinstance(given, list) and given else None
        if isinstance(first, list | int) and not isinstance(first, bool):
            raise ValueError(
                "input holds token ids, which are another tokenizer's: send texts. (In langchain's OpenAIEmbeddings "
                "set check_embedding_ctx_length=False.)"
            )
        return data


class MatchRequest(Request):
    """Pairs of texts."""

    pairs: Annotated[list[tuple[StrictStr, StrictStr]], FirstFault()] = Field(min_length=1)


class SearchRequest(Request):
    """A question to the index; `top` entries at most come back, and no more than it verifies."""

    query: StrictStr
    top: int = Field(default=5, ge=1, le=100)


class Usage(BaseModel):
    """Tokens that were read.

    Attributes:
        prompt_tokens: Of all rows, the template's among them.
        total_tokens: The same, since nothing is generated.
        cut_texts: How many distinct texts were longer than the artefact reads.
    """

    prompt_tokens: int
    total_tokens: int
    cut_texts: int


class ArtefactName(BaseModel):
    """Who answered: the artefact's name and the hash of its files."""

    name: str
    hash: str


class Answer(BaseModel):
    """What all answers share."""

    id: str
    model: str
    artefact: ArtefactName
    usage: Usage


class Score(BaseModel):
    """The calibrated probability of a match, in the order of the request."""

    index: int
    object: Literal["score"] = "score"
    score: float


class ScoreAnswer(Answer):
    """vLLM's answer to /score."""

    object: Literal["list"] = "list"
    created: int
    data: list[Score]


class RerankResult(BaseModel):
    """A document and the calibrated probability that it matches the query."""

    index: int
    document: Document | None = None
    relevance_score: float


class RerankAnswer(Answer):
    """The documents by falling probability."""

    results: list[RerankResult]


class Embedding(BaseModel):
    """A vector of length 1."""

    index: int
    object: Literal["embedding"] = "embedding"
    embedding: list[float] | str


class EmbeddingAnswer(Answer):
    """OpenAI's answer to /v1/embeddings."""

    object: Literal["list"] = "list"
    data: list[Embedding]


class Match(BaseModel):
    """The answer for one pair, see `flipkd.matching.results.MatchResult`; null where NaN."""

    index: int
    object: Literal["match"] = "match"
    probability: float
    similarity: float | None
    logit: float | None
    match: bool
    decision: str | None


class MatchAnswer(Answer):
    """Our own answer, with all that is known of a pair."""

    object: Literal["list"] = "list"
    created: int
    threshold: float
    data: list[Match]


class SearchResult(BaseModel):
    """An entry of the index and what is said of it; null where NaN."""

    id: str
    question: str
    answer: str
    extra: dict[str, str]
    similarity: float
    logit: float | None
    probability: float
    match: bool
    decision: str | None


class SearchAnswer(Answer):
    """The best entries.

    Attributes:
        answer: The best one, or null, "no answer", where it is no match by the policy in force.
        results: By falling probability.
    """

    answer: SearchResult | None
    results: list[SearchResult]


class ModelCard(BaseModel):
    """An artefact in the list of models."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["flipkd"] = "flipkd"
    hash: str
    base_model: str
    dimensions: int
    threshold: float
    policy: str
    teacher: str | None


class ModelList(BaseModel):
    """OpenAI's list of models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Status(BaseModel):
    """Of the server."""

    status: Literal["ok", "ready"]
