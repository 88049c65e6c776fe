"""A stand-in of the hub's API on the loopback: repositories are folders here, and every request is written down."""

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

_REVISION = re.compile(r"/api/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)/(?P<what>revision|tree)/(?P<rev>[^/?]+)")
_RESOLVE = re.compile(r"/(?P<kind>datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<file>.+)")


class StandInHub(ThreadingHTTPServer):
    """Serves what `publish` was given.

    Attributes:
        requests: "METHOD path" of every request, with " bytes=…" for a part of a file.
        gated: repositories whose terms nobody accepted.
        cut: file name to the number of times that its connection breaks in the middle.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[tuple[str, str], dict[str, Path]] = {}
        self.requests: list[str] = []
        self.gated: set[str] = set()
        self.cut: dict[str, int] = {}

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT has to be."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def publish(self, repository: str, folder: Path, *, kind: str = "models", revision: str = "main") -> str:
        """Puts a folder's files at a revision of a repository; returns the commit."""
        digest = hashlib.sha1(f"{repository} {revision}".encode())
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
        commits = self.repositories.setdefault((kind, repository), {})
        commits[revision] = commits[digest.hexdigest()] = folder
        return digest.hexdigest()

    def commit(self, kind: str, repository: str, revision: str) -> str | None:
        """The commit that a revision means."""
        commits = self.repositories[kind, repository]
        folder = commits.get(revision)
        return next((name for name, place in commits.items() if len(name) == 40 and place == folder), None)

    def downloaded(self) -> list[str]:
        """The files whose content was asked for."""
        found = (_RESOLVE.match(request.split(" ")[1]) for request in self.requests if request.startswith("GET"))
        return sorted({unquote(match["file"]) for match in found if match is not None})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandInHub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _answer(self, *, with_body: bool) -> None:
        path, part = urlsplit(self.path).path, self.headers.get("Range", "")
        self.server.requests.append(f"{self.command} {path} {part}".strip())
        for pattern, answer in ((_REVISION, self._describe), (_RESOLVE, self._file)):
            if match := pattern.fullmatch(path):
                return answer(match, with_body)
        return self._refuse(404, "EntryNotFound")

    def _repository(self, match: re.Match, kind: str) -> tuple[Path, str] | None:
        """(folder, commit); None where the request was refused."""
        if match["repo"] in self.server.gated:
            return self._refuse(403, "GatedRepo")
        if (kind, match["repo"]) not in self.server.repositories:
            return self._refuse(401, "RepoNotFound")
        commit = self.server.commit(kind, match["repo"], unquote(match["rev"]))
        if commit is None:
            return self._refuse(404, "RevisionNotFound")
        return self.server.repositories[kind, match["repo"]][commit], commit

    def _describe(self, match: re.Match, with_body: bool) -> None:
        found = self._repository(match, match["kind"])
        if found is None:
            return
        folder, commit = found
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files]
        answer: object = {"id": match["repo"], "sha": commit, "siblings": [{"rfilename": name} for name, _ in names]}
        if match["what"] == "tree":
            answer = [{"type": "file", "path": name, "size": size, "oid": "0" * 40} for name, size in names]
        self._send(json.dumps(answer).encode(), {"Content-Type": "application/json"}, with_body)

    def _file(self, match: re.Match, with_body: bool) -> None:
        found = self._repository(match, "datasets" if match["kind"] else "models")
        if found is None:
            return
        folder, commit = found
        path = folder / unquote(match["file"])
        if not path.is_file():
            return self._refuse(404, "EntryNotFound")
        content = path.read_bytes()
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
        }
        self._send(content, headers, with_body, cuttable=path.name)

    def _send(self, content: bytes, headers: dict[str, str], with_body: bool, cuttable: str = "") -> None:
        first, length = 0, len(content)
        part = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if part is not None:
            first = int(part[1])
            headers = {**headers, "Content-Range": f"bytes {first}-{length - 1}/{length}"}
        self.send_response(206 if first else 200)
        for name, value in {**headers, "Content-Length": str(length - first)}.items():
            self.send_header(name, value)
        self.end_headers()
        if not with_body:
            return
        cut = self.server.cut.get(cuttable, 0)
        if cut:
            self.server.cut[cuttable] = cut - 1
            content, self.close_connection = content[: first + (length - first) // 2], True
        self.wfile.write(content[first:])

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextlib.contextmanager
def stand_in_hub() -> Iterator[StandInHub]:
    """A hub for the length of a block."""
    with StandInHub() as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[StandInHub]:
    """A hub that the client asks in place of the real one, and a home in which nothing lies yet.

    Skips where the client is not installed: `pip install -e '.[hub]'`, and the extra `dev`, bring it.
    """
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed (the extras hub and dev have it)")
    for name in ("OPENPI_VLM_CKPT_DIR", "OPENPI_VALUE_TOKENIZER_PATH", "GEMMA_TOKENIZER_PATH", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_LEROBOT_HOME", "HF_DATASETS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home" / "hf"))
    with stand_in_hub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served
