"""Our own description of the API holds for requests that are made up from it."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.live import listening

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def hold(served, **options):
    """Ask each operation of the description what is made up from it; gives what each was answered."""
    chosen = settings(suppress_health_check=list(HealthCheck), **options)
    seen = {}
    with listening(served) as server:
        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
        for operation in (found.ok() for found in schema.get_all_operations()):
            statuses = seen.setdefault(operation.path, set())

            chosen(given(case=operation.as_strategy())(asking(statuses)))()
    return seen


def asking(statuses):
    def ask(case):
        statuses.add(case.call_and_validate(checks=CHECKS).status_code)

    return ask


def test_requests_from_the_description_are_answered_as_it_says(served):
    seen = hold(served, max_examples=15, derandomize=True)
    asked = {"/score", "/rerank", "/v1/embeddings", "/match", "/v1/models", "/v1/models/{name}", "/metrics", "/ready"}
    assert asked <= set(seen)
    assert seen["/metrics"] == seen["/v1/models"] == {200}


@pytest.mark.nightly
def test_many_requests_from_the_description_are_answered_as_it_says(served):
    seen = hold(served, max_examples=1000)
    assert all(200 in seen[path] for path in ("/score", "/rerank", "/v1/embeddings", "/match"))
