"""Who may ask."""

from __future__ import annotations

import pytest

from ltr.errors import ConfigError
from ltr.serving.keys import Keys
from tests.serving.asked import every


@every
def test_a_key_is_needed(wire, client, changed, tmp_path):
    (tmp_path / "keys").write_text("# ours\n\nfirst-key\n second-key \n")
    changed("keys", Keys(tmp_path / "keys"))
    body = wire.fields("q", ["a"])
    for header in (
        {},
        {"authorization": "Bearer nonsense"},
        {"authorization": "first-key"},
        {"authorization": "Basic first-key"},
    ):
        answer = client.post(wire.path, json=body, headers=header)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "send it as Authorization: Bearer KEY" in answer.text
    for key in ("first-key", "second-key"):
        assert client.post(wire.path, json=body, headers={"authorization": f"Bearer {key}"}).status_code == 200


def test_what_needs_no_key(client, changed, tmp_path):
    (tmp_path / "keys").write_text("key")
    changed("keys", Keys(tmp_path / "keys"))
    open_to_all = ["/health", "/ping", "/ready", "/.well-known/ready", "/metrics", "/", "/docs", "/openapi.json"]
    assert {client.get(path).status_code for path in open_to_all} <= {200, 204}
    for path in ("/info", "/v1/models", "/meta"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"authorization": "bearer key"}).status_code == 200


def test_keys_are_read_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("LTR_API_KEYS", "a, b")
    assert [Keys().allow(f"Bearer {key}") for key in "abc"] == [True, True, False]
    monkeypatch.delenv("LTR_API_KEYS")
    assert not Keys().needed
    assert Keys().allow(None)
    file = tmp_path / "keys"
    file.write_text("old\n")
    keys = Keys(file)
    file.write_text("new\n")
    assert keys.allow("Bearer old")
    keys.reload()
    assert [keys.allow("Bearer old"), keys.allow("Bearer new"), keys.allow("Bearer é"), keys.allow(None)] == [
        False,
        True,
        False,
        False,
    ]
    file.write_text("# none\n")
    with pytest.raises(ConfigError, match="holds no key; write one a line, or leave --keys out"):
        keys.reload()
    assert keys.allow("Bearer new")
