"""The state on network file systems, and without a home directory: refused, told, and no request fails."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import together
from serving import MESSAGES, fields_of
from support import HANG_SECONDS, FakeClock

import litellm_antigravity
from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state import file_systems
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.file_systems import network_type
from litellm_antigravity.state.resilient import ResilientStore
from litellm_antigravity.state.shared_thoughts import SharedThoughts

pytestmark = pytest.mark.once

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/mountinfo is Linux's")

TABLE = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:40 / /mnt/nfs rw shared:7 - nfs4 server:/export rw,vers=4.2
41 27 0:41 / /mnt/nfs/local rw - xfs /dev/vdb rw
42 27 0:42 / /mnt/with\\040blank rw - cifs //server/share rw
43 27 0:43 / /mnt/c rw - 9p C:\\134 rw
44 27 0:44 / /mnt/ssh rw - fuse.sshfs user@host:/x rw
45 27 0:45 / /mnt/s3 rw - fuse.s3fs s3fs rw
46 27 0:46 / /mnt/ntfs rw - fuseblk /dev/sda1 rw
47 27 0:47 / /mnt/bind rw - fuse.bindfs /srv rw
48 27 0:48 / /mnt/overlay rw - fuse.fuse-overlayfs fuse-overlayfs rw
49 27 0:49 / /mnt/dav rw - fuse https://dav.example/x rw
50 27 0:50 / /mnt/new rw - fuse.somethingnew host.example:/x rw
51 27 0:51 / /mnt/crypt rw - fuse.gocryptfs /home/me/.crypt rw
52 27 0:52 / /mnt/ceph rw - ceph 10.0.0.1:6789:/ rw
53 27 0:53 / /mnt/lustre rw - lustre mgs@tcp:/fs rw
54 27 0:54 / /mnt/gluster rw - fuse.glusterfs host:/volume rw
55 27 0:55 / /mnt/afs rw - afs AFS rw
56 27 0:56 / /mnt/over rw - nfs server:/export rw
57 56 0:57 / /mnt/over rw - tmpfs tmpfs rw
58 27 0:58 / /mnt/ram rw - tmpfs tmpfs rw
59 27 0:59 / /mnt/virtio rw - virtiofs share rw
a line that is none
"""


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_systems, "_mount_table", lambda: TABLE)


@LINUX
@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/mnt/nfs", "nfs4"),
        ("/mnt/nfs/deep/below", "nfs4"),
        ("/mnt/nfs/local/x", None),
        ("/mnt/nfsx", None),
        ("/mnt/with blank/x", "cifs"),
        ("/mnt/c/x", "9p"),
        ("/mnt/ssh/x", "fuse.sshfs"),
        ("/mnt/s3/x", "fuse.s3fs"),
        ("/mnt/ntfs/x", None),
        ("/mnt/bind/x", None),
        ("/mnt/overlay/x", None),
        ("/mnt/dav/x", "fuse"),
        ("/mnt/new/x", "fuse.somethingnew"),
        ("/mnt/crypt/x", None),
        ("/mnt/ceph/x", "ceph"),
        ("/mnt/lustre/x", "lustre"),
        ("/mnt/gluster/x", "fuse.glusterfs"),
        ("/mnt/afs/x", "afs"),
        ("/mnt/over/x", None),
        ("/mnt/ram/x", None),
        ("/mnt/virtio/x", None),
        ("/somewhere", None),
        ("/", None),
    ],
)
def test_the_mount_table_tells_network_file_systems_from_local_ones(path: str, expected: str | None) -> None:
    assert network_type(Path(path)) == expected


@LINUX
@pytest.mark.usefixtures("table")
def test_a_link_to_a_network_file_system_is_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/mnt/nfs")
    assert network_type(tmp_path / "link" / "state") == "nfs4"


@pytest.mark.parametrize("content", ["", "27 1 254:0 / /elsewhere rw - nfs server:/x rw\n", None])
def test_where_nothing_can_be_known_of_the_mounts_the_folder_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    def no_table() -> str:
        if content is None:
            raise PermissionError(errno.EACCES, "Permission denied")
        return content

    monkeypatch.setattr(file_systems, "_mount_table", no_table)
    DiskStore(tmp_path / "state").refresh()
    assert (tmp_path / "state" / "cache.db").exists()


@pytest.fixture
def on_nfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    mount = f"40 27 0:40 / {os.path.realpath(tmp_path)} rw - nfs4 server:/export rw\n"
    monkeypatch.setattr(file_systems, "_mount_table", lambda: root + mount)
    return tmp_path / "state"


@LINUX
def test_the_state_is_not_kept_on_a_network_file_system_and_one_warning_says_what_helps(
    on_nfs: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Before, the database was made there."""
    store = ResilientStore(DiskStore(on_nfs), clock)
    for _ in range(3):
        assert store.next_cursor_start() >= 0
        with store.exclusive("refresh/a", 0.0) as held:
            assert held
        clock.advance(10.0)
    (warning,) = caplog.messages
    assert all(word in warning for word in (str(on_nfs), "nfs4", "Set state_dir", "state_dir_on_network"))
    assert not store.status().shared
    assert not on_nfs.exists()


@LINUX
@pytest.mark.parametrize("allowed", [False, True])
def test_a_setting_uses_the_folder_all_the_same(on_nfs: Path, allowed: bool) -> None:
    settings = Settings(state_dir=on_nfs, state_dir_on_network=allowed)
    pool = AccountPool(settings)
    pool.store.refresh()
    assert pool.store.status().shared is allowed
    assert on_nfs.exists() is allowed
    pool.store.close()


@LINUX
@pytest.mark.parametrize("allowed", [False, True])
def test_thoughts_follow_the_same_rule(on_nfs: Path, allowed: bool) -> None:
    thoughts = SharedThoughts(on_nfs / "thoughts", on_network=allowed)
    thoughts.write("toolu_1", [{"thinking": "t", "signature": "s"}])
    thoughts.close()
    assert (on_nfs / "thoughts" / "cache.db").exists() is allowed


# A real mount

_MNT_DETACH = 2
_LOOKUP, _FORGET, _GETATTR, _INIT, _INTERRUPT, _BATCH_FORGET = 1, 2, 3, 26, 36, 42


def _serve_empty_folder(descriptor: int) -> None:
    """Answer the kernel as a file system with nothing in it would (linux/fuse.h)."""
    with contextlib.suppress(OSError):  # the mount is gone
        while True:
            request = os.read(descriptor, 1 << 17)
            _, operation, unique, _ = struct.unpack_from("=IIQQ", request)
            if operation in (_FORGET, _INTERRUPT, _BATCH_FORGET):
                continue
            code, body = 0, b""
            if operation == _INIT:
                body = struct.pack("=IIIIHHI", 7, 23, 0, 0, 0, 0, 4096).ljust(64, b"\0")
            elif operation == _GETATTR:
                attributes = struct.pack("=QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
                body = struct.pack("=QII", 1, 0, 0) + attributes
            else:
                code = -errno.ENOENT if operation == _LOOKUP else -errno.ENOSYS
            os.write(descriptor, struct.pack("=IiQ", 16 + len(body), code, unique) + body)


@pytest.fixture
def fuse_mount(tmp_path: Path) -> Iterator[Path]:
    if sys.platform != "linux" or not os.access("/dev/fuse", os.R_OK | os.W_OK) or os.geteuid() != 0:
        pytest.skip("needs /dev/fuse and the right to mount")
    point = tmp_path / "mount"
    point.mkdir()
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0".encode()
    if library.mount(b"user@host:/x", os.fsencode(point), b"fuse.sshfs", 0, options) != 0:
        os.close(descriptor)
        pytest.skip(f"cannot mount here: {os.strerror(ctypes.get_errno())}")
    server = threading.Thread(target=_serve_empty_folder, args=(descriptor,), daemon=True)
    server.start()
    try:
        yield point
    finally:
        library.umount2(os.fsencode(point), _MNT_DETACH)
        server.join(HANG_SECONDS)
        os.close(descriptor)


def test_a_real_fuse_mount_is_found_and_refused(fuse_mount: Path) -> None:
    assert network_type(fuse_mount) == "fuse.sshfs"
    with pytest.raises(StateUnavailableError, match=r"fuse\.sshfs.*state_dir"):
        DiskStore(fuse_mount / "state").refresh()
    assert network_type(fuse_mount.parent) is None


# Without a home directory


def homeless(fields: dict[str, str], log: str) -> tuple[list[str], list[str]]:
    """In a child process whose user is in no list of users: make requests; return what came, and the warnings."""
    import logging
    import pwd

    import litellm

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    setattr(pwd, "getpwuid", nobody)  # noqa: B010 - not what its annotation says
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "OPENCODE_CONFIG_DIR"):
        os.environ.pop(name, None)
    os.chdir(os.path.dirname(log))  # noqa: PTH120 - whatever is made by mistake is made here
    logging.getLogger("litellm_antigravity").addHandler(logging.FileHandler(log))
    litellm_antigravity.register(Settings(**fields))
    replies = []
    for model in ("antigravity/claude-sonnet-4-6", "antigravity/gemini-3-flash"):
        replies += [litellm.completion(model=model, messages=MESSAGES).choices[0].message.content for _ in range(2)]
    return replies, Path(log).read_text().splitlines()


@pytest.mark.skipif(os.name != "posix", reason="users and their home directories are POSIX's")
def test_without_a_home_directory_requests_are_served_and_one_warning_names_the_setting(
    antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    """Before, `register` failed with a bare `RuntimeError` of another package."""
    fields = fields_of(antigravity_simulator, tmp_path)
    del fields["state_dir"]
    (tmp_path / "work").mkdir()
    [(replies, warnings)] = together(homeless, [(fields, str(tmp_path / "work" / "log"))])
    assert [reply.startswith("Served by") for reply in replies] == [True] * 4
    (warning,) = warnings
    assert "no home directory" in warning
    assert "state_dir" in warning
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["log"]


@pytest.mark.skipif(os.name != "posix", reason="users and their home directories are POSIX's")
def test_without_a_home_directory_status_shows_what_there_is(
    antigravity_simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from litellm_antigravity.cli.status_facts import gather_status

    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name)
    fields = fields_of(antigravity_simulator, tmp_path)
    del fields["state_dir"]
    report = gather_status(settings=Settings(**fields))
    assert len(report.accounts) == 4
