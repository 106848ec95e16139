"""A model hub on this machine: as much of its interface as an upload needs."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FakeHub:
    """What the hub holds and hears.

    Attributes:
        token: the one that may write.
        repos: name -> whether it is private.
        files: (repository, path) -> content.
        commits: messages.
        broken: answered to every commit in place of what belongs there, where it is set.
    """

    token: str = "hf_secret"
    repos: dict[str, bool] = field(default_factory=dict)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)
    broken: int | None = None
    address: str = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        path = path.partition("?")[0]
        if method == "PUT" and path.startswith("/storage/"):
            self.stored[path.removeprefix("/storage/")] = body
            return 200, {}
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in self.repos:
                return 409, {"error": "You already created this model repo", "url": f"{self.address}/{name}"}
            self.repos[name] = asked["visibility"] == "private" if "visibility" in asked else asked["private"]
            return 200, {"url": f"{self.address}/{name}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            upload = [{**o, "actions": {"upload": {"href": f"{self.address}/storage/{o['oid']}"}}} for o in objects]
            return 200, {"transfer": "basic", "objects": upload}
        parts = path.split("/")
        name = "/".join(parts[3:5])
        if method == "GET" and len(parts) == 5:
            return 200, {
                "id": name,
                "modelId": name,
                "private": self.repos[name],
                "sha": "0" * 40,
                "tags": [],
                "downloads": 0,
            }
        if parts[5] == "preupload":
            files = json.loads(body)["files"]
            kind = {True: "lfs", False: "regular"}
            return 200, {
                "files": [
                    {"path": f["path"], "uploadMode": kind[f["path"].endswith(".safetensors")], "shouldIgnore": False}
                    for f in files
                ]
            }
        assert parts[5] == "commit"
        if self.broken is not None:
            return self.broken, {"error": "no"}
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                self.commits.append(value["summary"])
            elif entry["key"] == "file":
                self.files[name, value["path"]] = base64.b64decode(value["content"])
            else:
                self.files[name, value["path"]] = self.stored[value["oid"]]
        return 200, {"commitUrl": f"{self.address}/{name}/commit/1", "commitOid": "1", "success": True}

    def serve(self) -> ThreadingHTTPServer:
        """Begin to serve on a free port; to be shut down."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def reply(self) -> None:
                body = self.read_body()
                if not self.path.startswith("/storage/") and self.headers.get("authorization") != f"Bearer {hub.token}":
                    status, content = 401, {"error": "Invalid username or password."}
                else:
                    status, content = hub.answer(self.command, self.path, body)
                said = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def read_body(self) -> bytes:
                if self.headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length") or 0))
                chunks = []
                while size := int(self.rfile.readline(), 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            do_GET = do_POST = do_PUT = reply

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server
