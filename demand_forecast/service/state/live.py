"""The live packages: whatever is published and verifies, swapped in while requests are answered."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from demand_forecast.publishing.package import CURRENT, TRIAL, PackageError, current_name, read_package, read_trial
from demand_forecast.service.contract.problems import Problem
from demand_forecast.service.contract.schema import Refused
from demand_forecast.service.state.arms import Arms
from demand_forecast.service.state.keys import KeyRing
from demand_forecast.service.state.published_forecast import Arm
from demand_forecast.service.state.served import Served

INTERVAL = 0.5  # seconds between looks at the folder
REPAIR = "run `demand-forecast run`"
Seen = tuple[tuple[int, int] | None, ...]

logger = logging.getLogger("bentoml.demand_forecast")


class Live:
    """The arms that one worker serves from, and the thread that watches for newer packages.

    A request takes the reference once and is answered from it, even if a swap happens meanwhile. A package that does
    not verify is refused, with the reason in `refused`, and the previous one stays.
    """

    def __init__(self, folder: Path | str, keys: KeyRing) -> None:
        """`folder`: of the packages; or the reason why there is none, which every request is then answered with."""
        self.folder, self.keys = folder, keys
        self.refused: Refused | None = None
        self._arms: Arms | None = None
        self._seen: Seen = ()
        self._trouble = folder if isinstance(folder, str) else f"no champion is published in {folder}: {REPAIR}"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="live", daemon=True)

    def start(self) -> None:
        self.look()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def arms(self) -> Arms:
        """What requests are answered from. Raises Problem 503 while nothing is live."""
        if self._arms is None:
            raise Problem(503, self._trouble, headers={"Retry-After": "30"})
        return self._arms

    def look(self) -> None:
        """Swaps in what is published now, if that changed since the last look and verifies."""
        folder = self.folder
        if isinstance(folder, str):
            return
        seen = tuple(_stamp(folder / name) for name in (CURRENT, TRIAL))
        if seen == self._seen or seen[0] is None:
            return
        self._seen, self.refused = seen, None
        before = self._arms
        champion = self._load(folder, "champion", before.champion if before else None, lambda: current_name(folder))
        if champion is None:
            return
        challenger = trial = None
        try:
            if trial := read_trial(folder):
                name, tried = trial.package, before.challenger if before else None
                challenger = self._load(folder, "challenger", tried, lambda: name)
            arms = Arms(champion, challenger, trial if challenger else None)
        except PackageError as error:
            self._refuse(trial.package if trial else TRIAL, str(error))
            arms = Arms(champion)
        if before is None or before.champion is not champion:
            logger.info("live: package %s", champion.name)
        if arms.challenger and arms.trial:
            logger.info("tried out: package %s, %s", arms.challenger.name, arms.trial.mode)
        self._arms = arms

    def _load(self, folder: Path, arm: Arm, before: Served | None, name_of: Callable[[], str]) -> Served | None:
        """The package of that name; `before` if that is the same, or if the champion's new one does not verify."""
        name = ""
        try:
            name = name_of()
            if before is not None and before.name == name:  # the name has a hash of the content
                return before
            return Served(read_package(folder, name), arm)
        except (PackageError, OSError) as error:
            self._refuse(name, str(error))
        except Exception as error:  # files that we did not write may raise anything
            logger.exception("package %s is not readable", name)
            self._refuse(name, f"package {name} is not readable: {error}")
        return before if arm == "champion" else None

    def _refuse(self, name: str, reason: str) -> None:
        if self._arms is None:
            self._trouble = reason
        self.refused = Refused(package=name, reason=reason, since=datetime.now(UTC))
        logger.error("package refused: %s", reason)

    def _watch(self) -> None:
        while not self._stopped.wait(INTERVAL):
            try:
                self.keys.look()
                self.look()
            except Exception:
                logger.exception("what is published could not be looked at")


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
