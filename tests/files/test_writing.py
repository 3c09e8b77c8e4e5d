"""One writer: files are whole or as they were, whoever writes, reads, or is killed."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from hopcore.files import _files as writing
from hopcore.files import write_whole
from hopcore.files._files import check_places, place_of

WORKER = Path(__file__).parents[1] / "workers" / "killed_writers.py"

linux = pytest.mark.skipif(sys.platform != "linux", reason="permissions and links of Linux")


def new(file: BinaryIO) -> None:
    """Write a short new content."""
    file.write(b"new")


def mode(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@linux
@pytest.mark.parametrize("kills", [40, pytest.param(1000, id="a thousand")])
def test_a_file_is_whole_whenever_a_writer_is_killed(tmp_path: Path, kills: int) -> None:
    command = [sys.executable, str(WORKER), str(tmp_path), "1", str(kills)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, f"{kills}\n"), ended.stderr


def test_threads_may_write_to_one_path(tmp_path: Path) -> None:
    path, wrong = tmp_path / "file", []
    contents = [bytes([number]) * 200_000 for number in range(4)]

    def write(content: bytes) -> None:
        for _ in range(25):
            try:
                write_whole(path, lambda file: [file.write(content[i::2]) for i in (0, 1)])
                found = path.read_bytes()
            except OSError as error:
                wrong.append(error)
            else:
                if found not in contents:
                    wrong.append(len(found))

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert os.listdir(tmp_path) == ["file"]


def test_two_processes_with_one_number_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As two containers that share a folder have them."""
    monkeypatch.setattr(os, "getpid", lambda: 1)

    def outer(file: BinaryIO) -> None:
        file.write(b"out")
        write_whole(tmp_path / "file", new)
        file.write(b"er")

    write_whole(tmp_path / "file", outer)
    assert (tmp_path / "file").read_bytes() == b"outer"


@linux
def test_a_link_in_the_place_of_the_part_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"kept")
    tokens = iter(["planted", "free"])
    monkeypatch.setattr(writing.secrets, "token_hex", lambda _: next(tokens))
    (tmp_path / ".planted.part").symlink_to(precious)
    write_whole(tmp_path / "file", new)
    assert precious.read_bytes() == b"kept"
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / ".planted.part").is_symlink()


@linux
@pytest.mark.parametrize("old", [0o600, 0o640, 0o444, 0o664, 0o755])
def test_permissions_are_those_of_the_old_file(tmp_path: Path, old: int) -> None:
    path, seen = tmp_path / "file", []
    path.write_bytes(b"old")
    path.chmod(old)

    def write(file: BinaryIO) -> None:
        new(file)
        seen.extend(mode(part) for part in tmp_path.glob("*.part"))

    write_whole(path, write)
    assert (path.read_bytes(), mode(path)) == (b"new", old)
    assert seen == [0o600]  # what is secret is so while it is written


@linux
def test_a_new_file_has_the_permissions_of_new_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", new)
    finally:
        os.umask(before)
    assert mode(tmp_path / "file") == 0o640


@pytest.mark.parametrize(
    "name", ["n" * 249, "n" * 255, " ", "-rf", "a\nb", "ä" * 127, ".hidden", "a.part", "*", "%s{0}"]
)
def test_any_name_that_the_system_takes(tmp_path: Path, name: str) -> None:
    for content in (b"old", b"new"):
        write_whole(tmp_path / name, lambda file, content=content: file.write(content))
        assert (tmp_path / name).read_bytes() == content
    assert os.listdir(tmp_path) == [name]


def test_names_that_no_system_takes(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        write_whole(tmp_path / ("n" * 256), new)
    with pytest.raises(ValueError, match="null"):
        write_whole(tmp_path / "a\0b", new)
    assert os.listdir(tmp_path) == []


def fail_when(what: str) -> Callable[..., Any]:
    """Return a function that fails as if the disk were full or the user impatient."""

    def fail(*_: Any, **__: Any) -> Any:
        if what == "interrupt":
            raise KeyboardInterrupt
        raise OSError(28, "No space left on device")

    return fail


@pytest.mark.parametrize("what", ["full", "interrupt"])
@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, what: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, fail_when(what))
    with pytest.raises(OSError if what == "full" else KeyboardInterrupt):
        write_whole(path, new)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@linux
def test_a_disk_that_is_full_after_a_while(tmp_path: Path) -> None:
    path, before = tmp_path / "file", resource.getrlimit(resource.RLIMIT_FSIZE)
    path.write_bytes(b"old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_whole(path, lambda file: [file.write(b"x" * 9_999) for _ in range(20)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_flushed_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush, calls = os.fsync, []

    def files_only(descriptor: int) -> None:
        calls.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        if calls[-1]:
            raise OSError(22, "Invalid argument")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    write_whole(tmp_path / "file", new)
    assert calls == [False, True]
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_folder_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        with pytest.raises(PermissionError, match="cannot be written to"):
            place_of(tmp_path / "file")
    if sys.platform == "linux" and os.geteuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(PermissionError, match="cannot be written to"):
            write_whole(tmp_path / "file", new)
        tmp_path.chmod(0o700)


@linux
def test_links_are_written_through(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "new").symlink_to(tmp_path / "folder" / "real")
    (tmp_path / "chain").symlink_to(tmp_path / "new")
    write_whole(tmp_path / "chain", new)
    assert (tmp_path / "folder" / "real").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["chain", "folder", "new"]
    for name, other in (("one", "two"), ("two", "one")):
        (tmp_path / name).symlink_to(tmp_path / other)
    with pytest.raises(OSError, match="not a plain file"):
        write_whole(tmp_path / "one", new)


@linux
def test_places_that_are_no_plain_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/full"), tmp_path):
        with pytest.raises(OSError, match="is not a plain file"):
            write_whole(path, new)


# What a command writes and reads


def test_places_that_overlap(tmp_path: Path) -> None:
    read, other = tmp_path / "read", tmp_path / "other"
    read.write_bytes(b"")
    (tmp_path / "link").symlink_to(read)
    os.link(read, tmp_path / "hard")
    (tmp_path / "folder").mkdir()
    reads = {"--patterns": read, "--data": tmp_path / "folder", "--queries": None}
    check_places({"--out": other, "--plot": None, "--csv": tmp_path / "third"}, reads)
    for name in ("read", "link", "hard", "folder/../read", "folder/within"):
        with pytest.raises(ValueError, match=r"--out .* would overwrite .*: name another file"):
            check_places({"--out": tmp_path / name}, reads)
    other.write_bytes(b"")
    os.link(other, tmp_path / "same")
    for name in ("other", "folder/../other", "same"):
        with pytest.raises(ValueError, match=r"--out and --plot are both .*: name two files"):
            check_places({"--out": other, "--plot": tmp_path / name})
