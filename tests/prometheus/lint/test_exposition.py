from __future__ import annotations

from pathlib import Path

from prometheus.lint.exposition import load

SCRAPE = Path(__file__).parent.parent / "faults/foreign/scrape.txt"


def test_kinds_and_labels_come_from_the_scrape() -> None:
    schema = load(str(SCRAPE), ["cluster"])
    added = frozenset({"job", "instance", "cluster"})
    found = {name: (series.kind, series.labels) for name, series in schema.series.items()}
    assert found["shop_orders_total"] == ("counter", added | {"country", "paid"})
    assert found["shop_stock"] == ("gauge", added | {"article"})
    assert found["shop_pay_seconds_bucket"] == ("counter", added | {"le"})
    assert found["shop_pay_seconds_sum"] == ("counter", added)
    assert found["shop_wait_seconds"] == ("gauge", added | {"quantile"})
    assert found["shop_wait_seconds_count"] == ("counter", added)
    assert found["shop_returns_total"] == ("counter", None), "declared, without a sample"
    assert schema.find("shop_pay_seconds") is None
