"""Reads `config.yaml` and `DEMAND_FORECAST_*` variables, in words where something is wrong."""

import os
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from demand_forecast.settings.section import ConfigError, Section, unknown
from demand_forecast.settings.serving import Serving
from demand_forecast.settings.settings import DEFAULT_CONFIG, ENV_PREFIX, Settings

VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
MARK = "\ue000"
MARKED = re.compile(f"{MARK}(\\d+){MARK}")


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
        told = (item for item in error.errors() if item["type"] != "default_factory_not_called")  # it follows another
        raise ConfigError("\n".join(explain(item, file) for item in told)) from None
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


def explain(error: Any, file: Path, model: type[BaseModel] = Settings, within: str = "") -> str:
    """A pydantic error in words: the key, the file and the nearest key that `model`, the section `within`, knows."""
    key = ".".join(str(part) for part in ([within] if within else []) + [*error["loc"]])
    if error["type"] != "extra_forbidden":
        return f"{file}: {key or 'configuration'}: {error['msg'].removeprefix('Value error, ')}"
    known, last = _known_keys(error["loc"][:-1], model), str(error["loc"][-1])
    return f"{file}: {unknown('key', last, known, key.removesuffix(last))}"


def _known_keys(place: tuple[Any, ...], model: Any) -> list[str]:
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = _section_of(model.model_fields[part].annotation) or model
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _section_of(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for arg in getattr(annotation, "__args__", ()) if (found := _section_of(arg))), None)
