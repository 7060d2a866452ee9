"""The OpenAPI document is one, and the server does what it says, whatever is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from tests.server.test_bad_input import BODIES, assert_idle
from tests.serving import Served

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")
InvalidSchema = pytest.importorskip("schemathesis.core.errors").InvalidSchema


# Of schemathesis' checks all but one: what the document allows may contradict itself all the same.
EXAMPLES = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
SHORT = {"max_tokens": 4, "max_completion_tokens": 4, "max_output_tokens": 4, "n": 2, "best_of": 2}
LENGTH = {
    "/v1/chat/completions": "max_completion_tokens",
    "/v1/completions": "max_tokens",
    "/v1/responses": "max_output_tokens",
}
OPERATIONS = {("post", path) for path in BODIES} | {
    ("get", path)
    for path in (
        "/v1/models",
        "/v1/models/{name}",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/engine",
    )
}


@pytest.fixture(scope="module")
def document(served: Served) -> dict[str, Any]:
    found: dict[str, Any] = served.get("/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def api(served: Served) -> Any:
    return schemathesis.openapi.from_url(f"{served.url}/openapi.json")


def test_the_document_is_valid(api: Any, document: dict[str, Any]) -> None:
    api.validate()
    assert document["openapi"].startswith("3.")
    assert {*BODIES, "/v1/models", "/health", "/metrics", "/engine"} <= set(document["paths"])


def test_every_error_is_documented(document: dict[str, Any]) -> None:
    for path in BODIES:
        responses = document["paths"][path]["post"]["responses"]
        assert {"200", "400", "401", "404", "413", "415", "429", "500", "503"} <= set(responses)
        assert "422" not in responses, "there is no such answer"


def test_no_field_is_open(document: dict[str, Any]) -> None:
    """Unknown parameters are refused, and the document says so."""
    for path in BODIES:
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        schema = body["schema"]
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        assert schema["additionalProperties"] is False, path


def test_these_are_the_operations(document: dict[str, Any]) -> None:
    """The next test tries all that there are."""
    found = {(method, path) for path, all_ in document["paths"].items() for method in all_}
    assert found == OPERATIONS


@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_the_server_does_what_the_document_says(api: Any, method: str, path: str) -> None:
    operation = api[path][method.upper()]
    modes = schemathesis.GenerationMode

    def answered(case: Any) -> None:
        response = case.call()
        assert response.status_code < 500, response.text
        case.validate_response(response, excluded_checks=[checks.positive_data_acceptance])

    @given(case=operation.as_strategy(generation_mode=modes.POSITIVE))
    @EXAMPLES
    def allowed(case: Any) -> None:
        if isinstance(case.body, dict):
            # A model that there is, and answers that leave time for more of them.
            if case.body.get("model") is not None:
                case.body["model"] = "bundled"
            for name, most in SHORT.items():
                if isinstance(case.body.get(name), int):
                    case.body[name] = min(case.body[name], most)
            if path in LENGTH and not isinstance(case.body.get(LENGTH[path]), int):
                case.body[LENGTH[path]] = 4
        answered(case)

    @st.composite
    def mutated(draw: st.DrawFn) -> Any:
        try:
            return draw(operation.as_strategy(generation_mode=modes.NEGATIVE))
        except InvalidSchema:  # a mutation that nothing satisfies is no case
            reject()

    @given(case=mutated())
    @EXAMPLES
    def forbidden(case: Any) -> None:
        answered(case)

    allowed()
    if method == "post":
        forbidden()


def test_nothing_is_left_of_it(served: Served) -> None:
    assert_idle(served)
