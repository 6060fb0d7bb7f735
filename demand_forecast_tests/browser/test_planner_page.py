"""The planner page as its users meet it: a real server of a night, driven in Chromium."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from demand_forecast.domain.tables import QUANTILE_COLUMNS, QUANTILE_LEVELS
from demand_forecast.publishing.bento import build_bento
from demand_forecast.service.state.keys import add_key, revoke_keys
from demand_forecast_tests.served_night import CONFIG, RESERVATION, Night
from demand_forecast_tests.service.in_process import Running, serve_in_process

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PATIENCE = 10_000  # milliseconds
SOUTH = {"store_id": "South", "product_id": "P-00"}
HERE = "/#store=South&product=P-00"
MARKUP = "<img src=x onerror=alert(1)> has not sold for 4 weeks"
ATTENTION = {
    ("South", "P-00"): (["error", "drift"], ["forecast errors 2.4 times the usual", "sells 1.8 times as much"], 12.25),
    ("North", "P-01"): (["stock_out"], ["may run out before an order arrives: 82%"], 9.5),
    ("South", "P-03"): (["drift"], [MARKUP], 0.75),
}
UNNAMED = re.compile(r"^\s*- (?:button|combobox|dialog|link|radio|region|slider|spinbutton|table|textbox)(?! \")", re.M)
NewPage = Callable[..., Page]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def overview(night: Night) -> pl.DataFrame:
    """What a night says of each series, where three need attention."""
    total = pl.col("mean").sum().alias("expected_total")
    series = night.champion.table.group_by("store_id", "product_id", maintain_order=True).agg(total)
    said = [ATTENTION.get(key, ([], [], 0.0)) for key in series.select("store_id", "product_id").rows()]
    reasons, attention, urgency = zip(*said, strict=True)
    stock = {"on_hand": 40.0, "on_order": 6.0, "stock_known": True, "stock_out_risk": 0.82}
    policy = {"lead_time": 2.0, "review_period": 5.0, "service_level_asked": 0.9}
    return series.with_columns(
        reasons=pl.Series(reasons, dtype=pl.List(pl.String)),
        attention=pl.Series(attention, dtype=pl.List(pl.String)),
        urgency=pl.Series(urgency),
        department=pl.lit("Bakery"),
        wape=pl.lit(None, pl.Float32),
        **{name: pl.lit(value) for name, value in (stock | policy).items()},
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, night: Night) -> Path:
    folder = tmp_path_factory.mktemp("retailer")
    (folder / "config.yaml").write_text(CONFIG)
    publish(night, folder)
    return folder


def publish(night: Night, place: Path, **version: Any) -> Path:
    return night.publish(place / ".demand_forecast" / "serving", series=overview(night), **version)


@pytest.fixture(scope="module")
def running(place: Path) -> Iterator[Running]:
    with serve_in_process(place) as running:
        yield running


@pytest.fixture(scope="module")
def client(running: Running) -> httpx.Client:
    return running.client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        with closing(playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)) as browser:
            yield browser


@pytest.fixture
def new_page(browser: Browser, client: httpx.Client) -> Iterator[NewPage]:
    """Opens the page at a path. Nothing that it asks for may be elsewhere; but for refusals the console stays empty."""
    base = str(client.base_url)
    asked: list[str] = []
    said: list[str] = []

    def open_at(path: str, **context: Any) -> Page:
        page = browser.new_context(base_url=base, **context).new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(path)
        return page

    yield open_at
    for context in browser.contexts:
        context.close()
    assert asked
    assert [url for url in asked if not url.startswith((base, "data:", f"blob:{base}"))] == []
    assert [text for text in said if not text.startswith("Failed to load resource")] == []


def test_a_series_is_found_with_the_keyboard(new_page: NewPage) -> None:
    page = new_page("/")
    search = page.get_by_role("combobox", name="Find a product and shop")
    options = page.get_by_role("listbox", name="Products and shops").get_by_role("option")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(search).to_be_focused()
    expect(options).to_have_count(11)
    page.keyboard.press("ArrowDown")
    for _ in range(10):
        page.keyboard.press("ArrowDown")
    expect(options.last).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")  # Show more (2 left)
    expect(options).to_have_count(12)
    search.fill("p-03 NOR")
    expect(options).to_have_count(1)
    page.keyboard.press("ArrowDown")
    expect(search).to_have_attribute("aria-activedescendant", "found-0")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("P-03 · North")
    assert page.url.endswith("/#store=North&product=P-03")
    expect(search).to_have_attribute("aria-expanded", "false")
    search.fill("p-02")
    expect(options).to_have_count(2)
    options.filter(has_text="South").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("P-02 · South")


def test_the_chart_and_its_tables_say_what_the_api_says(new_page: NewPage, client: httpx.Client) -> None:
    forecast = client.post("/v1/forecast", json={"series": [SOUTH], "quantiles": QUANTILE_LEVELS}).json()
    history = client.get("/v1/history", params=SOUTH | {"periods": 56}).json()
    page = new_page(HERE, locale="de-DE")
    page.get_by_label("8 weeks").check()
    page.get_by_text("The numbers as tables").click()
    ahead, sold = (
        numbers(page.get_by_role("region", name="Forecast, units")),
        numbers(page.get_by_role("region", name="Sold, units")),
    )
    one = forecast["forecasts"][0]
    rows = zip(one["mean"], *one["quantiles"].values(), strict=True)
    assert {day: row[:10] for day, row in ahead.items()} == dict(zip(forecast["dates"], map(list, rows), strict=True))
    assert {day: row[0] for day, row in sold.items()} == dict(zip(history["dates"], history["units"], strict=True))
    first = page.get_by_role("region", name="Forecast, units").locator("tbody td").first
    expect(first).to_have_text(f"{one['mean'][0]:.2f}".replace(".", ","))
    chart = page.get_by_role("slider", name="Day in the chart")
    chart.focus()
    expect(chart).to_have_attribute("aria-valuetext", re.compile("^Wed 27 Mar 2024: expected .* units, 8 days in 10 "))
    page.keyboard.press("ArrowLeft")
    expect(chart).to_have_attribute(
        "aria-valuetext", re.compile(f"^Tue 26 Mar 2024: sold {history['units'][-1]:.0f} units")
    )
    page.keyboard.press("End")
    expect(chart).to_have_attribute("aria-valuenow", str(56 + 28 - 1))
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 50)
    expect(chart.locator(".tip")).to_contain_text("sold")


def numbers(table: Locator) -> dict[str, list[float]]:
    """By day, the exact numbers of a table."""
    read = "row => [row.querySelector('time').dateTime, [...row.querySelectorAll('data')].map(it => +it.value)]"
    expect(table).to_be_visible()
    return dict(table.locator("tbody tr").evaluate_all(f"rows => rows.map({read})"))


def test_another_plan_changes_the_figures_as_the_api_says(new_page: NewPage, client: httpx.Client) -> None:
    change = {"first": "2024-03-28", "last": "2024-04-01", "price": 3, "covariates": {"promo": 1, "event": "fair"}}
    answer = client.post("/v1/what_if", json={"series": [SOUTH], "changes": [change], "quantiles": []}).json()
    then, before = answer["forecasts"][0]["mean"], answer["forecasts"][0]["published_mean"]
    page = new_page(HERE)
    asked = page.get_by_role("region", name="What if it were planned otherwise?")
    asked.get_by_label("From").fill(change["first"])
    asked.get_by_label("To", exact=True).fill(change["last"])
    asked.get_by_label("Promo").select_option("yes")
    asked.get_by_label("Event").select_option("fair")
    asked.get_by_role("spinbutton", name="Price").fill("3")
    more, new, old = sum(then[1:6]) - sum(before[1:6]), sum(then[1:6]), sum(before[1:6])
    expect(asked.get_by_role("status")).to_contain_text(f"{more:+.0f} units")
    expect(asked.get_by_role("status")).to_contain_text(f"{new:.0f} units instead of {old:.0f}")
    order = page.get_by_role("region", name="Order now").get_by_role("status")
    orders = [
        client.post("/v1/reorder", json={"series": [SOUTH], "changes": changes}).json()["orders"][0]["why"]
        for changes in ([change], [])
    ]
    expect(order).to_contain_text(orders[0])
    page.get_by_text("The numbers as tables").click()
    table = page.get_by_role("region", name="Forecast, units")
    assert [row[1] for row in numbers(table).values()] == then
    asked.get_by_role("slider", name="Price").press("ArrowRight")
    expect(asked.get_by_role("spinbutton", name="Price")).not_to_have_value("3")
    asked.get_by_role("button", name="Reset").click()
    expect(table.get_by_role("columnheader", name="What if")).to_have_count(0)
    expect(asked.get_by_label("Promo")).to_have_value("")
    expect(order).to_contain_text(orders[1])


def test_an_order_is_what_the_api_says_for_what_is_typed(new_page: NewPage, client: httpx.Client) -> None:
    page = new_page(HERE)
    order = page.get_by_role("region", name="Order now")
    planned = {"Stock on hand": "40", "On order": "6", "Lead time": "2", "Review period": "5", "Service level": "90"}
    for label, value in planned.items():
        expect(order.get_by_label(label)).to_have_value(value)
    given = SOUTH | {"on_hand": 3, "on_order": 0, "lead_time": 4, "review_period": 7, "service_level": 0.985}
    said = client.post("/v1/reorder", json={"series": [given]}).json()["orders"][0]
    for label, value in zip(planned, ("3", "0", "4", "7", "98.5"), strict=True):
        order.get_by_label(label).fill(value)
    expect(order.get_by_role("status")).to_contain_text(f"{said['order_quantity']:.0f} units to order")
    expect(order.get_by_role("status")).to_contain_text(said["why"])
    expect(order.get_by_role("row", name="Stock to aim for")).to_contain_text(f"{said['target_stock']:.0f}")
    order.get_by_label("Review period").fill("0")
    expect(order.get_by_role("alert")).to_contain_text("Review period")


def test_what_needs_attention_comes_first_and_opens(new_page: NewPage) -> None:
    page = new_page("/")
    rows = page.get_by_role("table").locator("tbody tr")
    assert [key[::-1] for key in ATTENTION] == [tuple(row.split("\t")[:2]) for row in texts(rows, 3)]
    expect(rows.nth(2)).to_contain_text(MARKUP)
    page.get_by_label("Reason").select_option("stock-out")
    expect(rows).to_have_count(1)
    rows.get_by_role("link").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("P-01 · North")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_label("Needs attention because it")).to_have_text("may run out before an order arrives: 82%")
    page.go_back()
    page.get_by_label("All series").check()
    expect(rows).to_have_count(12)
    rows.first.get_by_text("North").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("P-00 · North")


def texts(rows: Locator, count: int) -> list[str]:
    expect(rows).to_have_count(count)
    return rows.evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.innerText).join('\t'))")


def test_files_hold_the_numbers_of_the_api(new_page: NewPage, client: httpx.Client) -> None:
    page = new_page("/")
    urgent = saved(page)
    assert [(row["store_id"], row["product_id"], float(row["urgency"])) for row in urgent] == [
        (*key, said[2]) for key, said in ATTENTION.items()
    ]
    page.get_by_role("link", name="P-00").click()
    expect(page.get_by_role("heading", name="P-00 · South")).to_be_visible()
    forecast = client.post("/v1/forecast", json={"series": [SOUTH], "quantiles": QUANTILE_LEVELS}).json()
    one = forecast["forecasts"][0]
    levels = dict(zip(QUANTILE_COLUMNS, one["quantiles"].values(), strict=True))
    rows = saved(page)
    assert [row["date"] for row in rows] == forecast["dates"]
    for name, values in ({"mean": one["mean"]} | levels).items():
        assert [float(row[name]) for row in rows] == values
    assert {(row["product_id"], row["forecast_origin"], row["model_version"]) for row in rows} == {
        ("P-00", "2024-03-26", "3")
    }


def test_a_new_product_is_forecast_as_its_kind_and_at_its_price(new_page: NewPage, client: httpx.Client) -> None:
    page = new_page("/")
    page.get_by_role("link", name="New product").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A product that nobody sells yet")
    said = page.locator("#new-result")
    expect(said).to_contain_text("the most common kind that fits: D0")
    page.get_by_role("combobox", name="Shop", exact=True).select_option("South")
    page.get_by_role("combobox", name="Department").select_option("D1")
    page.get_by_role("spinbutton", name="Price").fill("4")
    with page.expect_response(lambda answer: "P-99" in (answer.request.post_data or "")):
        page.get_by_role("textbox", name="Product number").fill("P-99")
    expect(said).to_contain_text("a new product of its kind: D1")
    new = {"store_id": "South", "product_id": "P-99", "attributes": {"department": "D1"}, "price": 4}
    answer = client.post("/v1/forecast", json={"series": [new], "quantiles": QUANTILE_LEVELS}).json()
    mean = answer["forecasts"][0]["mean"]
    expected = f"{sum(mean):.1f}".removesuffix(".0") if sum(mean) < 20 else f"{sum(mean):.0f}"
    expect(said.locator("b")).to_have_text(expected)
    rows = saved(page)
    assert [(row["product_id"], float(row["mean"])) for row in rows] == [("P-99", value) for value in mean]
    page.get_by_role("textbox", name="Product number").fill("P-00")
    expect(said).to_contain_text("P-00 is in the forecast: these are its own numbers")
    page.get_by_role("spinbutton", name="Price").fill("-1")
    expect(page.get_by_role("alert").filter(visible=True)).to_contain_text("Price: ")


def saved(page: Page) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").filter(visible=True).click()
    assert re.fullmatch(
        r"(attention-2024-03-26|forecast-South-P-(00|99)-from-2024-03-27)\.csv", download.value.suggested_filename
    )
    return list(csv.DictReader(download.value.path().read_text(encoding="utf-8-sig").splitlines()))


@pytest.mark.parametrize(
    "path",
    [HERE, *(pytest.param(path, marks=pytest.mark.slow) for path in ("/", "/#new", "/#store=North&product=nothing"))],
)
def test_on_a_phone_nothing_sticks_out_and_every_control_has_a_name(new_page: NewPage, path: str) -> None:
    page = new_page(path, viewport={"width": 360, "height": 740})
    expect(page.locator("main :is(tbody tr, #state-back, #new-result b):visible").first).to_be_visible()
    for summary in page.locator("summary:visible").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    snapshot = page.locator("body").aria_snapshot()
    assert "combobox" in snapshot
    assert UNNAMED.findall(snapshot) == []


def test_a_newer_forecast_is_taken_over_and_a_refused_one_is_told(
    new_page: NewPage, running: Running, night: Night, place: Path
) -> None:
    current = place / ".demand_forecast" / "serving" / "current.json"
    page = new_page("about:blank")
    page.clock.install()
    page.goto(HERE)
    expect(page.get_by_role("banner")).to_contain_text("LightGBM, version 3")
    expect(page.get_by_text("Old forecast")).to_be_visible()
    try:
        publish(night, place, version=night.other)
        running.look()
        polled(page, "Renewed")
        expect(page.get_by_role("banner")).to_contain_text("Seasonal naive, version 4")
        expect(page.locator("#notices")).to_contain_text("With reservations " + RESERVATION.capitalize() + ".")
        page.get_by_role("spinbutton", name="Stock on hand").fill("1")
        publish(night, place)
        running.look()
        polled(page, "A newer forecast is live")
        expect(page.get_by_role("spinbutton", name="Stock on hand")).to_have_value("1")
        page.get_by_role("button", name="Show it").click()
        expect(page.get_by_role("spinbutton", name="Stock on hand")).to_have_value("40")
        current.write_text('{"package": "5-none"}')
        running.look()
        polled(page, "A newer forecast was refused")
    finally:
        publish(night, place)
        running.look()


def polled(page: Page, notice: str) -> None:
    """Lets half a minute pass, after which the page asks again."""
    page.clock.run_for(31_000)
    expect(page.get_by_text(notice)).to_be_visible()


def test_a_key_is_asked_for_where_keys_exist(new_page: NewPage, running: Running, place: Path) -> None:
    keys = place / ".demand_forecast" / "keys.json"
    key = add_key(keys, "planner")
    try:
        running.look()
        page = new_page(HERE)
        dialog = page.get_by_role("dialog", name="A key is needed")
        dialog.get_by_label("Key").fill("df_wrong")
        dialog.get_by_role("button", name="Use this key").click()
        expect(dialog).to_contain_text("not known, or has expired")
        dialog.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Try again").click()
        dialog.get_by_label("Key").fill(key)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("P-00 · South")
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text("P-00 · South")
    finally:
        revoke_keys(keys, "planner")
        running.look()


def test_without_a_connection_it_says_so_and_tries_again(new_page: NewPage) -> None:
    page = new_page("about:blank")
    page.route("**/v1/model", lambda route: route.abort())
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("The service cannot be reached")
    page.unroute("**/v1/model")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Needs attention")


@pytest.mark.slow
def test_the_bento_holds_all_that_the_pages_load(new_page: NewPage, place: Path, tmp_path: Path) -> None:
    loaded: list[str] = []
    page = new_page("about:blank")
    page.on("request", lambda request: loaded.append(request.url))
    for path in ("/", "/docs"):
        page.goto(path, wait_until="networkidle")
    files = [url.partition("/page/")[2] for url in loaded if "/page/" in url]
    serving = place / ".demand_forecast" / "serving"
    current = serving / json.loads((serving / "current.json").read_text())["package"]
    tag = build_bento(current, tmp_path)
    packed = tmp_path / "bentos" / tag.replace(":", "/") / "src" / "demand_forecast" / "service" / "page"
    assert {"planner.js", "docs.js", "vendor/uPlot.min.css"} < {*files}
    assert [name for name in files if not (packed / name).is_file()] == []


@pytest.mark.slow
def test_the_page_of_the_api_works(new_page: NewPage) -> None:
    page = new_page("/docs")
    expect(page.get_by_role("heading", name="Demand forecast")).to_be_visible()
    expect(page.locator("#operations-planning-what_if")).to_be_visible()
