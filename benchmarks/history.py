"""What earlier commits reached: a file of ratios by commit, and a curve for each row."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BARS = "▁▂▃▄▅▆▇█"


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


def add(file: Path, results: list[dict[str, Any]], of: str | None = None) -> None:
    """Add results to a file, which is made if it is missing; later results replace earlier ones."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    name = of or commit()
    entry = kept.setdefault(name, {"date": datetime.now(UTC).date().isoformat(), "ratios": {}})
    for result in results:
        if result["wall_ratio"] is not None:
            key = " | ".join((result["row"], result["case"], result["ours"]["side"]))
            entry["ratios"][key] = {
                "wall": round(result["wall_ratio"], 4),
                "cpu": round(result["cpu_ratio"], 4),
            }
    file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def curves(file: Path, clock: str = "cpu") -> str:
    """A page with one curve for each row, from the oldest commit to the newest."""
    kept = json.loads(file.read_text(encoding="utf-8"))
    commits = sorted(kept, key=lambda name: kept[name]["date"])
    keys = sorted({key for name in commits for key in kept[name]["ratios"]})
    lines = ["| row | from | to | curve |", "| --- | --- | --- | --- |"]
    for key in keys:
        line = [kept[name]["ratios"][key][clock] for name in commits if key in kept[name]["ratios"]]
        shown = key.replace(" | ", ", ")
        lines.append(f"| {shown} | {line[0]:.3g} x | {line[-1]:.3g} x | {curve(line)} |")
    return "\n".join(lines)


def curve(values: list[float]) -> str:
    """Numbers as bars of eight heights, relative to the largest."""
    largest = max(values) or 1.0
    return "".join(BARS[min(7, int(8 * value / largest))] for value in values)
