"""Each object of the API gets one page, and the tables of its package lead to it."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pages  # noqa: F401 (puts docs on the path)
import pytest

pytest.importorskip("sphinx")

import summaries

API = Path(__file__).parents[2] / "docs" / "api"
PAGE = """# hopcore.memory

Before.

```{eval-rst}
.. autoclass:: hopcore.Streamed
   :members: read, pieces
```

## Backends

Between.

```{eval-rst}
.. automodule:: hopcore.arrays
.. autoclass:: hopcore.Backend
   :members:
.. autofunction:: hopcore.backend
```
"""


def test_pages_are_written_and_those_of_objects_that_are_gone_are_removed(tmp_path: Path) -> None:
    objects = tmp_path / "api" / "objects"
    objects.mkdir(parents=True)
    (tmp_path / "api" / "memory.md").write_text(PAGE)
    (objects / "hopcore.gone.rst").write_text("gone")
    config = SimpleNamespace()
    summaries.write(SimpleNamespace(srcdir=tmp_path, config=config))
    files = {path.stem: path.read_text() for path in objects.iterdir()}
    assert set(files) == {"hopcore.Streamed", "hopcore.Backend-capital", "hopcore.backend"}
    assert len({name.lower() for name in files}) == len(files)
    assert files["hopcore.Streamed"].endswith(":members: read, pieces\n")
    assert ":doc:`/api/memory`: Backends\n" in files["hopcore.backend"]
    assert config.autosummary_filename_map["hopcore.Backend"] == "hopcore.Backend-capital"


def test_a_table_takes_the_place_of_the_objects_and_of_nothing_else() -> None:
    source = [PAGE]
    summaries.fill_in(SimpleNamespace(), "api/memory", source)
    (text,) = source
    assert "autoclass" not in text
    assert "autofunction" not in text
    assert re.findall(r"^   ~(\S+)$", text, re.MULTILINE) == [
        "hopcore.Streamed",
        "hopcore.Backend",
        "hopcore.backend",
    ]
    for kept in ("Before.", "## Backends", "Between.", ".. automodule:: hopcore.arrays"):
        assert kept in text
    of_an_object = [PAGE]
    summaries.fill_in(SimpleNamespace(), "api/objects/hopcore.Streamed", of_an_object)
    assert of_an_object == [PAGE]


def test_every_directive_of_the_api_is_found() -> None:
    for path in API.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        directives = re.findall(r"^\.\. auto(?!module)\w+:: (\S+)$", text, re.MULTILINE)
        assert [entry.name for entry in summaries.entries(text)] == directives
