"""Hooks of schemathesis: every other request is made about series that are there, and days that are forecast.

What is not valid stays as it is, so that a request made to be refused still is to be refused.
"""

import os
from datetime import date, timedelta
from typing import Any

import schemathesis

STORES, PRODUCTS = ("North", "South"), tuple(f"P-{number:02}" for number in range(6))
FIRST = date.fromisoformat(os.environ["FUZZ_FIRST_DAY"])
DAYS = 28


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    if not isinstance(body, dict) or len(repr(body)) % 2:
        return body
    series, changes = body.get("series"), body.get("changes")
    for item in series if isinstance(series, list) else ():
        _known(item)
    for change in changes if isinstance(changes, list) else ():
        _forecast(change)
    return body


@schemathesis.hook
def map_query(context: schemathesis.HookContext, query: Any) -> Any:
    if isinstance(query, dict) and not len(repr(query)) % 2:
        _known(query)
    return query


@schemathesis.check
def what_the_schema_allows_is_not_called_invalid(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """A request of the right shape may ask for what is not there; `errors` is for those of the wrong shape."""
    if case.meta and case.meta.generation.mode.is_positive and response.status_code == 422:
        assert not response.json().get("errors"), response.json()["detail"]


def _known(item: Any) -> None:
    """Puts known ids in the place of valid ones."""
    names = {"store_id": STORES, "product_id": PRODUCTS}
    if isinstance(item, dict) and all(
        isinstance(item.get(name), str) and 1 <= len(item[name]) <= 200 for name in names
    ):
        for name, known in names.items():
            item[name] = known[len(item[name]) % len(known)]


def _forecast(change: Any) -> None:
    """Puts days of the forecast in the place of valid ones."""
    try:
        ahead = sorted(date.fromisoformat(change[name]).toordinal() % DAYS for name in ("first", "last"))
    except (TypeError, KeyError, ValueError):
        return
    if all(len(change[name]) == 10 for name in ("first", "last")):
        for name, days in zip(("first", "last"), ahead, strict=True):
            change[name] = str(FIRST + timedelta(days=days))
