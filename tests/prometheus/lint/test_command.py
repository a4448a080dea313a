"""`python -m prometheus lint` as a person or a workflow runs it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dashboards import build as dashboards_build
from prometheus.build import files, write
from prometheus.config import RuleConfig
from prometheus.lint.catalogue import RULES
from prometheus.lint.linting import lint, world
from prometheus.lint.report import plain
from prometheus.lint.sources.reading import sources
from prometheus.scrape import Targets
from tests.support import commands
from tests.support.commands import Done

ROOT = Path(__file__).parents[3]
FAULTS = ROOT / "tests/prometheus/faults"
GOOD = "sum(rate(codex_lb_proxy_requests_total[5m]))"
BAD = "sum(codex_lb_proxy_requests_total)"


def run(*words: str | Path, cwd: Path = ROOT) -> Done:
    return commands.run("prometheus", "lint", *words, cwd=cwd)


def rules(path: Path, *exprs: str) -> Path:
    group = {
        "name": "quotascope-test",
        "rules": [{"alert": f"A{n}", "for": "5m", "expr": f"{e} > 1"} for n, e in enumerate(exprs)],
    }
    path.write_text(json.dumps({"groups": [group]}, indent=1))  # JSON is YAML
    return path


@pytest.mark.slow
def test_our_own_files_are_clean(tmp_path: Path) -> None:
    config = RuleConfig()
    write(files(config, Targets("127.0.0.1:8787", "127.0.0.1:8789")), tmp_path)
    dashboards_build.write(dashboards_build.dashboards(config), tmp_path)
    found = sources([tmp_path, ROOT / "runbooks"])
    assert {source.kind for source in found} == {"dashboard", "rules", "page"}
    assert plain(lint(found, world(config))) == ""


def test_no_findings(tmp_path: Path) -> None:
    result = run(rules(tmp_path / "r.yml", GOOD))
    assert (result.returncode, result.stdout) == (0, "1 queries in 1 files: no findings\n")


def test_a_finding_says_where_what_why_and_how(tmp_path: Path) -> None:
    file = rules(tmp_path / "r.yml", GOOD, BAD)
    result = run(file)
    assert result.returncode == 1
    assert result.stdout == (
        f'{file}:12: "A1" [alert] error counter-without-rate: codex_lb_proxy_requests_total is a counter: '
        "it falls to 0 when its process restarts. Fix: take rate(codex_lb_proxy_requests_total[...]) or "
        "increase(codex_lb_proxy_requests_total[...]), then aggregate.\n"
    )
    assert result.stderr == "2 queries in 1 files: 1 error\n"


def test_github_shows_it_at_the_line(tmp_path: Path) -> None:
    file = rules(tmp_path / "a,b.yml", 'sum(codex_lb_proxy_requests_total{model="100%"})')
    result = run("--format", "github", file)
    assert result.returncode == 1
    (line,) = result.stdout.splitlines()
    path = str(file).replace(",", "%2C")
    assert line.startswith(f'::error file={path},line=7,title=counter-without-rate::"A0" [alert]: codex_lb')


def test_a_query_that_does_not_parse_is_bad_input(tmp_path: Path) -> None:
    result = run(rules(tmp_path / "r.yml", "sum(rate(x[5m])"))
    assert result.returncode == 2
    assert "syntax: unclosed left parenthesis" in result.stdout


def test_the_scrape_interval_can_be_told(tmp_path: Path) -> None:
    file = rules(tmp_path / "r.yml", GOOD)
    assert run(file, "--scrape-interval", "75s").returncode == 0
    assert "[5m] is shorter than 4 samples, one each 2m" in run(file, "--scrape-interval", "2m").stdout


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.json", "{", "not JSON"),
        ("x.json", "[1]", "not a dashboard"),
        ("x.json", '{"title": "x"}', "not a dashboard"),
        ("x.yml", "a: [", "not YAML"),
        ("x.yml", "scrape_configs: []", "not a rule file"),
        ("x.yml", "groups: [{name: g, rules: [{alert: A}]}]", "a rule without expr"),
        ("x.txt", "up", "allowed: a folder, or a file ending in .json"),
        ("x.md", "\udcff", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text, errors="surrogateescape")
    result = run(tmp_path / name)
    assert result.returncode == 2
    assert said in result.stdout
    assert result.stdout.startswith(f"{tmp_path / name}:1: error unreadable-file: ")
    assert len(result.stdout.splitlines()) == 1


def test_one_file_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    rules(tmp_path / "r.yml", BAD)
    result = run(tmp_path / "broken.json", tmp_path / "r.yml")
    assert result.returncode == 2
    assert [line.split(" ")[-1] for line in result.stderr.splitlines()[-1:]] == ["errors"]
    assert "unreadable-file" in result.stdout and "counter-without-rate" in result.stdout


@pytest.mark.parametrize(("fail_on", "code"), [("error", 0), ("warning", 0), ("hint", 1)])
def test_the_least_severity_that_fails_can_be_chosen(tmp_path: Path, fail_on: str, code: int) -> None:
    file = tmp_path / "r.yml"
    file.write_text("groups: [{name: g, rules: [{alert: A, expr: up == 0}]}]")
    result = run(file, "--fail-on", fail_on)
    assert result.returncode == code
    assert "hint alert-without-for" in result.stdout
    assert result.stderr == "1 queries in 1 files: 1 hint\n"


def test_sarif_names_rule_level_and_place(tmp_path: Path) -> None:
    file = rules(tmp_path / "r.yml", BAD)
    result = run("--format", "sarif", file)
    (log,) = json.loads(result.stdout)["runs"]
    (finding,) = log["results"]
    assert (finding["ruleId"], finding["level"]) == ("counter-without-rate", "error")
    place = finding["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": str(file)}, "region": {"startLine": 7}}
    assert {rule["id"] for rule in log["tool"]["driver"]["rules"]} == set(RULES)
    assert (
        json.loads(run("--format", "sarif", rules(tmp_path / "good.yml", GOOD)).stdout)["runs"][0]["results"]
        == []
    )


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert (
        "no.json:1: error unreadable-file: cannot be read: No such file"
        in run("no.json", cwd=tmp_path).stdout
    )
    assert "build first" in run(cwd=tmp_path).stderr


def test_in_a_folder_only_files_with_queries_are_read(tmp_path: Path) -> None:
    rules(tmp_path / "r.yml", GOOD)
    (tmp_path / "prometheus.yml").write_text("scrape_configs: []")
    (tmp_path / "package.json").write_text("{}")
    assert run(tmp_path).stdout == "1 queries in 1 files: no findings\n"
    (tmp_path / "tsconfig.json").write_text("{ // a comment")
    assert run(tmp_path).returncode == 0
    (tmp_path / "broken.json").write_text('{"expr": "up"')
    assert run(tmp_path).returncode == 2


class Shop(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write((FAULTS / "foreign/scrape.txt").read_bytes())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def shop() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_schema_is_taken_from_a_scrape(shop: str) -> None:
    file = FAULTS / "foreign/dashboard.json"
    assert "unknown-metric" not in run(file).stdout
    result = run(file, "--schema", f"{shop}/metrics")
    assert result.returncode == 1
    assert "nothing exports shop_order_total. Fix: did you mean shop_orders_total?\n" in result.stdout


def test_labels_of_the_scraping_can_be_named(tmp_path: Path) -> None:
    file = rules(tmp_path / "r.yml", 'shop_stock{cluster="x"}')
    schema = ("--schema", FAULTS / "foreign/scrape.txt")
    assert "shop_stock has no label cluster" in run(file, *schema).stdout
    assert run(file, *schema, "--target-label", "cluster").returncode == 0


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("http://127.0.0.1:9/metrics", "no answer"),
        ("missing.txt", "cannot be read"),
        (str(FAULTS / "page.md"), "not the text of a scrape"),
        (os.devnull, "no series in it"),
    ],
)
def test_a_schema_that_cannot_be_had(schema: str, said: str, tmp_path: Path) -> None:
    result = run(rules(tmp_path / "r.yml", GOOD), "--schema", schema)
    assert result.returncode == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_schema_that_answers_404(shop: str, tmp_path: Path) -> None:
    result = run(rules(tmp_path / "r.yml", GOOD), "--schema", shop)
    assert result.returncode == 2
    assert "404" in result.stderr
