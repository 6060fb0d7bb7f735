"""Which version answers for which series: the champion, or a challenger that is on trial."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, TypeVar

from demand_forecast.publishing.package import PackageError, Trial
from demand_forecast.service.contract.schema import SeriesId
from demand_forecast.service.state.served import Served

Item = TypeVar("Item", bound=SeriesId)


class Arms:
    """The champion, and perhaps a challenger: its answers are logged and not given (shadow), or given for its share of
    the series (canary). Raises PackageError if the two do not forecast the same days.
    """

    def __init__(self, champion: Served, challenger: Served | None = None, trial: Trial | None = None) -> None:
        self.champion, self.challenger, self.trial = champion, challenger, trial
        self._others: dict[tuple[str, str], Served] = {}
        if challenger is None or trial is None:
            return
        if challenger.info.forecast_origin != champion.info.forecast_origin or challenger.published.horizon != (
            champion.published.horizon
        ):
            raise PackageError(f"package {challenger.name} is not tried out: it does not forecast the champion's days")
        if trial.mode == "canary":
            known = set(champion.published.rows) & set(challenger.published.rows)
            chosen = (key for key in known if in_share(key, challenger.info.model_version, trial.share))
            self._others = dict.fromkeys(chosen, challenger)

    @property
    def shadow(self) -> Served | None:
        """The challenger whose answers are only logged."""
        return self.challenger if self.trial and self.trial.mode == "shadow" else None

    def served(self, key: tuple[str, str]) -> Served:
        """The version that answers for a series."""
        return self._others.get(key, self.champion)

    def forecast(self, key: tuple[str, str], horizon: int, levels: Sequence[float]) -> dict[str, Any]:
        """The content of a SeriesForecast. Raises KeyError for a series that is not in the champion's forecast."""
        published = self.served(key).published
        return published.forecast(published.rows[key], horizon, levels)

    def each(self, asked: Sequence[Item], answer: Callable[[Served, list[Item]], list[Any]]) -> list[Any]:
        """The results of `answer` for `asked`, in that order; called once per version, with that version's part."""
        parts: dict[str, tuple[Served, list[int]]] = {}
        for place, item in enumerate(asked):
            served = self.served((item.store_id, item.product_id))
            parts.setdefault(served.arm, (served, []))[1].append(place)
        found: list[Any] = [None] * len(asked)
        for served, places in parts.values():
            for place, content in zip(places, answer(served, [asked[place] for place in places]), strict=True):
                found[place] = content
        return found


def in_share(key: tuple[str, str], version: str, share: float) -> bool:
    """Whether a series belongs to the `share` (0..1) that the challenger of that version answers for.

    By a hash of the series' key and the version: the same on every server and every night, other series for another
    challenger, and a larger share contains the smaller one.
    """
    digest = blake2b("\0".join((version, *key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64
