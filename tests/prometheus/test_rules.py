from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metrics import recorded as names

COST = 'codex_lb_proxy_cost_usd_total{job="quotascope-proxy",instance="%s",model="%s"}'


def test_promtool_accepts_the_rules(
    built: Path, promtool: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    result = promtool("check", "rules", built / "rules/recording.yml")
    assert result.returncode == 0, result.stdout


def test_cost_is_recorded_by_process_and_model(run_rules: Callable[[Sequence[dict[str, Any]]], str]) -> None:
    series = {("a", "x"): "1+1x10", ("a", "y"): "5+0x10", ("b", "x"): "100+2x10"}
    labels = '{__name__="%s",job="quotascope-proxy",instance="%s",model="%s"}'
    case = {
        "interval": "1m",
        "input_series": [{"series": COST % key, "values": values} for key, values in series.items()],
        "promql_expr_test": [
            {
                "expr": names.COST.name,
                "eval_time": "10m",
                "exp_samples": [
                    {"labels": labels % (names.COST.name, *key), "value": value}
                    for key, value in zip(series, (11, 5, 120), strict=True)
                ],
            }
        ],
    }
    assert run_rules([case]) == ""


def test_a_restart_of_one_process_stays_a_reset(
    run_rules: Callable[[Sequence[dict[str, Any]]], str],
) -> None:
    """Two processes, one of them restarts half way: the recorded sums lose nothing of either."""
    case = {
        "interval": "1m",
        "input_series": [
            {"series": COST % ("a", "x"), "values": "0+1x30 0+1x29"},
            {"series": COST % ("b", "x"), "values": "1000+1x60"},
        ],
        "promql_expr_test": [
            {
                "expr": f"round(sum(increase({names.COST.name}[1h])))",
                "eval_time": "1h",
                "exp_samples": [{"labels": "{}", "value": 30 + 29 + 60}],
            }
        ],
    }
    assert run_rules([case]) == ""


def test_hours_add_up_to_days(run_rules: Callable[..., str]) -> None:
    """Two processes and a restart: the recorded hours of a day lose nothing."""
    labels = '{job="quotascope-proxy",instance="%s",account_id="x",api="responses"}'
    family, recorded = "codex_lb_proxy_account_cost_usd_total", names.HOURLY_ACCOUNT_COST.name.name
    case = {
        "interval": "1m",
        "input_series": [
            {"series": family + labels % "a", "values": "0+1x750 0+1x749"},
            {"series": family + labels % "b", "values": "1000+2x1500"},
        ],
        "promql_expr_test": [
            {
                "expr": f"round(sum_over_time({recorded}[1d]))",
                "eval_time": "1d",
                "exp_samples": [{"labels": '{account_id="x"}', "value": 24 * 60 - 1 + 2 * 24 * 60}],
            }
        ],
    }
    assert run_rules([case], every="1h") == ""
