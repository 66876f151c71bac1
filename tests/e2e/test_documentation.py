"""The interactive documentation, which must work where there is no internet."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser


def test_the_documentation_shows_the_api_and_asks_nobody_else(browser, server):
    tab = browser.new_page()
    elsewhere: list[str] = []
    problems: list[str] = []
    tab.on("request", lambda request: elsewhere.append(request.url) if server.url not in request.url else None)
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto(f"{server.url}/schema")
    tab.get_by_text("Read the digit in an image.").first.wait_for()
    tab.get_by_text("/v2/models/{name}/infer").first.wait_for()
    tab.close()
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []
    assert problems == []
