"""Answers written down: whole lines whatever happens to the process or the disk."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demand_forecast.service.state.prediction_log import PredictionLog
from demand_forecast_tests.served_night import CONFIG, Night, Serve

ASKED = {"series": [{"store_id": "North", "product_id": "P-00"}], "horizon": 2}
SMALL_DISK = """
import resource, signal, sys, time
from pathlib import Path
from demand_forecast.service.state.prediction_log import PredictionLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))  # no file grows larger: as on a full disk
log = PredictionLog(Path(sys.argv[1]))
log.start()
for number in range(3):
    for _ in range(30):
        log.put(b'{"number":%d,"pad":"%b"}' % (number, b"x" * 100))
    time.sleep(0.8)
    print(log.lost, log.reason)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.put(b'{"number":9}')
time.sleep(0.8)
print(log.lost, log.reason)
log.stop()
"""


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for file in sorted(folder.iterdir()) for line in file.read_text().splitlines()]


def test_what_is_put_is_a_line_of_a_closed_segment(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "predictions")
    log.start()
    for number in range(100):
        log.put(b'{"number":%d}' % number)
    log.stop()
    (file,) = (tmp_path / "predictions").iterdir()
    assert file.suffix == ".jsonl"
    assert [line["number"] for line in lines(tmp_path / "predictions")] == [*range(100)]


def test_a_line_that_cannot_be_made_costs_no_other(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "predictions")
    log.start()
    for made in (lambda: b'{"number":1}', lambda: bytes(1 // 0), lambda: b'{"number":2}'):
        log.put(made)
    log.stop()
    assert [line["number"] for line in lines(tmp_path / "predictions")] == [1, 2]
    assert log.lost == 1


def test_without_a_folder_nothing_is_kept_and_it_says_so() -> None:
    log = PredictionLog(None)
    log.start()
    log.put(b"{}")
    log.stop()
    assert (log.lost, log.reason) == (0, "not configured: no home folder")


def test_a_disk_that_is_full_costs_lines_and_never_half_of_one(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SMALL_DISK, tmp_path], capture_output=True, text=True, check=True)
    first, second, third, after = done.stdout.splitlines()
    assert first == "0 None"
    assert second.startswith("30 not written since")
    assert "File too large" in second
    assert third.startswith(("30 ", "60 "))
    assert after.endswith("None")
    kept = [line["number"] for line in lines(tmp_path)]
    assert kept[:30] == [0] * 30
    assert kept[-1] == 9
    assert len(kept) + int(after.split()[0]) == 91


WRITER = """
import sys, time
from pathlib import Path
from demand_forecast.service.state.prediction_log import PredictionLog
log = PredictionLog(Path(sys.argv[1]))
log.start()
number = 0
while True:
    log.put(b'{"number":%d}' % number)
    print(number, time.monotonic(), flush=True)
    number += 1
    time.sleep(0.002)
"""


def test_a_killed_process_has_lost_at_most_its_last_second(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
    put = [next(writer.stdout).split() for _ in range(600)]
    writer.kill()
    killed = time.monotonic()
    put += [line.split() for line in writer.communicate()[0].splitlines()]
    old = [int(number) for number, at in put if float(at) < killed - 1]
    (segment,) = tmp_path.iterdir()
    text = segment.read_text()
    written = [json.loads(line)["number"] for line in text[: text.rfind("\n") + 1].splitlines()]
    assert len(old) > 100
    assert written[: len(old)] == old


@pytest.mark.slow
def test_a_killed_server_has_lost_at_most_its_last_second(serve: Serve, night: Night, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    night.publish(tmp_path / ".demand_forecast" / "serving")
    folder = tmp_path / ".demand_forecast" / "predictions"
    answered: list[tuple[float, str]] = []
    with serve(tmp_path) as client:
        end = time.monotonic() + 2.5
        while time.monotonic() < end or len(answered) < 500:
            answer = client.post("/v1/forecast", json=ASKED)
            answered.append((time.monotonic(), answer.json()["request_id"]))
        (segment,) = folder.iterdir()
        worker = int(segment.stem.rpartition("-")[2])
        os.kill(worker, signal.SIGKILL)
        killed = time.monotonic()
    old = [request for at, request in answered if at < killed - 1]
    text = segment.read_text()
    whole = text[: text.rfind("\n") + 1].splitlines()
    written = [json.loads(line) for line in whole]
    assert len(old) > 100
    assert [line["answer"]["request_id"] for line in written][: len(old)] == old
    first = written[0]
    assert first.keys() == {"at", "endpoint", "seconds", "shadow", "answer"}
    assert (first["endpoint"], 0 < first["seconds"] < 1) == ("/v1/forecast", True)
    assert first["answer"]["forecasts"][0]["arm"] == "champion"
