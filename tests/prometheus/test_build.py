"""The generated files, read by promtool and by a real Prometheus."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import pytest

from metrics.exporter import IDENTITY
from metrics.proxy import HTTP_DURATION
from prometheus.build import SCRAPE_FILE, Wanted, files, installed, targets, write
from prometheus.config import RuleConfig
from prometheus.errors import OutputError, TargetError
from prometheus.relabel import cap_label, drop_label, drop_model, hide_identity
from prometheus.remote_write import RemoteWrite
from prometheus.scrape import Targets
from settings.model import Settings

HERE = Targets("127.0.0.1:8787", "127.0.0.1:8789")
PAGE = """\
codex_lb_proxy_requests_total{status="success",model="gpt-4.1-mini",api="responses"} 1
codex_lb_proxy_requests_total{status="success",model="gpt-4x1-mini",api="responses"} 2
codex_lb_proxy_requests_total{status="success",model="whatever",api="responses"} 3
codex_lb_account_identity{account_id="acc-1",display="someone@example.org",plan_type="plus"} 1
"""


def test_promtool_accepts_what_is_built(
    built: Path, promtool: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    result = promtool("check", "config", built / "prometheus.yml")
    assert result.returncode == 0, result.stdout
    assert "2 rule files found" in result.stdout


def test_promtool_accepts_every_option(
    tmp_path: Path, promtool: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "token").write_text("secret-token")
    hosts = tmp_path / "hosts"
    hosts.mkdir()
    (hosts / "proxy-1.yml").write_text('- targets: ["other:8787"]')
    config = RuleConfig(
        relabel=(
            drop_model('a"b\\c\n| [x]'),
            cap_label("model", ["m.1", "m.2"]),
            drop_label(HTTP_DURATION, "method"),
            hide_identity(),
        ),
        remote_write=RemoteWrite("https://metrics.example/api/v1/write", tmp_path / "token", True),
    )
    where = Targets("proxy:1", "[::1]:2", tmp_path / "token", ("codex-lb:3",), hosts)
    write(files(config, where), tmp_path)
    result = promtool("check", "config", tmp_path / SCRAPE_FILE)
    assert result.returncode == 0, result.stdout


def test_the_same_input_gives_the_same_bytes() -> None:
    assert files(RuleConfig(), HERE) == files(RuleConfig(), HERE)


def test_reasons_stand_at_the_top() -> None:
    text = files(RuleConfig(relabel=(drop_model("gpt-4.1-mini"),)), HERE)[SCRAPE_FILE]
    assert "# relabelled: no series of the model 'gpt-4.1-mini' are wanted\n" in text


def test_targets_default_to_where_the_services_listen() -> None:
    settings = Settings.model_validate(
        {"server": {"listen_addr": "127.0.0.1:1111"}, "exporter": {"listen_addr": "127.0.0.1:2222"}}
    )
    assert targets(settings, Wanted()) == Targets("127.0.0.1:1111", "127.0.0.1:2222")
    assert targets(settings, Wanted("p:1", "e:2")) == Targets("p:1", "e:2")


def test_a_port_chosen_at_start_cannot_be_scraped() -> None:
    settings = Settings.model_validate({"server": {"listen_addr": "127.0.0.1:0"}})
    with pytest.raises(TargetError, match=r"\[server\] listen_addr 127.0.0.1:0"):
        targets(settings, Wanted())


def test_a_token_needs_a_file() -> None:
    settings = Settings.model_validate({"metrics": {"token": "long-enough-token"}})
    with pytest.raises(TargetError, match="--token-file"):
        targets(settings, Wanted())
    where = targets(settings, Wanted(token_file=Path("t")))
    assert "long-enough-token" not in "".join(files(RuleConfig(), where).values())


def test_a_private_exporter_makes_a_private_prometheus() -> None:
    settings = Settings.model_validate({"metrics": {"account_identity_mode": "account_id"}})
    assert installed(RuleConfig(), settings).relabel == (hide_identity(),)
    assert installed(RuleConfig(), Settings()).relabel == ()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "prometheus").write_text("in the way")
    with pytest.raises(OutputError, match=r"prometheus\.yml: cannot be written: "):
        write(files(RuleConfig(), HERE), tmp_path)


class Page(BaseHTTPRequestHandler):
    """A service's /metrics, open to whoever has the token."""

    def do_GET(self) -> None:
        allowed = self.path == "/metrics" and self.headers.get("Authorization") == "Bearer open-sesame"
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(PAGE.encode() if allowed else b"")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def prometheus(program: str, config: Path, port: int) -> Iterator[str]:
    with (config.parent / "log").open("w") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={config.parent / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def ask(url: str, query: str) -> list[dict[str, str]]:
    """The labels of the series that an instant query answers with; none while Prometheus starts."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?{urlencode({'query': query})}", timeout=9) as answer:
            return [series["metric"] for series in json.load(answer)["data"]["result"]]
    except OSError:
        return []


def test_a_real_prometheus_scrapes_with_the_token_and_stores_what_is_wanted(
    tmp_path: Path, release: Callable[[str], str], free_port: Callable[[], int]
) -> None:
    (tmp_path / "token").write_text("open-sesame")
    second = timedelta(seconds=1)
    config = RuleConfig(
        scrape_interval=second,
        scrape_timeout=second,
        relabel=(
            drop_model("gpt-4.1-mini"),
            cap_label("model", ["gpt-4.1-mini", "gpt-4x1-mini"]),
            drop_label(IDENTITY, "plan_type"),
            hide_identity(),
        ),
    )
    with serving() as address, serving() as elsewhere:
        (tmp_path / "exporter-other-host.yml").write_text(f'- targets: ["{elsewhere}"]')
        where = Targets(address, address, tmp_path / "token", discovery=tmp_path)
        write(files(config, where), tmp_path)
        with prometheus(release("prometheus"), tmp_path / SCRAPE_FILE, free_port()) as url:
            deadline = time.monotonic() + 30
            while len(ask(url, "codex_lb_account_identity")) < 3 and time.monotonic() < deadline:
                time.sleep(0.2)
            identities = ask(url, "codex_lb_account_identity")
            models = {labels["model"] for labels in ask(url, "codex_lb_proxy_requests_total")}
            jobs = {labels["job"] for labels in ask(url, "up == 1")}
    assert [labels["display"] for labels in identities] == ["acc-1", "acc-1", "acc-1"]
    assert {labels["instance"] for labels in identities} == {address, elsewhere}
    assert not any("plan_type" in labels for labels in identities)
    assert models == {"gpt-4x1-mini"}
    assert jobs == {config.proxy_job, config.exporter_job}
