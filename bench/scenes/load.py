"""Load by wrk: closed loop, keep-alive, one fixed POST; figures from its own report."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer sk-bench-0123456789abcdef"
wrk.body = [==[{body}]==]
function done(summary, latency, requests)
  io.write(string.format("FIGURES %d %d %d %f %f %f\\n", summary.requests, summary.duration,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
      + summary.errors.timeout, latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """One measurement: p50, p99 and p99.9 in milliseconds."""

    requests: int
    seconds: float
    failed: int
    p50: float
    p99: float
    p999: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def wrk(url: str, body: str, *, connections: int, seconds: int, cpu: int | None = None) -> Load:
    """Drive one URL. Raises: RuntimeError when wrk is missing or fails."""
    if shutil.which("wrk") is None:
        raise RuntimeError("the load is made by wrk, which is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(_LUA.replace("{body}", body), encoding="utf-8")
        prefix = ["taskset", "-c", str(cpu)] if cpu is not None else []
        command = [*prefix, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
        done = subprocess.run([*command, "-s", str(script), url], capture_output=True, text=True, check=False)
    found = re.search(r"^FIGURES (\d+) (\d+) (\d+) (\S+) (\S+) (\S+)$", done.stdout, re.MULTILINE)
    if not found:
        raise RuntimeError(f"wrk failed on {url}: {done.stdout}{done.stderr}")
    requests, micros, failed, p50, p99, p999 = (float(value) for value in found.groups())
    return Load(int(requests), micros / 1e6, int(failed), p50 / 1000, p99 / 1000, p999 / 1000)
