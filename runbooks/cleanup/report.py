"""What the clean-up tells a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import yaml

from runbooks.cleanup.deletion import Proof
from runbooks.cleanup.guard import Guard, offered
from runbooks.cleanup.stock import Stock

OPEN_ADMIN_API = """\
The admin API is off, so nothing can be deleted. Open it for the clean-up alone:
  a program:  restart Prometheus with --web.enable-admin-api
  compose:    add "- --web.enable-admin-api" to the command of the service prometheus in
              docker-compose.observability.yml, then: docker compose ... up -d prometheus
Then run this again."""

CLOSE_ADMIN_API = "Now close the admin API again: restart Prometheus without --web.enable-admin-api."


def stocked(stocks: Sequence[Stock]) -> Iterator[str]:
    """A table of what matches."""
    width = max(len(stock.name) for stock in stocks)
    yield f"{'metric':<{width}}  {'series':>8}  {'samples':>12}  still exported by"
    for stock in stocks:
        samples = "too many" if stock.samples is None else f"{stock.samples:,}"
        jobs = ", ".join(sorted({labels.get("job") or "(no job)" for labels in stock.active})) or "nobody"
        yield f"{stock.name:<{width}}  {len(stock.series):>8,}  {samples:>12}  {jobs}"


def guarded(found: Sequence[Guard]) -> Iterator[str]:
    """One line for each scrape job."""
    for guard in found:
        if guard.blocked:
            yield f"{guard.job}: a relabel rule keeps them out"
        elif guard.active:
            yield f"{guard.job}: nothing keeps them out, and they would be back with the next scrape"
        else:
            yield f"{guard.job}: does not export them now; no relabel rule would keep them out"


def offer(matchers: Sequence[str], models: Sequence[str]) -> Iterator[str]:
    """What to add so that nothing comes back."""
    rules = [(matcher, offered(matcher)) for matcher in matchers]
    yield "Add to metric_relabel_configs of these jobs, reload Prometheus, wait for a scrape, run this again:"
    for matcher, rule in rules:
        if rule is None:
            yield f"  (no rule can be derived from {matcher}: write one by hand)"
        else:
            yield from ("  " + line for line in _entry(rule.document()))
    if models and len(models) == len(matchers):
        options = " ".join(f"--drop-model {model}" for model in models)
        yield f"or build it: python -m prometheus build {options}"


def proven(proof: Proof) -> Iterator[str]:
    """What the verification says."""
    for kind, names in (("instant", proof.instant), ("range", proof.ranged)):
        said = f"still return samples of {', '.join(names)}" if names else "return nothing"
        yield f"verify: {kind} queries {said}"
    if proof.index:
        yield (
            f"verify: /series still lists {proof.index} label sets; that does not matter: "
            "they go with compaction and retention"
        )
    yield "passed" if proof.passed else "FAILED: samples are still there, or have come back"


def _entry(document: object) -> list[str]:
    return yaml.safe_dump([document], sort_keys=False, allow_unicode=True).splitlines()
