"""The page opened in a real browser, served by a server of this process."""

from __future__ import annotations

import re
import socket
import threading
import time

import numpy as np
import pytest
import uvicorn

from ltr.serving.web.app import application
from ltr.serving.web.page.render import page
from tests.browser import opened


@pytest.fixture(scope="module")
def address(service):
    class Quiet(uvicorn.Server):
        def install_signal_handlers(self):
            pass

    own = socket.socket()
    own.bind(("127.0.0.1", 0))
    server = Quiet(uvicorn.Config(application(service, "off"), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [own]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{own.getsockname()[1]}/"
    server.should_exit = True
    thread.join()


@pytest.mark.browser
def test_a_person_sees_documents_sorted(browser, address, client, tmp_path):
    html, complaints = opened(browser, f"{address}?go", tmp_path, "--virtual-time-budget=10000", "--dump-dom")
    assert complaints == []
    assert re.search(r'<html[^>]* data-ready="yes"', html)
    texts = re.findall(r'<p class="text">([^<]*)</p>', html)
    assert len(texts) == 4
    found = client.post("/v1/rerank", json={"query": "join two paths", "documents": sorted(texts)}).json()["results"]
    assert texts == [sorted(texts)[one["index"]] for one in found]
    assert re.search(r"demo: 4 documents, \d+ tokens in \d+ ms", html)
    assert "Served: demo." in html


@pytest.mark.browser
@pytest.mark.parametrize(
    "options",
    [["--window-size=390,844"], ["--window-size=1280,900", "--blink-settings=preferredColorScheme=0"]],
    ids=["narrow", "dark"],
)
def test_a_screenshot_is_not_blank(browser, address, tmp_path, options):
    from matplotlib.image import imread

    opened(
        browser,
        f"{address}?go",
        tmp_path,
        "--virtual-time-budget=10000",
        f"--screenshot={tmp_path / 'page.png'}",
        *options,
    )
    image = imread(tmp_path / "page.png")[..., :3]
    assert (np.abs(image - image[0, 0]).max(-1) > 0.3).mean() > 0.01
    assert image[0, 0].mean() > 0.9 or "dark" in str(options) or "preferred" in str(options)


def test_the_page_may_load_nothing(client):
    answer = client.get("/")
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "connect-src 'self'" in policy


def test_the_page_asks_for_a_key_where_one_is_needed():
    assert 'for="key" hidden>' in page(key_needed=False)[0]
    assert 'for="key" >' in page(key_needed=True)[0]
