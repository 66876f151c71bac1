"""Every setting of the server: a field here is an environment variable and a flag of `livedigit serve`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import msgspec
from msgspec import Meta

from service.contract import MODEL_NAME, MODEL_NAME_IN_WORDS
from service.errors import UsageError

PREFIX = "LIVEDIGIT_"
BUNDLED = Path(__file__).parent / "bundled"
"""Where an installed package keeps the page and the models; a checkout reads them where they lie."""

HOST = r"^(\*|((\*\.)?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?)$"
KEY = r"^[!-~]+$"
"""What a header can carry from every client: browsers refuse other alphabets, and clients differ in spelling them."""
ORIGIN = r"^(\*|null|[a-z][a-z0-9+.-]*://([a-z0-9*_.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?)$"
"""As browsers send it."""
EXPECTED = {
    "allowed_hosts": "expected `example.com`, `*.example.com`, `[::1]`, any of them with `:PORT`, or `*`",
    "api_keys": "expected letters, digits and signs of ASCII, without blanks",
    "model_name": f"expected {MODEL_NAME_IN_WORDS}",
    "log_format": "expected console or json",
    "log_level": "expected debug, info, warning or error",
    "cors_origins": "expected `https://example.com`, in lower-case ASCII and without a path, also with `:PORT`, or `*`",
}
"""What to write, where msgspec would show a pattern that nobody can read."""
HIDDEN = "***"
"""Shown in the place of a key."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One frozen value, made once at the start."""

    host: Annotated[str, Meta(min_length=1, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8000
    workers: Annotated[int, Meta(ge=1, le=256, description="Worker processes; one per core is the most that pays.")] = 1

    models_dir: Annotated[str, Meta(description="Folder with NAME/VERSION/model.onnx; empty: the bundled models.")] = ""
    model_name: Annotated[str, Meta(pattern=MODEL_NAME, description="Model to serve.")] = "digits"
    model_version: Annotated[
        int, Meta(ge=0, description="Version to serve; 0: the highest, or the one pinned in the folder.")
    ] = 0

    loaded_versions: Annotated[
        int, Meta(ge=1, le=100, description="Versions kept in memory: the served one and the highest others.")
    ] = 2
    model_poll_s: Annotated[
        float, Meta(ge=0, description="Seconds between checks for a new version; 0: only on SIGHUP.")
    ] = 0.0

    max_body_bytes: Annotated[int, Meta(ge=1024, description="Largest request body in bytes, after decompression.")] = (
        4 * 1024 * 1024
    )
    max_large_bodies: Annotated[
        int,
        Meta(ge=1, description="Bodies of the largest size that may be in memory at a time, per worker; more get 503."),
    ] = 16
    max_pixels: Annotated[int, Meta(ge=1, description="Largest image in pixels.")] = 4_000_000
    max_batch: Annotated[int, Meta(ge=1, description="Largest batch of one inference on /v2.")] = 256
    max_inflight: Annotated[
        int,
        Meta(ge=1, le=64, description="Long inferences that run at the same time, per worker; brief ones take turns."),
    ] = 1
    max_queue: Annotated[
        int, Meta(ge=0, description="Requests that may wait for their turn, per worker; the next gets 503.")
    ] = 64
    request_timeout_s: Annotated[
        float, Meta(gt=0, description="Seconds until a request that has not been answered gets 504.")
    ] = 10.0
    body_timeout_s: Annotated[
        float, Meta(gt=0, description="Seconds that a client may take to send its headers, and its body.")
    ] = 10.0
    keep_alive_s: Annotated[int, Meta(ge=1, description="Seconds that an idle connection is kept open.")] = 75
    rate_limit_per_minute: Annotated[
        int, Meta(ge=0, description="Requests a minute per client address and worker; 0: no limit.")
    ] = 0

    api_keys: Annotated[
        tuple[Annotated[str, Meta(pattern=KEY)], ...],
        Meta(description="Keys, comma-separated, one of which a client must send as a Bearer token; empty: none."),
    ] = ()
    allowed_hosts: Annotated[
        tuple[Annotated[str, Meta(pattern=HOST)], ...],
        Meta(description="Host names, or `*.` and a domain, comma-separated, that requests may name; empty: any."),
    ] = ()
    cors_origins: Annotated[
        tuple[Annotated[str, Meta(pattern=ORIGIN)], ...],
        Meta(description="Origins, comma-separated, whose pages may call this server; empty: only its own."),
    ] = ()

    feedback_dir: Annotated[
        str, Meta(description="Folder for corrections that users send to be checked; empty: none are taken.")
    ] = ""
    feedback_max_files: Annotated[
        int, Meta(ge=1, description="Corrections that may wait to be checked; the next gets 507.")
    ] = 10_000

    drain_s: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds after SIGTERM in which /v2/health/ready is 503, but connections are still accepted.",
        ),
    ] = 0.0
    shutdown_timeout_s: Annotated[
        int, Meta(ge=1, description="Seconds that requests in flight get to finish after SIGTERM.")
    ] = 20

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Least severe level that is logged: debug, info, warning or error."),
    ] = "info"
    log_format: Annotated[
        Literal["console", "json"], Meta(description="How log lines are written: console or json.")
    ] = "console"
    otel: Annotated[
        bool, Meta(description="Trace requests with OpenTelemetry, sent where the OTEL_* variables say.")
    ] = False
    access_log: Annotated[bool, Meta(description="Log a line per request.")] = False


def load_settings(environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the environment, let `overrides` win, and check every value.

    Raises `UsageError`, naming the variable and the flag.
    """
    environ = os.environ if environ is None else environ
    given: dict[str, Any] = {
        field.name: environ[variable_name(field.name)]
        for field in msgspec.structs.fields(Settings)
        if variable_name(field.name) in environ
    }
    given.update(overrides or {})
    values = {name: convert_value(name, value) for name, value in given.items()}
    return Settings(**values)


def convert_value(name: str, value: object) -> Any:
    """Convert and check one setting. Raises `UsageError`."""
    field = next(field for field in msgspec.structs.fields(Settings) if field.name == name)
    if get_origin(field.type.__origin__) is tuple and isinstance(value, str):
        value = tuple(part.strip() for part in value.split(",") if part.strip())
    try:
        return msgspec.convert(value, field.type, strict=False)
    except msgspec.ValidationError as error:
        shown = HIDDEN if name == "api_keys" else repr(value)
        raise UsageError(f"{flag_name(name)} ({variable_name(name)}) is {shown}: {EXPECTED.get(name, error)}") from None


def without_secrets(settings: Settings) -> Settings:
    """Hide what nobody should read over a shoulder or in a log."""
    return msgspec.structs.replace(settings, api_keys=(HIDDEN,) * len(settings.api_keys))


def variable_name(field: str) -> str:
    """Name the environment variable of a field."""
    return PREFIX + field.upper()


def flag_name(field: str) -> str:
    """Name the flag of a field."""
    return "--" + field.replace("_", "-")


def as_environment(settings: Settings) -> dict[str, str]:
    """Spell the settings as environment variables, for worker processes."""
    values = msgspec.to_builtins(settings)
    return {variable_name(name): spell_value(value) for name, value in values.items()}


def spell_value(value: object) -> str:
    """Write a value as `convert_value` reads it."""
    if isinstance(value, list | tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def models_folder(settings: Settings) -> Path:
    """Locate the folder of models."""
    if settings.models_dir:
        return Path(settings.models_dir)
    return bundled_folder("models", "artifacts/models")


def web_folder() -> Path:
    """Locate the page."""
    return bundled_folder("web", "web")


def bundled_folder(installed: str, checkout: str) -> Path:
    """Locate a folder that travels inside the wheel, or its original in a checkout."""
    folder = BUNDLED / installed
    return folder if folder.is_dir() else Path(__file__).parent.parent / checkout
