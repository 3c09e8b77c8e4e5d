"""What earlier commits reached: a file of ratios by commit, and a curve for each row."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RECORDS = "benchmarks/results"
BARS = "▁▂▃▄▅▆▇█"

PAGE = """# Benchmarks: what earlier commits reached

This page shows how the ratio of hopcore's time to the peer's time changed between the commits that
measured it again. The page is the output of

```sh
python -m benchmarks --history benchmarks/results/history.json --committed
python -m benchmarks --curves benchmarks/results/history.json > docs/benchmarks/history.md
```

The first command reads the records of `benchmarks/results` in every commit that changed them, and
`--history FILE` without `--committed` adds the rows that are measured now. Ratios are those of CPU
time, and below 1 hopcore is faster. A bar is relative to the largest value of its row. A commit has
a value for a row where its record was made anew, and the same code measured twice in a row agreed
within 5 % (since 2026-11-30; earlier records were made without this check). The sides,
the machine and the versions of the libraries may have changed between two commits: the records have
both.
"""


def commit() -> str:
    """The commit of the code that runs, with a plus sign if files were changed since."""
    head, changed = asked("rev-parse", "--short=12", "HEAD"), asked("status", "--porcelain", "-uno")
    return (head or "unknown") + ("+" if changed else "")


def asked(*arguments: str) -> str:
    """What git answers, or "" where it cannot be asked."""
    command = ["git", "-C", str(Path(__file__).parents[1]), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def add(
    file: Path, results: list[dict[str, Any]], of: str | None = None, date: str | None = None
) -> None:
    """Add results to a file, which is made if it is missing; later results replace earlier ones."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    today = datetime.now(UTC).date().isoformat()
    entry = kept.setdefault(of or commit(), {"date": date or today, "ratios": {}})
    for result in results:
        if result["wall_ratio"] is not None:
            key = " | ".join((result["row"], result["case"], result["ours"]["side"]))
            entry["ratios"][key] = {
                "wall": round(result["wall_ratio"], 4),
                "cpu": round(result["cpu_ratio"], 4),
            }
    file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def add_committed(file: Path) -> None:
    """Add the records of all commits that changed them, from the oldest to the newest."""
    for line in asked("log", "--reverse", "--format=%H %cs", "--", RECORDS).splitlines():
        name, date = line.split()
        changed = asked("show", "--format=", "--name-only", "--diff-filter=d", name, "--", RECORDS)
        for path in changed.splitlines():
            record = json.loads(asked("show", f"{name}:{path}"))
            if "results" in record:  # others have tables of their own, without a peer in each row
                add(file, record["results"], name[:12], date)


def curves(file: Path, clock: str = "cpu") -> str:
    """A page with one curve for each row, from the oldest commit to the newest."""
    kept = json.loads(file.read_text(encoding="utf-8"))
    commits = sorted(kept, key=lambda name: kept[name]["date"])
    keys = sorted({key for name in commits for key in kept[name]["ratios"]})
    lines = [PAGE, "| row | from | to | curve |", "| --- | --- | --- | --- |"]
    for key in keys:
        line = [kept[name]["ratios"][key][clock] for name in commits if key in kept[name]["ratios"]]
        shown = key.replace(" | ", ", ")
        lines.append(f"| {shown} | {line[0]:.3g} x | {line[-1]:.3g} x | {curve(line)} |")
    return "\n".join(lines)


def curve(values: list[float]) -> str:
    """Numbers as bars of eight heights, relative to the largest."""
    largest = max(values) or 1.0
    return "".join(BARS[min(7, int(8 * value / largest))] for value in values)
