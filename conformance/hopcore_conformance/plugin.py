"""The pytest plugin of the conformance suite: ``pytest -p hopcore_conformance.plugin``.

It adds the options that choose a backend, the fixture ``subject``, and the statements of the
specification to every report. It is not an entry point, so no other test run loads it.
"""

from __future__ import annotations

from collections import defaultdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, settings

import hopcore
from hopcore_conformance.statements import STATEMENTS
from hopcore_conformance.subject import Subject

DTYPES = ("float64", "float32", "bfloat16", "float16")
DISTRIBUTIONS = {"array_api_strict": "array-api-strict"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that choose what is tested."""
    group = parser.getgroup("hopcore", "hopcore conformance")
    group.addoption("--hopcore-backend", default="numpy", help="backend under test (numpy)")
    group.addoption("--hopcore-dtype", default="float64", choices=DTYPES, help="dtype (float64)")
    group.addoption("--hopcore-device", default=None, help="device, as the library calls it")
    group.addoption("--max-examples", type=int, default=20, help="examples of each check (20)")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the subject and hypothesis' profile before the checks are imported."""
    config.addinivalue_line(
        "markers", "statement(identifier): what of the specification is checked"
    )
    option = config.option
    if option.max_examples < 1:
        raise pytest.UsageError(f"--max-examples must be at least 1, got {option.max_examples}")
    # Without a seed the same examples are drawn every time; with one, its own.
    settings.register_profile(
        "hopcore",
        deadline=None,
        derandomize=seed_of(config) is None,
        database=None,
        max_examples=option.max_examples,
        print_blob=True,
        # Not the explanations: which lines of NumPy a failure runs through explains nothing.
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    settings.load_profile("hopcore")
    config.stash[SUBJECT] = chosen(
        option.hopcore_backend, option.hopcore_dtype, option.hopcore_device
    )


def seed_of(config: pytest.Config) -> str | None:
    """The seed given to hypothesis' own plugin."""
    return config.getoption("--hypothesis-seed")


def chosen(name: str, dtype: str, device: Any) -> Subject:
    """The subject of a run, or a usage error of one line."""
    if name == "jax" and dtype == "float64":
        import jax  # noqa: PLC0415

        # Before JAX makes its first array; without this it turns float64 into float32.
        jax.config.update("jax_enable_x64", True)
    try:
        backend = hopcore.backend(name)
        subject = Subject(backend, dtype, device)
        array = subject.put(np.zeros(1))
    except (ValueError, AttributeError, TypeError, RuntimeError, AssertionError) as error:
        raise pytest.UsageError(f"{name} {dtype}: {str(error).splitlines()[0]}") from error
    if array.dtype not in backend.precise:
        accepted = ", ".join(str(kind) for kind in backend.precise)
        raise pytest.UsageError(f"backend {name!r} has no {dtype}; it takes {accepted}")
    return subject


SUBJECT = pytest.StashKey[Subject]()


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Subject:
    """The backend under test."""
    return request.config.stash[SUBJECT]


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What is being tested."""
    subject = config.stash[SUBJECT]
    name = subject.backend.name
    library = DISTRIBUTIONS.get(name, name)
    seed = seed_of(config)
    versions = {part: _version(part) for part in ("hopcore", library, "numpy", "array-api-compat")}
    device = subject.backend.device(subject.put(np.zeros(1)))
    return [
        f"conformance: backend {name}, dtype {subject.dtype}, device {device}",
        "versions: " + ", ".join(f"{part} {number}" for part, number in versions.items() if number),
        f"examples: {config.option.max_examples} of each check, "
        + ("the same every time" if seed is None else f"seed {seed}"),
    ]


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each check the marks and the report properties of its statements."""
    for item in items:
        for identifier in getattr(getattr(item, "function", None), "statements", ()):
            item.add_marker(pytest.mark.statement(identifier))
            item.user_properties.append(("statement", identifier))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Print the statements beside a check that fails."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name, identifier in item.user_properties:
            if name == "statement":
                report.sections.append((f"statement {identifier}", STATEMENTS[str(identifier)]))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A line for each statement: what became of its checks."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, identifier in getattr(report, "user_properties", ()):
                if name == "statement":
                    found[identifier][outcome] += 1
    if found:
        terminalreporter.section("statements of the specification")
    for identifier in (name for name in STATEMENTS if name in found):
        counts = ", ".join(f"{count} {outcome}" for outcome, count in found[identifier].items())
        terminalreporter.write_line(f"{identifier:<14} {counts}")
