"""Every setting, typed, in one place: `config.yaml`, overridden by `DEMAND_FORECAST_*` variables."""

import codecs
import difflib
import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

DEFAULT_CONFIG = "config.yaml"
ENV_PREFIX = "DEMAND_FORECAST_"
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
MARK = "\ue000"
MARKED = re.compile(f"{MARK}(\\d+){MARK}")


class ConfigError(ValueError):
    """The configuration cannot be used; the message names the key, the file and the repair."""


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression ({error})") from None
    return text


def _encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise ValueError(f"no encoding {name!r}; write for instance utf-8, cp1252, latin-1 or utf-16") from None
    return name


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"no time zone {name!r}; write area and city, for instance Europe/Paris") from None
    return name


CandidateName = Literal["seasonal_naive", "gradient_boosting", "lightgbm", "ensemble"]
AlertKind = Literal["run_failed", "check_failed", "check_warning", "freshness_lost", "freshness_warning", "rollback"]
Pattern = Annotated[str, AfterValidator(_pattern)]
Encoding = Annotated[str, AfterValidator(_encoding)]
Timezone = Annotated[str, AfterValidator(_timezone)]
Cron = Annotated[str, Field(pattern=r"^\S+( \S+){4}$")]  # five fields; Dagster reads what is in them
Owner = Annotated[str, Field(pattern=r"^(team:.+|[^@\s]+@[^@\s]+)$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Constant(Section):
    """A column that the source does not have and that is the same in every row."""

    value: str | float


ColumnMapping = dict[str, str | Constant]


class Input(Section):
    """One input of a source. `files` reads `path`; `sql` reads `table` or `query`."""

    path: str | None = None
    table: str | None = None
    query: str | None = None
    columns: ColumnMapping = {}
    delimiter: str = Field(",", pattern=r"^[\x01-\x7f]$")
    encoding: Encoding = "utf-8"
    fallback_encoding: Encoding = "cp1252"  # for a file that is not valid in `encoding`
    date_format: str | None = None  # strptime format; None: the unambiguous formats are recognised
    decimal: Literal[".", ","] = "."
    report: Pattern | None = None  # on the file name: files with one match are versions of one report


class Source(Section):
    """Where one retailer's data comes from: `files`, a `sql` database, or the `m5` folder layout."""

    name: str | None = None
    kind: Literal["files", "sql", "m5"] = "files"
    url: str | None = Field(default=None, repr=False)  # may hold a password
    path: str | None = None  # kind m5: the folder
    sales: Input | None = None
    products: Input | None = None
    stores: Input | None = None
    plan: list[Input] = []
    stock: Input | None = None

    @field_validator("plan", mode="before")
    @classmethod
    def one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    @model_validator(mode="after")
    def complete(self) -> Self:
        required = {"files": ["sales"], "sql": ["url", "sales"], "m5": ["path"]}[self.kind]
        for key in required:
            if getattr(self, key) is None:
                raise ValueError(f"kind {self.kind} needs {key}:")
        return self


class Covariates(Section):
    static: list[str] = []
    known_future: list[str] = []
    past_only: list[str] = []


class Match(Section):
    """Rows whose `column` matches the regular expression `pattern`."""

    column: str
    pattern: Pattern


class Cancellation(Match):
    """How a line that undoes an earlier sale is known, and which columns the two share."""

    same: list[str] = ["store_id", "product_id"]


class Cleaning(Section):
    id_case: Literal["keep", "upper", "lower"] = "keep"
    duplicates: Literal["reject", "keep"] = "reject"  # lines equal in every column of one report
    max_units: float = 1_000_000  # a line above is absurd whatever the series
    absurd_ratio: float = 200  # a line above this many times its series' 99th percentile (and 100 units) is absurd
    require_price: bool = True  # a mapped price must be above zero
    non_product: Match | None = None
    cancellation: Cancellation | None = None
    extract: str | None = None  # column that names the extract: on a day in two extracts the later one counts


class Backtest(Section):
    origins: int = Field(3, ge=1, le=52)
    step: int | None = None  # periods between origins; None: the horizon


class Training(Section):
    candidates: list[CandidateName] = ["seasonal_naive", "gradient_boosting", "lightgbm", "ensemble"]
    window: int = 1400  # days of history that training rows are drawn from
    max_rows: int = Field(400_000, ge=1)

    @field_validator("candidates")
    @classmethod
    def with_the_baseline(cls, names: list[CandidateName]) -> list[CandidateName]:
        if "seasonal_naive" not in names:
            raise ValueError("seasonal_naive must be among the candidates: every other is measured against it")
        return names


class Promotion(Section):
    metric: Literal["wrmsse", "wape", "wql", "rmsse"] = "wrmsse"
    margin: float = Field(0.01, ge=0)  # share by which the challenger must be better
    max_bias: float = 0.10  # |bias| at total level over all origins
    max_calibration_error: float = 0.05  # in probability, of any quantile


class Replenishment(Section):
    lead_time: int = Field(3, ge=0)  # days between order and delivery
    review_period: int = Field(7, ge=1)  # days between orders
    service_level: float = Field(0.95, gt=0, lt=1)  # probability of no stock-out over lead time + review period


class Automation(Section):
    running: bool = True  # sensors and schedules run from the start; false: once someone starts them in the UI
    timezone: Timezone = "UTC"
    nightly: Cron = "0 1 * * *"
    raw_by: Cron = "0 2 * * *"  # when the day before is to be there
    forecast_by: Cron = "0 6 * * *"
    landing_interval: int = Field(60, ge=1)  # seconds between looks at the sources
    interval: int = Field(30, ge=1)  # seconds between looks at what follows from what was made
    settle_seconds: float = Field(10, ge=0)  # a file that changed within them is still being written
    batch_files: int = Field(500, ge=1)  # new files that one run is requested for
    retry_minutes: float = Field(30, ge=0)  # after which a failed run is requested again; doubled each time
    ledger_lookback: int = Field(60, ge=0)  # days before the newest known one that are compared with the database
    reconcile: Cron = "0 12 * * *"


class Channel(Section):
    """Where alerts are sent: a `webhook` takes JSON, `slack` Slack's messages, `email` mail."""

    kind: Literal["webhook", "slack", "email"]
    name: str = ""  # as logs and the table alerts call it; left out: the kind
    only: list[AlertKind] = []  # the kinds that are sent; none: all
    url: Annotated[str, Field(pattern="^https?://")] | None = Field(None, repr=False)  # may be a secret as a whole
    host: str | None = None
    port: int = Field(587, ge=1, le=65535)
    tls: Literal["starttls", "ssl", "none"] = "starttls"
    user: str | None = None
    password: str | None = Field(None, repr=False)
    sender: str | None = Field(None, alias="from")
    to: list[str] = []

    @model_validator(mode="after")
    def complete(self) -> Self:
        required = {"email": {"host": self.host, "from": self.sender, "to": self.to}}.get(self.kind, {"url": self.url})
        for key, value in required.items():
            if not value:
                raise ValueError(f"kind {self.kind} needs {key}:")
        return self

    @property
    def label(self) -> str:
        return self.name or self.kind


class Alerts(Section):
    channels: list[Channel] = []
    repeat_hours: float = Field(24, gt=0)  # an alert that is still raised is sent again after as many hours
    ui: str = "http://127.0.0.1:3000"  # where links in alerts lead: the Dagster UI as its readers reach it

    @field_validator("channels")
    @classmethod
    def told_apart(cls, channels: list[Channel]) -> list[Channel]:
        labels = [channel.label for channel in channels]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"two channels are called {label}; give each a name:")
        return channels


def _at_most(section: Any, part: str, whole: str) -> Any:
    if getattr(section, part) > getattr(section, whole):
        raise ValueError(f"{part}: {getattr(section, part)} of {whole}: {getattr(section, whole)} can never be")
    return section


class Retraining(Section):
    windows: int = Field(4, ge=1)  # the newest windows that are looked at
    out: int = Field(2, ge=1)  # so many of them out of bounds, the newest among them: train again
    drift_share: float = Field(0.5, gt=0, le=1)  # of the columns, from which a window is out of bounds
    error_ratio: float = Field(1.25, gt=0)  # realised WQL over that of the backtest, above which a window is out
    max_age_days: int = Field(30, ge=1)  # of the last training, from which on models are trained again anyway

    @model_validator(mode="after")
    def possible(self) -> Self:
        return _at_most(self, "out", "windows")


class Rollback(Section):
    windows: int = Field(4, ge=1)  # the newest whole weeks that are looked at
    lost: int = Field(3, ge=1)  # so many of them lost, the newest among them: back to the previous champion
    margin: float = Field(0.02, ge=0)  # share by which the champion's WQL must be worse for a week to be lost

    @model_validator(mode="after")
    def possible(self) -> Self:
        return _at_most(self, "lost", "windows")


class Monitoring(Section):
    window_days: int = Field(7, ge=1)
    retrain: Retraining = Retraining()
    rollback: Rollback = Rollback()


class LiveTrial(Section):
    """How a challenger that is not the champion meets live requests."""

    mode: Literal["off", "shadow", "canary"] = "off"  # shadow: its answers are logged, not given
    share: float = Field(0.1, gt=0, lt=1)  # of the series that a canary answers for

    @field_validator("mode", mode="before")
    @classmethod
    def as_written(cls, value: Any) -> Any:
        return "off" if value is False else value  # what YAML makes of off


class Serving(Section):
    host: str = "127.0.0.1"
    port: int = Field(3001, ge=0, le=65535)
    workers: int = Field(1, ge=1, le=64)  # processes; each holds the forecast
    keys_file: Path | None = None  # hashes of API keys; None: keys.json in home
    rate_limit: float = Field(200, gt=0)  # requests a second with one key, in each worker
    rate_burst: int = Field(400, ge=1)  # of them at once
    max_body_bytes: int = Field(1_000_000, ge=1_000)
    timeout_seconds: float = Field(10, gt=0)
    log: bool = True  # answers are written down below home
    trial: LiveTrial = LiveTrial()


class Settings(BaseSettings):
    """What `config.yaml` says. Paths in it are relative to the file."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    home: Path = Path(".demand_forecast")
    name: str = "demand"
    frequency: Literal["daily", "weekly"] = "daily"
    horizon: int = Field(28, ge=1, le=365)
    missing_day: Literal["no_sale", "closed"] = "no_sale"
    history_start: date | None = None  # rows before are rejected; None: the first day in the sources
    seed: int = 7
    owners: list[Owner] = ["team:demand-forecast"]
    source: Source | None = None
    sources: list[Source] = []
    covariates: Covariates = Covariates()
    cleaning: Cleaning = Cleaning()
    training: Training = Training()
    backtest: Backtest = Backtest()
    promotion: Promotion = Promotion()
    replenishment: Replenishment = Replenishment()
    automation: Automation = Automation()
    alerts: Alerts = Alerts()
    monitoring: Monitoring = Monitoring()
    serving: Serving = Serving()
    tracking_uri: str | None = None  # None: SQLite under home

    _path: Path = PrivateAttr(default=Path(DEFAULT_CONFIG))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @model_validator(mode="after")
    def some_source(self) -> Self:
        if (self.source is None) == (not self.sources):
            raise ValueError("give either source: or sources:")
        return self

    @property
    def all_sources(self) -> list[Source]:
        return [self.source] if self.source else self.sources

    @property
    def path(self) -> Path:
        """The configuration file that these settings were read from."""
        return self._path

    def resolve(self, path: str | Path) -> Path:
        """`path` as the configuration file means it: relative to the file's folder."""
        return (self._path.parent / path).resolve()

    @property
    def root(self) -> Path:
        """The home folder, absolute."""
        return self.resolve(self.home)


class _Environment(BaseSettings):
    """The settings of a service without a configuration file."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="ignore")

    serving: Serving = Serving()


def load_serving() -> Serving:
    """`serving:` as `DEMAND_FORECAST_SERVING__*` variables alone say it. Raises ConfigError."""
    try:
        return _Environment().serving
    except ValidationError as error:
        raise ConfigError(
            "; ".join(f"{ENV_PREFIX}{'__'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        ) from None


def config_path(path: str | Path | None = None) -> Path:
    return Path(path or os.environ.get(ENV_PREFIX + "CONFIG") or DEFAULT_CONFIG).resolve()


def load_settings(path: str | Path | None = None) -> Settings:
    """The settings in `path`, else in `$DEMAND_FORECAST_CONFIG`, else in `./config.yaml`.

    Any text in it may name environment variables: `${NAME}`, or `${NAME:-default}`.
    Raises ConfigError with the key, the file and the nearest known key.
    """
    file = config_path(path)
    if not file.is_file():
        raise ConfigError(f"{file}: no such configuration file; give one by --config or {ENV_PREFIX}CONFIG")
    try:
        settings = Settings(**_content(file))
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(item, file) for item in error.errors())) from None
    settings._path = file
    return settings


def _content(file: Path) -> dict[str, Any]:
    variables: list[tuple[str, str | None]] = []

    def mark(match: re.Match[str]) -> str:
        variables.append((match[1], match[2]))
        return f"{MARK}{len(variables) - 1}{MARK}"

    try:
        # marked before parsing: in {path: ${NAME}} the braces would be YAML's, and a value could break the syntax
        content = yaml.safe_load(VARIABLE.sub(mark, file.read_text(encoding="utf-8"))) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not readable as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: expected keys and values, found {type(content).__name__}")
    return _expand(content, variables, file)


def _expand(value: Any, variables: list[tuple[str, str | None]], file: Path) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, variables, file) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, variables, file) for item in value]
    if not isinstance(value, str):
        return value
    return MARKED.sub(lambda match: _variable(*variables[int(match[1])], file), value)


def _variable(name: str, default: str | None, file: Path) -> str:
    found = os.environ.get(name, default)
    if found is None:
        raise ConfigError(f"{file}: ${{{name}}} is not set; set it: export {name}=…")
    return found


def _explain(error: Any, file: Path) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{file}: {key or 'configuration'}: {error['msg'].removeprefix('Value error, ')}"
    known = _known_keys(error["loc"][:-1])
    near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0)
    return f"{file}: unknown key {key}; did you mean {near[0] if near else 'nothing'}? Known here: {', '.join(known)}"


def _known_keys(place: tuple[Any, ...]) -> list[str]:
    model: Any = Settings
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = _section_of(model.model_fields[part].annotation) or model
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _section_of(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for arg in getattr(annotation, "__args__", ()) if (found := _section_of(arg))), None)
