"""Which file system holds a folder: databases and locks need one whose every user is on this host.

SQLite's write-ahead log lives in memory that processes share, which no two hosts can, and many network file systems
take locks without keeping them (https://www.sqlite.org/wal.html, https://www.sqlite.org/howtocorrupt.html).
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path

from litellm_antigravity.errors import StateUnavailableError

_MOUNT_TABLE = Path("/proc/self/mountinfo")

_NETWORK = frozenset(
    {
        *("nfs", "nfs3", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afpfs", "webdav", "ncpfs", "9p", "afs", "coda"),
        *("lustre", "ceph", "glusterfs", "gpfs", "beegfs", "orangefs", "pvfs2", "ocfs2", "gfs2"),
        *("vboxsf", "prl_fs", "vmhgfs"),  # folders that a virtual machine shares with its host
    }
)
"""Types of the kernel's own network and cluster file systems."""

_NETWORK_FUSE = frozenset(
    {
        *("sshfs", "s3fs", "gcsfuse", "goofys", "geesefs", "rclone", "blobfuse", "blobfuse2", "mount-s3"),
        *("mountpoint-s3", "s3ql", "davfs", "davfs2", "curlftpfs", "smbnetfs", "glusterfs", "ceph", "ceph-fuse"),
        *("juicefs", "JuiceFS", "mfs", "moosefs", "lizardfs", "saunafs", "seaweedfs", "alluxio-fuse", "fuse_dfs"),
        *("gvfsd-fuse", "kio-fuse", "google-drive-ocamlfuse", "onedriver"),
        *("grpcfuse", "osxfs", "vmhgfs-fuse"),
    }
)
"""Subtypes of FUSE that speak to another host. Those that do not (ntfs-3g, bindfs, overlays, encryption) are as good
as the disk below them."""

_REMOTE_SOURCE = re.compile(r"[A-Za-z][\w+.-]*://|//[^/]|[^/\s]+:/")
"""What an unknown FUSE file system was mounted from: an address, ``//server/share`` or ``server:/path``."""

_DRIVE_REMOTE = 4  # of GetDriveTypeW


def refuse_network(directory: Path) -> None:
    """Refuse a folder on a network file system; it need not be there yet.

    Raises:
        StateUnavailableError: with the type, and what helps.
    """
    kind = network_type(directory)
    if kind is not None:
        msg = (
            f"the state folder {directory} is on a network file system ({kind}), where a database may break. Set "
            "state_dir to a folder on a disk of this host (state_dir_on_network: true uses this one all the same)"
        )
        raise StateUnavailableError(msg)


def network_type(path: Path) -> str | None:
    """Return the type of the network file system that holds ``path``; ``None`` for any other, or an unknown one."""
    try:
        if sys.platform == "win32":
            return "network drive" if _is_remote_drive(path) else None
        if sys.platform == "darwin":
            kind = _type_on_macos(path)
            return kind if kind in _NETWORK else None
        kind, source = _mount_of(os.path.realpath(path), _mount_table())
    except (OSError, ValueError, AttributeError):
        return None  # no way to know
    if kind in _NETWORK:
        return kind
    family, _, subtype = kind.partition(".")
    if family in ("fuse", "fuse3") and (subtype in _NETWORK_FUSE or _REMOTE_SOURCE.match(source)):
        return kind
    return None


def _mount_table() -> str:
    return _MOUNT_TABLE.read_text("utf-8", "surrogateescape")


def _mount_of(path: str, table: str) -> tuple[str, str]:
    """Return type and source of the mount that holds a path: proc(5), mountinfo; the last of the longest wins.

    Raises:
        ValueError: when the table has no such mount.
    """
    best, found = -1, None
    for line in table.splitlines():
        mount, _, rest = line.partition(" - ")
        fields, tail = mount.split(" "), rest.split(" ")
        if len(fields) < 5 or len(tail) < 2:
            continue
        point = _unescaped(fields[4])
        if len(point) >= best and (path == point or path.startswith(point.rstrip("/") + "/")):
            best, found = len(point), (tail[0], _unescaped(tail[1]))
    if found is None:
        msg = "no mount holds the path"
        raise ValueError(msg)
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _is_remote_drive(path: Path) -> bool:  # pragma: no cover - Windows only
    root = os.path.abspath(path)  # noqa: PTH100 - without following links, which may be broken
    drive = os.path.splitdrive(root)[0]
    return int(ctypes.windll.kernel32.GetDriveTypeW(drive + "\\")) == _DRIVE_REMOTE  # type: ignore[attr-defined]


def _type_on_macos(path: Path) -> str:  # pragma: no cover - macOS only
    """Return ``f_fstypename`` of statfs(2): sixteen bytes after nine numbers, see <sys/mount.h>."""
    while not path.exists() and path != path.parent:
        path = path.parent
    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "statfs$INODE64", None) or library.statfs
    buffer = ctypes.create_string_buffer(4096)
    if call(os.fsencode(path), buffer) != 0:
        raise OSError(ctypes.get_errno(), "statfs")
    return buffer.raw[72:88].split(b"\0")[0].decode("ascii", "replace")
