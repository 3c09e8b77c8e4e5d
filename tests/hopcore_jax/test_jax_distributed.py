"""Stored patterns over the devices of a mesh: the tests of ``workers/jax_sharded.py``, run apart.

JAX simulates devices on the host only if it is told before it starts, so that one process of its
own runs all of them, and tells here what failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytest.importorskip("jax", "0.6", reason="a memory over a mesh needs JAX 0.6")
pytest.importorskip("equinox", reason="the layers need equinox")

TESTS = Path(__file__).parents[1] / "workers" / "jax_sharded.py"
NAMES = re.findall(r"^def (test_\w+)", TESTS.read_text(), flags=re.MULTILINE)
# Compiled fast rather than well: the arrays are small.
FLAGS = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    # Eight devices on a busy core may take longer than the usual 40 seconds to meet.
    " --xla_cpu_collective_call_terminate_timeout_seconds=600"
)


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What failed, by the name of each test that was run; of those that did not, nothing."""
    report = tmp_path_factory.mktemp("jax") / "report.xml"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}"
    wanted = {"XLA_FLAGS": flags, "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS)]
    ran = subprocess.run(
        [*command, f"--junit-xml={report}"],
        env={**os.environ, **wanted},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert report.exists(), ran.stdout + ran.stderr
    cases = ET.parse(report).iter("testcase")
    return {case.attrib["name"]: "\n".join(x.text or "" for x in case) for case in cases}


@pytest.mark.parametrize("name", NAMES)
def test_over_devices(failures: dict[str, str], name: str) -> None:
    assert failures[name] == ""
