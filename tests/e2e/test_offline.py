"""The page without its server: a copy is kept, and it can be installed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser


def shell(repo_root: Path) -> set[str]:
    """Every file of the page, by the path that it is served under."""
    files = [path.relative_to(repo_root / "web") for path in (repo_root / "web").rglob("*") if path.is_file()]
    return {"/" if path.name == "index.html" else f"/static/{path.as_posix()}" for path in files}


@pytest.fixture
def installed(open_page: Callable[..., Any], server: Any) -> Any:
    """The page with its service worker at work."""
    page = open_page(service_workers="allow")
    answer = page.tab.request.get(f"{server.url}/static/service-worker.js")
    if answer.headers.get("service-worker-allowed") != "/":
        pytest.skip("the server does not allow the service worker to keep the page at /")
    page.wait_for("navigator.serviceWorker.controller !== null")
    return page


def test_the_page_opens_and_draws_while_the_server_is_gone(installed: Any) -> None:
    installed.tab.context.set_offline(True)
    installed.tab.reload()
    installed.expect_connection("offline")
    installed.draw("seven-crossed")
    installed.expect_notice("Your drawing is kept")
    installed.find("#sample").click()
    installed.find("#correction-toggle").click()
    installed.find("#correction").wait_for()
    installed.tab.context.set_offline(False)
    installed.expect_connection("online")
    installed.wait_for("digit.textContent !== ''")


def test_the_copy_holds_every_file(installed: Any, repo_root: Path) -> None:
    kept = installed.tab.evaluate(
        """async () => {
            const requests = await (await caches.open("livedigit")).keys();
            return requests.map(request => new URL(request.url).pathname);
        }"""
    )
    assert set(kept) == shell(repo_root) - {"/static/service-worker.js"}


def test_a_new_version_of_a_file_is_shown_at_once(installed: Any) -> None:
    """Nobody should have to empty a cache after an update."""
    installed.tab.evaluate(
        """async () => {
            const headers = { "Content-Type": "text/css" };
            const old = new Response("body { display: none }", { headers });
            await (await caches.open("livedigit")).put("/static/style.css", old);
        }"""
    )
    installed.tab.reload()
    installed.find("#pad").wait_for(state="visible")


def test_a_new_version_of_a_file_is_shown_where_there_is_no_room_to_keep_it(installed: Any, server: Any) -> None:
    installed.tab.evaluate(
        """async () => {
            const headers = { "Content-Type": "text/css" };
            const old = new Response("body { display: none }", { headers });
            await (await caches.open("livedigit")).put("/static/style.css", old);
        }"""
    )
    session = installed.tab.context.new_cdp_session(installed.tab)
    session.send("Storage.overrideQuotaForOrigin", {"origin": server.url, "quotaSize": 1})
    installed.tab.reload()
    installed.find("#pad").wait_for(state="visible")


class BadGateway(BaseHTTPRequestHandler):
    """Answers as a proxy does whose server is gone."""

    def do_GET(self) -> None:
        self.send_error(502)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class Dawdler(BadGateway):
    """Begins an answer and does not come to its end, as over a slow line."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"<!doctype html>")
        self.wfile.flush()
        # Until the browser has had enough.
        self.rfile.read()


@pytest.mark.parametrize("proxy_kind", [BadGateway, Dawdler])
def test_the_copy_is_shown_where_a_proxy_finds_no_server_or_a_slow_one(
    open_page: Callable[..., Any], start_server: Any, proxy_kind: type[BaseHTTPRequestHandler]
) -> None:
    real = start_server()
    page = open_page(real.url, service_workers="allow")
    page.wait_for("navigator.serviceWorker.controller !== null")
    real.stop()
    with ThreadingHTTPServer(("127.0.0.1", real.port), proxy_kind) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        page.tab.reload()
        page.find("#pad").wait_for()
        proxy.shutdown()


def test_the_page_can_be_installed(page: Any, repo_root: Path) -> None:
    manifest = page.tab.evaluate(
        "fetch(document.querySelector('link[rel=manifest]').href).then(answer => answer.json())"
    )
    assert manifest == json.loads((repo_root / "web/manifest.webmanifest").read_text(encoding="utf-8"))
    assert manifest["display"] == "standalone"
    assert {icon["src"] for icon in manifest["icons"]} <= shell(repo_root)
    session = page.tab.context.new_cdp_session(page.tab)
    errors = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [error["errorId"] for error in errors if error["errorId"] != "in-incognito"] == []
