from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from settings.load import load
from settings.model import split_address

COMPOSE = Path(__file__).parents[2] / "compose"


def test_the_first_file_stands_alone(compose_config: Callable[..., dict[str, Any]]) -> None:
    assert set(compose_config("docker-compose.yml")["services"]) == {
        *("proxy", "exporter", "collector", "console", "builder"),
    }


def test_both_files_together(services: dict[str, Any]) -> None:
    ours = {"proxy", "exporter", "collector", "console", "builder"}
    assert set(services) == ours | {"prometheus", "alertmanager", "grafana"}


def test_several_machines_write_to_one_postgresql(
    compose_config: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first has the server and everything else, a further one has a proxy with an outbox that stays."""
    monkeypatch.setenv("QUOTASCOPE_DB_PASSWORD", "secret")
    monkeypatch.setenv("QUOTASCOPE_DATABASE_URL", "postgresql://quotascope@10.0.0.5/quotascope")
    first = compose_config("docker-compose.yml", "docker-compose.postgres.yml")["services"]
    further = compose_config("docker-compose.yml", "docker-compose.instance.yml")["services"]["proxy"]
    assert first["postgres"]["ports"] == ["127.0.0.1:5432:5432/tcp"]
    for name in ("proxy", "exporter", "console", "collector"):
        environ = first[name]["environment"]
        assert environ["CODEX_USAGE_DATABASE_URL"] == "postgresql://quotascope@postgres/quotascope"
        assert environ["PGPASSWORD"] == "secret"
    assert further["environment"]["CODEX_USAGE_DATABASE_URL"] == (
        "postgresql://quotascope@10.0.0.5/quotascope"
    )
    outbox = load(COMPOSE / "codex-usage.toml", {}).storage.outbox_path
    mounts = [volume.split(":")[1] for volume in further["volumes"]]
    assert outbox.parent.as_posix() in mounts


def test_what_needs_a_configuration_runs_where_it_is_asked_for(services: dict[str, Any]) -> None:
    """Without a gateway the collector ends at once; without a receiver no Alertmanager is configured."""
    assert {name: s["profiles"] for name, s in services.items() if "profiles" in s} == {
        "alertmanager": ["alerting"],
        "collector": ["collector"],
    }


@pytest.mark.parametrize("folder", ["", "compose/"])
def test_the_project_name_holds_wherever_it_is_called_from(
    compose_config: Callable[..., dict[str, Any]], folder: str
) -> None:
    files = [folder + "docker-compose.yml", folder + "docker-compose.observability.yml"]
    document = compose_config(*files, cwd=COMPOSE.parent if folder else COMPOSE)
    assert document["services"]["grafana"]["container_name"] == "codex-lb-grafana-1"


def test_every_port_is_published_on_loopback_alone(services: dict[str, Any]) -> None:
    published = {name: service.get("ports", []) for name, service in services.items()}
    assert published == {
        "proxy": ["127.0.0.1:8787:8787/tcp"],
        "exporter": ["127.0.0.1:8789:8789/tcp"],
        "collector": ["127.0.0.1:8790:8790/tcp"],
        "console": ["127.0.0.1:8788:8788/tcp"],
        "builder": [],
        "prometheus": ["127.0.0.1:9090:9090/tcp"],
        "alertmanager": ["127.0.0.1:9093:9093/tcp"],
        "grafana": ["127.0.0.1:3000:3000/tcp"],
    }


@pytest.mark.parametrize(("name", "major"), [("prometheus", "v3"), ("alertmanager", "v0"), ("grafana", "12")])
def test_foreign_images_are_pinned(services: dict[str, Any], name: str, major: str) -> None:
    assert re.fullmatch(rf"[a-z]+/{name}:{major}\.\d+\.\d+", services[name]["image"])


@pytest.mark.parametrize("name", ["prometheus", "alertmanager", "grafana"])
def test_what_reads_the_build_waits_for_it(services: dict[str, Any], name: str) -> None:
    assert services[name]["depends_on"] == {"builder": {"condition": "service_completed_successfully"}}
    assert "build:/build:ro" in services[name]["volumes"]
    assert "build:/build:rw" in services["builder"]["volumes"]
    assert services["builder"]["restart"] == "no"


@pytest.mark.parametrize("name", ["proxy", "exporter", "collector", "console", "builder"])
def test_our_own_containers_have_no_privileges(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", ["proxy", "exporter", "collector", "console"])
def test_services_read_the_configuration_that_is_mounted(services: dict[str, Any], name: str) -> None:
    command, mounts = services[name]["command"], services[name]["volumes"]
    assert command == ["python", "-m", name, "--config", "/etc/quotascope/codex-usage.toml"]
    assert f"{COMPOSE}/codex-usage.toml:{command[-1]}:ro" in mounts
    database = load(COMPOSE / "codex-usage.toml", {}).storage.database_path
    assert f"ledger:{database.parent}:rw" in mounts


@pytest.mark.parametrize("name", ["proxy", "exporter", "collector", "console"])
def test_published_and_probed_ports_are_those_listened_on(services: dict[str, Any], name: str) -> None:
    settings = load(COMPOSE / "codex-usage.toml", {})
    address = getattr(settings, "server" if name == "proxy" else name).listen_addr
    host, port = split_address(address)
    assert host == "0.0.0.0", "a container's loopback is reached by nobody else"
    assert services[name]["ports"] == [f"127.0.0.1:{port}:{port}/tcp"]
    assert f"http://127.0.0.1:{port}/healthz" in services[name]["healthcheck"]["test"][-1]
