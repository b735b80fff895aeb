"""Runs a command under the system-call filter and the address families that a systemd unit allows it, without systemd.

python -m tests.deploy.confined deploy/systemd/shiftwatch.service COMMAND …
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

SCMP_ACT_ALLOW = 0x7FFF0000
SCMP_CMP_EQ = 4
FAMILIES = 46
"""Address families that Linux numbers."""


def scmp_act_errno(number: int) -> int:
    """libseccomp's action that refuses a call with an error."""
    return 0x00050000 | number


class ScmpArg(ctypes.Structure):
    """`struct scmp_arg_cmp`: an argument of a call, compared with a value."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("datum_a", ctypes.c_uint64), ("datum_b", ctypes.c_uint64))


def values(unit: Path, key: str) -> list[str]:
    """All values of a setting, in the order in which they stand in the unit."""
    return re.findall(rf"^{key}=(.*)$", unit.read_text(encoding="utf-8"), flags=re.MULTILINE)


def calls(names: list[str]) -> set[str]:
    """System calls behind names and groups, as this systemd knows them."""
    found: set[str] = set()
    for name in names:
        if not name.startswith("@"):
            found.add(name)
            continue
        listed = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
        entries = [line.strip() for line in listed.stdout.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
        found |= calls(entries)
    return found


def allowed_calls(unit: Path) -> set[str]:
    """What SystemCallFilter= leaves: the first line says what is allowed, those with a tilde take away."""
    allowed: set[str] = set()
    for value in values(unit, "SystemCallFilter"):
        if value.startswith("~"):
            allowed -= calls(value[1:].split())
        else:
            allowed |= calls(value.split())
    return allowed | {"execve", "exit", "exit_group", "rt_sigreturn"}  # systemd's @default, which no filter takes away


def confine(unit: Path) -> None:
    """Confines this process and all that it starts. Raises OSError."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
    context = ctypes.c_void_p(library.seccomp_init(scmp_act_errno(errno.EPERM)))
    allowed = allowed_calls(unit)
    families = {int(getattr(socket, name)) for name in " ".join(values(unit, "RestrictAddressFamilies")).split()}
    for name in sorted(allowed - {"socket"}):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # others are those of other architectures
            library.seccomp_rule_add_array(context, SCMP_ACT_ALLOW, number, 0, None)
    for family in range(FAMILIES):
        action = SCMP_ACT_ALLOW if family in families else scmp_act_errno(errno.EAFNOSUPPORT)
        compared = ScmpArg(0, SCMP_CMP_EQ, family, 0)
        library.seccomp_rule_add_array(context, action, library.seccomp_syscall_resolve_name(b"socket"), 1, ctypes.byref(compared))
    code = library.seccomp_load(context)
    if code != 0:
        raise OSError(-code, f"seccomp_load: {os.strerror(-code)}")


if __name__ == "__main__":
    confine(Path(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
