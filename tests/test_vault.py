"""Keys and locked workspaces: nothing plain on the disk, nothing lost, and whatever was tampered with told in one sentence."""

import base64
import os
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medlib import tables
from medlib.errors import MedlibError
from medlib.privacy import vault
from medlib.privacy.keys import make_key, read_key
from medlib.privacy.vault import HEADER, PIECE, TAG, lock_workspace, mark_locked, read_locked, unlock_workspace, write_locked

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
DEMAND = pd.DataFrame({"date": pd.to_datetime(["2024-01-01", "2024-01-02"]).astype("datetime64[us]"), "site": ["Quaxtown", "Quaxtown"],
                       "resource": ["bed", "bed"], "demand": [3.5, 8.0]})


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A workspace with two tables and a note, and the key in the environment."""
    monkeypatch.setenv("MEDLIB_KEY", base64.b64encode(KEY).decode())
    folder = tmp_path / "tables"
    tables.write(DEMAND, "demand", folder)
    tables.write(DEMAND.assign(demand=1.0), "demand_collected", folder)
    (folder / "note.txt").write_text("plain")
    return folder


def read_all(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_told(work, words, *hidden):
    with pytest.raises(MedlibError, match=words) as caught:
        work()
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and not any(text in message for text in hidden)


# --- Keys ------------------------------------------------------------------------------------------------------------

def test_keys_are_random_and_read_back(monkeypatch, tmp_path):
    made = make_key()
    assert made != make_key() and len(base64.b64decode(made)) == 32
    monkeypatch.setenv("MEDLIB_KEY", made)
    assert read_key() == base64.b64decode(made)
    file = tmp_path / "key"
    file.write_text(made + "\n")
    file.chmod(0o600)
    monkeypatch.delenv("MEDLIB_KEY")
    monkeypatch.setenv("MEDLIB_KEY_FILE", str(file))
    assert read_key() == base64.b64decode(made)
    monkeypatch.setenv("OTHER_KEY_FILE", str(file))
    assert read_key("OTHER_KEY") == base64.b64decode(made)


@pytest.mark.parametrize(("text", "words"), [
    ("", "A key is needed"), ("not base64!", "not Base64 text"), (base64.b64encode(b"q" * 31).decode(), "it holds 31"),
    (base64.b64encode(b"q" * 33).decode(), "it holds 33"), ("cXF", "not Base64 text"), ("schlüssel", "not Base64 text")])
def test_a_bad_key_is_told_without_it(monkeypatch, text, words):
    monkeypatch.delenv("MEDLIB_KEY_FILE", raising=False)
    monkeypatch.setenv("MEDLIB_KEY", text)
    assert_told(read_key, words, text or "\0")


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_file_for_others_is_refused(monkeypatch, tmp_path, mode):
    file = tmp_path / "key"
    file.write_text(make_key())
    file.chmod(mode)
    monkeypatch.delenv("MEDLIB_KEY", raising=False)
    monkeypatch.setenv("MEDLIB_KEY_FILE", str(file))
    assert_told(read_key, "chmod 600", file.read_text())


def test_a_key_file_that_is_not_there_or_no_text_is_told(monkeypatch, tmp_path):
    monkeypatch.delenv("MEDLIB_KEY", raising=False)
    monkeypatch.setenv("MEDLIB_KEY_FILE", str(tmp_path / "none"))
    assert_told(read_key, "cannot be read")
    (tmp_path / "none").write_bytes(b"\xff" * 44)
    (tmp_path / "none").chmod(0o600)
    assert_told(read_key, "not Base64 text")


# --- Locking and unlocking -------------------------------------------------------------------------------------------

def test_locked_and_unlocked_again_every_byte_is_the_same(workspace):
    before = read_all(workspace)
    made = lock_workspace(workspace, KEY)
    locked = read_all(workspace)
    assert [path.name for path in made] == ["demand.parquet.locked", "demand_collected.parquet.locked"]
    assert locked.keys() == {"demand.parquet.locked", "demand_collected.parquet.locked", "note.txt", "workspace.locked"}
    assert not any(b"Quaxtown" in content or b"PAR1" in content for content in locked.values())
    unlock_workspace(workspace, KEY)
    assert read_all(workspace) == before


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE]), st.integers(0, 2**32))
def test_any_length_comes_back(tmp_path_factory, size, seed):
    folder = tmp_path_factory.mktemp("any")
    content = random.Random(seed).randbytes(size)
    mark_locked(folder, KEY)
    locked = write_locked(content, folder / "x.csv", KEY)
    assert read_locked(locked, KEY) == content
    assert locked.stat().st_size == HEADER.size + size + TAG * max(1, -(-size // PIECE))


def test_equal_tables_look_different_each_time(workspace):
    first = write_locked_twice(workspace)
    assert first[0] != first[1] and len(first[0]) == len(first[1])


def write_locked_twice(folder):
    mark_locked(folder, KEY)
    return [write_locked(b"the same" * 100, folder / "x.csv", KEY).read_bytes() for _ in range(2)]


def test_tables_of_a_locked_workspace_are_read_and_written_in_memory(workspace):
    lock_workspace(workspace, KEY)
    pd.testing.assert_frame_equal(tables.read("demand", workspace), DEMAND)
    assert tables.has("demand", workspace) and not tables.has("capacity", workspace)
    path = tables.write(DEMAND.assign(demand=7.0), "demand", workspace)
    assert path.name == "demand.parquet.locked" and tables.read("demand", workspace)["demand"].tolist() == [7.0, 7.0]
    before = path.read_bytes()
    tables.write(DEMAND.assign(demand=7.0), "demand", workspace)
    assert path.read_bytes() == before  # the same rows leave the file as it is
    assert not list(workspace.glob("*.parquet")) and not list(workspace.glob(".*"))


def test_a_marked_folder_is_locked_from_its_first_table(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDLIB_KEY", base64.b64encode(KEY).decode())
    mark_locked(tmp_path / "new", KEY)
    mark_locked(tmp_path / "new", KEY)
    assert tables.write(DEMAND, "demand", tmp_path / "new").suffix == ".locked"
    assert_told(lambda: mark_locked(tmp_path / "new", OTHER), "does not fit")


def test_without_the_key_nothing_is_read_or_written(workspace, monkeypatch):
    lock_workspace(workspace, KEY)
    monkeypatch.delenv("MEDLIB_KEY")
    before = read_all(workspace)
    assert_told(lambda: tables.read("demand", workspace), "A key is needed")
    assert_told(lambda: tables.write(DEMAND, "demand", workspace), "A key is needed")
    assert read_all(workspace) == before


def test_nothing_to_lock_links_and_unlocked_folders_are_told(tmp_path, workspace):
    assert_told(lambda: lock_workspace(tmp_path / "none", KEY), "holds none")
    assert_told(lambda: unlock_workspace(workspace, KEY), "no locked workspace")
    (workspace / "capacity.parquet").symlink_to(workspace / "demand.parquet")
    assert_told(lambda: lock_workspace(workspace, KEY), "is a link")
    assert not list(workspace.glob("*.locked"))


def test_a_table_that_is_a_link_to_elsewhere_is_refused(workspace, tmp_path):
    (tmp_path / "secret.parquet").write_bytes((workspace / "demand.parquet").read_bytes())
    (workspace / "demand.parquet").unlink()
    (workspace / "demand.parquet").symlink_to(tmp_path / "secret.parquet")
    assert_told(lambda: tables.read("demand", workspace), "is a link to elsewhere")


# --- Tampering -------------------------------------------------------------------------------------------------------

def test_the_wrong_key_is_told(workspace):
    lock_workspace(workspace, KEY)
    before = read_all(workspace)
    assert_told(lambda: unlock_workspace(workspace, OTHER), "key does not fit")
    assert_told(lambda: read_locked(workspace / "demand.parquet.locked", OTHER), "key does not fit")
    assert_told(lambda: lock_workspace(workspace, OTHER), "key does not fit")
    assert read_all(workspace) == before


def test_every_byte_that_is_changed_is_noticed(workspace):
    lock_workspace(workspace, KEY)
    for name in ("demand.parquet.locked", "workspace.locked"):
        path = workspace / name
        whole = path.read_bytes()
        for place in range(0, len(whole), 1 if len(whole) < 200 else 37):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
            assert_told(lambda: tables.read("demand", workspace), ".")
        path.write_bytes(whole)
    pd.testing.assert_frame_equal(tables.read("demand", workspace), DEMAND)


def test_cut_longer_swapped_renamed_and_foreign_files_are_noticed(workspace, tmp_path):
    lock_workspace(workspace, KEY)
    path, second = workspace / "demand.parquet.locked", workspace / "demand_collected.parquet.locked"
    whole = path.read_bytes()
    for content, words in ((whole[:-1], "should hold"), (whole[:HEADER.size], "should hold"), (whole[:10], "lacks its beginning"),
                           (b"", "lacks its beginning"), (whole + b"x", "should hold"), (second.read_bytes(), "not as it was locked")):
        path.write_bytes(content)
        assert_told(lambda: tables.read("demand", workspace), words)
    path.write_bytes(whole)
    path.rename(workspace / "outcome.parquet.locked")
    assert_told(lambda: tables.read("outcome", workspace), "not as it was locked")
    tables.write(DEMAND.assign(demand=2.0), "demand", tmp_path / "b")
    lock_workspace(tmp_path / "b", KEY)
    path.write_bytes((tmp_path / "b" / path.name).read_bytes())
    assert_told(lambda: tables.read("demand", workspace), "another workspace")


def test_pieces_out_of_order_or_left_out_are_noticed(tmp_path):
    mark_locked(tmp_path, KEY)
    locked = write_locked(bytes(3 * PIECE), tmp_path / "x.csv", KEY)
    whole, step = locked.read_bytes(), PIECE + TAG
    head, pieces = whole[:HEADER.size], [whole[start:start + step] for start in range(HEADER.size, len(whole), step)]
    magic, version, owner, salt, size = HEADER.unpack(head)
    locked.write_bytes(head + pieces[1] + pieces[0] + pieces[2])
    assert_told(lambda: read_locked(locked, KEY), "not as it was locked")
    locked.write_bytes(HEADER.pack(magic, version, owner, salt, 2 * PIECE) + pieces[0] + pieces[1])  # as if it had been shorter
    assert_told(lambda: read_locked(locked, KEY), "not as it was locked")


def test_a_later_format_is_told(workspace):
    lock_workspace(workspace, KEY)
    path = workspace / "demand.parquet.locked"
    path.write_bytes(path.read_bytes()[:6] + b"\x02" + path.read_bytes()[7:])
    assert_told(lambda: tables.read("demand", workspace), "format 2")


def test_a_lost_marker_is_written_anew(workspace):
    lock_workspace(workspace, KEY)
    (workspace / "workspace.locked").unlink()
    assert_told(lambda: tables.read("demand", workspace), "run `medlib lock`")
    (workspace / "x.csv").write_text("a\n1\n")
    lock_workspace(workspace, KEY)
    pd.testing.assert_frame_equal(tables.read("demand", workspace), DEMAND)


# --- Interruptions ---------------------------------------------------------------------------------------------------

def test_both_a_plain_and_a_locked_file_are_told_until_it_is_locked_again(workspace):
    plain = (workspace / "demand.parquet").read_bytes()
    lock_workspace(workspace, KEY)
    (workspace / "demand.parquet").write_bytes(plain)
    assert_told(lambda: tables.read("demand", workspace), "both plain and locked")
    lock_workspace(workspace, KEY)
    pd.testing.assert_frame_equal(tables.read("demand", workspace), DEMAND)


@pytest.mark.parametrize("work", [lock_workspace, unlock_workspace])
def test_a_disk_that_is_full_loses_nothing(workspace, monkeypatch, work):
    if work is unlock_workspace:
        lock_workspace(workspace, KEY)
    before, replace, left = read_all(workspace), os.replace, [1]

    def fill(source, target):
        if not left:
            raise OSError(28, "No space left on device")
        left.pop()
        replace(source, target)

    monkeypatch.setattr(vault.os, "replace", fill)
    with pytest.raises(OSError, match="No space"):
        work(workspace, KEY)
    monkeypatch.setattr(vault.os, "replace", replace)
    after = read_all(workspace)
    for name in ("demand.parquet", "demand_collected.parquet"):
        assert name in after or f"{name}.locked" in after
    assert not any(name.endswith(".part") for name in after) and after.keys() >= before.keys() & {"note.txt"}
    work(workspace, KEY)
    if work is lock_workspace:
        unlock_workspace(workspace, KEY)
    pd.testing.assert_frame_equal(tables.read("demand", workspace), DEMAND)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_killed_at_any_moment_every_table_is_there(tmp_path):
    folder, dice = tmp_path / "w", random.Random(1)
    folder.mkdir()
    contents = {f"t{number}.csv": dice.randbytes(PIECE) for number in range(20)}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    program = ("import sys, pathlib\nfrom medlib.privacy.vault import lock_workspace, unlock_workspace\n"
               f"folder, key = pathlib.Path({str(folder)!r}), bytes(range(32))\nimport cryptography.hazmat.primitives.ciphers.aead\n"
               "print('ready', flush=True)\nwhile True:\n    lock_workspace(folder, key)\n    unlock_workspace(folder, key)\n")
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(dice.uniform(0.02, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        names = {path.name for path in folder.iterdir()}
        for name, content in contents.items():
            assert name in names or f"{name}.locked" in names
            if name in names:
                assert (folder / name).read_bytes() == content
            elif vault.MARKER in names:
                assert read_locked(folder / f"{name}.locked", KEY) == content
    lock_workspace(folder, KEY)
    unlock_workspace(folder, KEY)
    assert read_all(folder) == contents
