from __future__ import annotations

from pathlib import Path

import pytest

from prometheus.config import RuleConfig
from prometheus.errors import TargetError
from prometheus.relabel import drop_model
from prometheus.scrape import Targets, document, target


@pytest.mark.parametrize(
    ("listens", "scraped"),
    [
        ("127.0.0.1:8787", "127.0.0.1:8787"),
        ("proxy:8787", "proxy:8787"),
        ("0.0.0.0:8787", "127.0.0.1:8787"),
        ("[::]:8787", "[::1]:8787"),
        ("[fd00::1]:8787", "[fd00::1]:8787"),
    ],
)
def test_where_a_service_listens_is_where_it_is_scraped(listens: str, scraped: str) -> None:
    assert target(listens, "--proxy-target") == scraped


@pytest.mark.parametrize(
    "address", ["", "proxy", "proxy:", ":8787", "proxy:0", "proxy:70000", "http://proxy:8787"]
)
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(TargetError, match=r"^--proxy-target .*allowed: HOST:PORT"):
        target(address, "--proxy-target")


def test_both_jobs_are_scraped_alike() -> None:
    config = RuleConfig(relabel=(drop_model("gpt-4.1-mini"),))
    scraped = document(config, Targets("p:1", "e:2", Path("token")), ["rules/a.yml"])
    jobs = scraped["scrape_configs"]
    assert [(job["job_name"], job["static_configs"][0]["targets"]) for job in jobs] == [
        (config.proxy_job, ["p:1"]),
        (config.exporter_job, ["e:2"]),
    ]
    assert {job["authorization"]["credentials_file"] for job in jobs} == {"token"}
    entries = [[entry["regex"] for entry in job["metric_relabel_configs"]] for job in jobs]
    assert entries == [[".+_created", r"gpt-4\.1-mini"]] * 2


def test_without_token_and_reasons_nothing_is_said_of_them() -> None:
    jobs = document(RuleConfig(), Targets("p:1", "e:2"), [])["scrape_configs"]
    assert all(set(job) - {"metric_relabel_configs"} == {"job_name", "static_configs"} for job in jobs)


def test_sidecars_are_exporters_and_hosts_are_found_by_service() -> None:
    where = Targets("p:1", "e:2", sidecars=("s:3", "s:4"), discovery=Path("hosts"))
    proxy, exporter = document(RuleConfig(), where, [])["scrape_configs"]
    assert exporter["static_configs"] == [{"targets": ["e:2", "s:3", "s:4"]}]
    assert proxy["file_sd_configs"] == [{"files": ["hosts/proxy*.yml"]}]
    assert exporter["file_sd_configs"] == [{"files": ["hosts/exporter*.yml"]}]


def test_buckets_are_kept_where_prometheus_can_do_without_them() -> None:
    jobs = document(RuleConfig(), Targets("p:1", "e:2", release=(3, 5)), [])["scrape_configs"]
    assert [job["convert_classic_histograms_to_nhcb"] for job in jobs] == [False, False]
