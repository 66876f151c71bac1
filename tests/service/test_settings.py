from __future__ import annotations

import msgspec
import pytest

from service.errors import UsageError
from service.settings import Settings, as_environment, flag_name, load_settings, variable_name


def test_the_defaults_need_no_environment():
    assert load_settings({}) == Settings()


def test_the_environment_is_read_and_a_flag_wins():
    settings = load_settings({"LIVEDIGIT_PORT": "9000", "LIVEDIGIT_WORKERS": "2"}, {"port": "9001"})
    assert (settings.port, settings.workers) == (9001, 2)


def test_settings_survive_the_way_to_a_worker_through_the_environment():
    settings = Settings(port=9000, access_log=True, drain_s=1.5, model_version=3, log_format="json")
    assert load_settings(as_environment(settings)) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "99999"),
        ("port", "http"),
        ("workers", "0"),
        ("request_timeout_s", "-1"),
        ("log_level", "loud"),
        ("model_name", "../secrets"),
        ("access_log", "perhaps"),
        ("allowed_hosts", "example.*"),
        ("allowed_hosts", "https://example.com"),
        ("allowed_hosts", "[::1"),
        ("cors_origins", "example.com"),
        ("cors_origins", "https://example.com/"),
        ("cors_origins", "https://Example.com"),
        ("cors_origins", "https://пример.рф"),
        ("cors_origins", "https://user@example.com"),
        ("cors_origins", "https://example.com?"),
    ],
)
def test_a_bad_value_is_refused_by_variable_flag_and_value(name, value):
    with pytest.raises(UsageError) as caught:
        load_settings({variable_name(name): value})
    assert all(word in str(caught.value) for word in (variable_name(name), flag_name(name), value))


def test_a_bad_host_name_is_refused_with_what_to_write():
    with pytest.raises(UsageError, match=r"expected `example\.com`, `\*\.example\.com`"):
        load_settings({"LIVEDIGIT_ALLOWED_HOSTS": "a.example, example.*"})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("log_level", "expected debug, info, warning or error"),
        ("log_format", "expected console or json"),
        ("model_name", "expected letters, digits, "),
    ],
)
def test_a_value_that_is_none_of_those_possible_is_refused_with_what_to_write(name, expected):
    with pytest.raises(UsageError, match=f": {expected}"):
        load_settings({variable_name(name): "/"})


@pytest.mark.parametrize("key", ["ключ", "clé", "a key", "key\x00"])
def test_a_key_that_a_header_cannot_carry_is_refused_and_not_shown(key):
    with pytest.raises(UsageError, match=r"--api-keys \(LIVEDIGIT_API_KEYS\) is \*\*\*: expected .* ASCII") as caught:
        load_settings({"LIVEDIGIT_API_KEYS": f"good,{key}"})
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "origin", ["*", "null", "http://localhost:8000", "https://*.example.com", "http://[::1]:1", "moz-extension://0f-1a"]
)
def test_origins_are_written_as_browsers_send_them(origin):
    assert load_settings({"LIVEDIGIT_CORS_ORIGINS": f"https://a.example, {origin}"}).cors_origins[1] == origin


def test_every_default_passes_its_own_check():
    assert load_settings(as_environment(Settings())) == Settings()


def test_every_setting_explains_itself():
    for field in msgspec.structs.fields(Settings):
        assert field.type.__metadata__[-1].description.endswith("."), field.name
