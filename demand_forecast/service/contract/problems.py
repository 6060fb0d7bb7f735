"""What goes wrong, told to clients in one shape: problem details (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
MEANING = {
    400: "the body is not JSON",
    401: "no key, or one that is not known: send `Authorization: Bearer <key>`",
    404: "a series that is not in the forecast; the nearest ids are named",
    405: "the path has no such method",
    408: "the request did not arrive in time",
    413: "the body is too large",
    415: "the body is sent as something else than JSON",
    422: "the request is not valid; `errors` says where",
    429: "too many requests with this key; `Retry-After` says when to come again",
    500: "a defect of the service; its log has the request id",
    503: "nothing is live yet, or too much is asked at once",
}


class Problem(Exception):  # noqa: N818  the RFC's word
    """An answer that is an error: HTTP status, what to tell the client, members beyond those of RFC 9457, headers."""

    def __init__(
        self, status: int, detail: str, more: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.more, self.headers = status, detail, more or {}, headers or {}

    def answer(self, instance: str, request_id: str) -> Response:
        """The answer that tells it; `instance` is the path that was asked."""
        content = {"type": "about:blank", "title": HTTPStatus(self.status).phrase, "status": self.status}
        content |= {"detail": self.detail, "instance": instance, "request_id": request_id} | self.more
        return Response(orjson.dumps(content), self.status, self.headers, MEDIA_TYPE)
