"""The Dagster UI as its users meet it: `dagster dev` on a retailer's files, driven in Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from demand_forecast_tests.landing_files import FIRST_DAY, write_config, write_reports

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
GROUPS = ("raw", "clean", "features", "models", "evaluation", "forecasts", "serving", "monitoring")
DAY = str(FIRST_DAY)
PATIENCE = 30_000  # milliseconds
BUSY = 240  # seconds that a process may take to start on a busy machine

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder as `demand-forecast init` leaves it, with ten days of reports."""
    folder = tmp_path_factory.mktemp("retailer")
    write_reports(folder, days=10)
    write_config(folder, history_start=DAY, automation={"running": False})
    run(folder, "demand_forecast.cli", "init").wait()
    return folder


def run(folder: Path, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DEMAND_FORECAST_")}
    environment["PYTHONPATH"] = str(ROOT)
    with (folder / "said.txt").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=folder, env=environment, stdout=said, stderr=said
        )


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[str]:
    """The address of `dagster dev`, started in the project folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = run(project, "dagster", "dev", "--port", str(port), "--workspace", str(ROOT / "workspace.yaml"))
    try:
        yield wait_for(f"http://127.0.0.1:{port}", process, project)
    finally:
        process.terminate()
        process.wait(BUSY)


def wait_for(address: str, process: "subprocess.Popen[bytes]", project: Path) -> str:
    deadline = time.monotonic() + BUSY
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(f"{address}/server_info").raise_for_status()
            return address
        except httpx.HTTPError:
            time.sleep(0.3)
    process.terminate()
    pytest.fail(f"dagster dev did not start:\n{(project / 'said.txt').read_text()}")


@pytest.fixture(scope="module")
def page(server: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(base_url=server, viewport={"width": 1400, "height": 1400})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()


@pytest.fixture(scope="module")
def materialised(page: Page, server: str) -> dict[str, str]:
    """How the run ended that a user launched for one day of raw_sales."""
    page.goto("/assets/raw_sales")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Show all partitions").click()
    selection = dialog.get_by_role("textbox").first
    selection.fill(DAY)
    selection.press("Enter")
    dialog.get_by_role("button", name="Launch 1 run").click()
    expect(page.get_by_text("Launched run")).to_be_visible()
    return last_run(server)


def last_run(server: str) -> dict[str, str]:
    query = "{runsOrError(limit: 1) {... on Runs {results {jobName status}}}}"
    deadline = time.monotonic() + BUSY
    while True:
        (found,) = httpx.post(f"{server}/graphql", json={"query": query}).json()["data"]["runsOrError"]["results"]
        if found["status"] in {"SUCCESS", "FAILURE"} or time.monotonic() > deadline:
            return dict(found)
        time.sleep(0.5)


@pytest.fixture(scope="module")
def asset_page(page: Page, materialised: dict[str, str]) -> Page:
    assert materialised
    page.goto("/assets/raw_sales")
    return page


def test_the_graph_shows_every_group(page: Page, project: Path) -> None:
    page.goto("/asset-groups")
    for group in GROUPS:
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    said = (project / "said.txt").read_text()
    assert "Traceback" not in said
    assert "PreviewWarning" not in said


def test_a_day_materialised_by_hand_succeeds(materialised: dict[str, str]) -> None:
    assert materialised == {"jobName": "__ASSET_JOB", "status": "SUCCESS"}


def test_the_asset_page_says_what_the_table_is(asset_page: Page) -> None:
    expect(asset_page.get_by_text("Sales lines as they arrived, every column as text")).to_be_visible()
    column = asset_page.locator("tr").filter(has_text="hash of what the file says about the day")
    expect(column).to_contain_text("content_hash")
    rows = asset_page.locator("tr").filter(has_text="rows_added")
    expect(rows).to_contain_text("6")


def test_the_asset_page_shows_its_picture(asset_page: Page) -> None:
    asset_page.locator("tr").filter(has_text="rows_by_day").get_by_text("[Show Markdown]").click()
    picture = asset_page.get_by_role("img", name="picture")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 300


def test_the_sensor_finds_the_days_not_yet_collected(page: Page) -> None:
    page.goto("/locations/demand_forecast/sensors/landing")
    page.get_by_role("button", name="Preview tick result").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_contain_text("Requested runs (1)")
    expect(dialog).to_contain_text("whole_graph")
