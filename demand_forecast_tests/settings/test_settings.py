from datetime import date
from pathlib import Path

import pytest

from demand_forecast.settings import ConfigError, Constant, load_settings

SOURCE = """
source:
  kind: files
  sales: {path: sales/*.csv, columns: {date: Date, product_id: SKU, units: Qty, store_id: {value: all}}}
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        file = tmp_path / "config.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_a_source_alone_is_a_whole_configuration(write) -> None:
    settings = load_settings(write(SOURCE))
    assert settings.frequency == "daily"
    assert settings.horizon == 28
    assert settings.all_sources[0].sales.columns["store_id"] == Constant(value="all")


def test_paths_are_relative_to_the_file(write, tmp_path: Path) -> None:
    settings = load_settings(write("home: state" + SOURCE))
    assert settings.root == tmp_path / "state"
    assert settings.resolve("sales") == tmp_path / "sales"


def test_a_variable_overrides_the_file(write, monkeypatch) -> None:
    monkeypatch.setenv("DEMAND_FORECAST_HORIZON", "14")
    monkeypatch.setenv("DEMAND_FORECAST_BACKTEST__ORIGINS", "5")
    settings = load_settings(write("horizon: 7" + SOURCE))
    assert (settings.horizon, settings.backtest.origins) == (14, 5)


def test_a_file_named_by_variable_is_used(write, monkeypatch) -> None:
    monkeypatch.setenv("DEMAND_FORECAST_CONFIG", str(write("horizon: 9" + SOURCE)))
    assert load_settings().horizon == 9


def test_values_may_name_variables(write, monkeypatch) -> None:
    monkeypatch.setenv("LANDING", "/landing")
    text = SOURCE.replace("sales/*.csv", "${LANDING}/${PART:-sales}/*.csv")
    assert load_settings(write(text)).source.sales.path == "/landing/sales/*.csv"


def test_an_unset_variable_is_named_with_its_repair(write) -> None:
    with pytest.raises(ConfigError, match=r"\$\{NO_SUCH_FOLDER\} is not set; set it: export NO_SUCH_FOLDER="):
        load_settings(write(SOURCE.replace("sales/*.csv", "${NO_SUCH_FOLDER}/*.csv")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("horizn: 7" + SOURCE, r"config.yaml: unknown key horizn; did you mean horizon\?"),
        ("horizon: 0" + SOURCE, r"horizon: Input should be greater than or equal to 1"),
        ("frequency: hourly" + SOURCE, r"frequency: Input should be 'daily', 'weekly' or 'monthly'"),
        ("horizon: 7", r"give either source: or sources:"),
        ("- 1\n- 2", r"expected keys and values, found list"),
        ("horizon: [", r"config.yaml: not readable as YAML"),
    ],
)
def test_a_wrong_configuration_is_named_with_place_and_repair(write, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(write(text))


def test_a_missing_file_is_named_with_its_repair(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: no such configuration file; give one by --config"):
        load_settings(tmp_path / "nowhere.yaml")


def test_a_password_in_a_url_is_not_shown(write) -> None:
    text = "source: {kind: sql, url: 'postgresql+psycopg2://me:secret@db/shop', sales: {table: sales}}"
    assert "secret" not in repr(load_settings(write(text)))


def test_an_alert_channel_and_its_secrets_come_from_variables_and_are_not_shown(write, monkeypatch) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK", "https://hooks.slack.com/services/secret")
    monkeypatch.setenv("SMTP_PASSWORD", "secret")
    text = """
alerts:
  channels:
    - {kind: slack, url: "${SLACK_WEBHOOK}", only: [rollback]}
    - {kind: email, host: mail, user: me, password: "${SMTP_PASSWORD}", from: a@b, to: [c@d]}
"""
    settings = load_settings(write(text + SOURCE))
    slack, email = settings.alerts.channels
    assert (slack.url, email.password) == ("https://hooks.slack.com/services/secret", "secret")
    assert (email.sender, email.tls, settings.alerts.repeat_hours) == ("a@b", "starttls", 24)
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ("[{kind: webhook}]", r"alerts.channels.0: kind webhook needs url:"),
        ("[{kind: email, host: mail, to: [c@d]}]", r"alerts.channels.0: kind email needs from:"),
        ("[{kind: webhook, url: 'file:///etc/secret'}]", r"alerts.channels.0.url: String should match"),
        ("[{kind: pager, url: 'http://secret'}]", r"alerts.channels.0.kind: Input should be 'webhook', 'slack' or"),
        ("[{kind: email, form: a@b}]", r"unknown key alerts.channels.0.form; did you mean from\?"),
        (
            "[{kind: slack, url: 'http://secret'}, {kind: slack, url: 'http://b'}]",
            r"alerts.channels: two channels are called slack; give each a name:",
        ),
    ],
)
def test_a_wrong_alert_channel_is_named_without_its_address(write, channels: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(write(f"alerts: {{channels: {channels}}}" + SOURCE))
    assert "secret" not in str(caught.value)


def test_a_date_is_read_as_a_date(write) -> None:
    assert load_settings(write("history_start: 2011-01-29" + SOURCE)).history_start == date(2011, 1, 29)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("automation: {timezone: Mars/Olympus}" + SOURCE, r"config.yaml: automation.timezone: .*Mars/Olympus"),
        ("automation: {nightly: every night}" + SOURCE, r"config.yaml: automation.nightly"),
        ("owners: [somebody]" + SOURCE, r"config.yaml: owners"),
        (SOURCE.replace("columns:", "encoding: utf-99, columns:"), r"config.yaml: source.sales.encoding"),
        (SOURCE.replace("columns:", "report: '(', columns:"), r"config.yaml: source.sales.report"),
        ("serving: {trial: {mode: on}}" + SOURCE, r"config.yaml: serving.trial.mode.*'canary'"),
        ("serving: {trial: {mode: canary, share: 1}}" + SOURCE, r"config.yaml: serving.trial.share"),
    ],
)
def test_a_value_that_cannot_work_is_refused_before_anything_runs(write, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(write(text))


@pytest.mark.parametrize(
    ("rule", "named"), [("retrain: {windows: 2, out: 3}", "out: 3"), ("rollback: {lost: 5}", "lost: 5")]
)
def test_a_rule_that_can_never_be_met_is_refused(write, rule: str, named: str) -> None:
    with pytest.raises(ConfigError, match=rf"monitoring.r\w+: {named} of windows: \d can never be"):
        load_settings(write("monitoring: {" + rule + "}" + SOURCE))


def test_monitoring_has_the_stated_defaults(write) -> None:
    rules = load_settings(write("monitoring: {retrain: {max_age_days: 14}}" + SOURCE)).monitoring
    assert (rules.window_days, rules.retrain.windows, rules.retrain.out, rules.retrain.error_ratio) == (7, 4, 2, 1.25)
    assert (rules.retrain.max_age_days, rules.rollback.lost, rules.rollback.margin) == (14, 3, 0.02)


@pytest.mark.parametrize(("text", "mode"), [("off", "off"), ("'off'", "off"), ("shadow", "shadow")])
def test_a_trial_is_off_as_yaml_means_it(write, text: str, mode: str) -> None:
    assert load_settings(write(f"serving: {{trial: {{mode: {text}}}}}" + SOURCE)).serving.trial.mode == mode
