"""Locks this process down, then becomes another Python program; run as a script by `sandbox`.

    python -I -S -B confine.py REPORT_FD LIMITS PROGRAM

It is a file of its own, with nothing but the standard library, because it must run in a fresh
process: what it does cannot be undone, and a server with threads must not fork and go on in Python.
The layers, each on its own and all in the kernel:

    namespaces   users, network and System V IPC of its own, where the system allows
    Landlock     writes only below the working directory and to /dev/null, where there is Landlock
    limits       processor time, address space, size of a file, open files, processes, no core
    seccomp      no sockets, processes, signals to others, changes of a file's mode or owner,
                 shared memory that outlives the process, or administration

What was installed is written to REPORT_FD as JSON; an "error" there means that nothing was run.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct
import sys
from typing import NamedTuple

# fmt: off
CALLS = {  # name: number on x86_64, on aarch64; None: there is none
    "socket": (41, 198), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "clone3": (435, 435), "clone": (56, 220), "fork": (57, None),
    "vfork": (58, None), "kill": (62, 129), "tgkill": (234, 131), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440),
    "setrlimit": (160, 164), "prlimit64": (302, 261), "setpriority": (141, 140),
    "ioprio_set": (251, 30), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "chmod": (90, None), "fchmod": (91, 52),
    "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None), "fchown": (93, 55),
    "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "setxattrat": (463, 463), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466),
    "file_setattr": (469, 469), "truncate": (76, 45), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "setns": (308, 268), "unshare": (272, 97),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "move_mount": (429, 429), "open_tree": (428, 428), "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "sethostname": (170, 161),
    "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "acct": (163, 89), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "syslog": (103, 116), "iopl": (172, None), "ioperm": (173, None),
    "personality": (135, 92),
}
# fmt: on
UNKNOWN_FROM = 470
"""System calls that are younger than this list, and x86's second table, are not there at all."""

_IN_PART = ("clone", "kill", "tgkill", "prlimit64")
_AUDIT = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH_…
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF, linux/filter.h
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000  # linux/seccomp.h
_CLONE_THREAD, _NEW_USER, _NEW_NET, _NEW_IPC = 0x10000, 0x10000000, 0x40000000, 0x08000000
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # on every architecture
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_THREADS = 64
_OPEN_FILES = 64

Instruction = tuple[int, int, int, int]
"""Code, jumps if true and if false, operand."""

_libc = ctypes.CDLL(None, use_errno=True)


class Limits(NamedTuple):
    """What the program may take; sizes in bytes."""

    cpu_seconds: int
    memory_bytes: int
    file_bytes: int


class Refused(Exception):
    """Too little protection can be had on this system."""


def call_filter(machine: str, own_pid: int) -> list[Instruction]:
    """The seccomp filter as classic BPF over `struct seccomp_data`.

    Raises:
        Refused: the numbers of this architecture's system calls are not known.
    """
    if machine not in _AUDIT:
        raise Refused(f"the system calls of {machine} are not known")
    column, architecture = _AUDIT[machine]
    no, absent = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    program: list[Instruction] = [
        (_LOAD, 0, 0, 4),  # architecture
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # number of the call
        (_AT_LEAST, 0, 1, UNKNOWN_FROM),
        (_RETURN, 0, 0, absent),
    ]
    for name, numbers in CALLS.items():
        number = numbers[column]
        if number is None or name in _IN_PART:
            continue
        # The C library asks for clone3 first and takes "absent" as a reason to use clone.
        answer = absent if name == "clone3" else no
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, answer)]
    for name in _IN_PART:
        rule = _rule_in_part(name, own_pid)
        program += [(_EQUAL, 0, len(rule), CALLS[name][column] or 0), *rule]
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _rule_in_part(name: str, own_pid: int) -> list[Instruction]:
    allow, refuse = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    if name == "clone":  # threads only
        return [(_LOAD, 0, 0, 16), (_ANY_BIT, 0, 1, _CLONE_THREAD), allow, refuse]
    if name == "prlimit64":  # reading only: the third argument, both halves, is no address
        halves = [(_LOAD, 0, 0, 32), (_EQUAL, 0, 3, 0), (_LOAD, 0, 0, 36), (_EQUAL, 0, 1, 0)]
        return [*halves, allow, refuse]
    return [(_LOAD, 0, 0, 16), (_EQUAL, 0, 1, own_pid), allow, refuse]  # signals to itself


def confine(limits: Limits) -> dict[str, object]:
    """Install every layer that this system has, and say which.

    Raises:
        Refused: the network or new processes cannot be kept from the program.
    """
    import resource

    is_root = os.getuid() == 0  # in a namespace of its own nobody has a name
    own_namespaces = any(
        _libc.unshare(flags) == 0
        for flags in (_NEW_USER | _NEW_NET | _NEW_IPC, _NEW_USER | _NEW_NET)
    )
    _control(_PR_SET_PDEATHSIG, 9)
    if _control(_PR_SET_NO_NEW_PRIVS, 1) != 0:
        raise Refused("privileges cannot be given up (PR_SET_NO_NEW_PRIVS)")
    landlock = _landlock()
    filtered = _can_filter()
    if not filtered and not own_namespaces:
        raise Refused("the network can be shut neither by namespaces nor by seccomp")
    if not filtered and is_root:
        raise Refused("without seccomp nothing bounds the processes of root")
    for which, most in (
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_NPROC, _THREADS if filtered else 1),
        (resource.RLIMIT_CORE, 0),
    ):
        _lower(which, most)
    if filtered:
        _install(call_filter(os.uname().machine, os.getpid()))
    return {"namespaces": own_namespaces, "landlock": landlock, "seccomp": filtered}


def _lower(which: int, most: int) -> None:
    import resource

    hard = resource.getrlimit(which)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


def _control(option: int, value: int) -> int:
    return int(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def _landlock() -> int:
    """Nothing may be written but below the working directory; returns Landlock's version or 0.

    Bits are those of linux/landlock.h: what is handled is forbidden but where a rule allows it.
    """
    version = int(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1))
    if version < 1:
        return 0
    handled = 1 << 1 | sum(1 << bit for bit in range(4, 13))  # write; remove and make of all kinds
    handled |= (version >= 2) << 13 | (version >= 3) << 14 | (version >= 5) << 15
    attributes = ctypes.create_string_buffer(struct.pack("=Q", handled), 8)
    rules = int(_libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(8), 0))
    if rules < 0:
        return 0
    of_a_file = handled & (1 << 1 | 1 << 14 | 1 << 15)
    for path, allowed in ((".", handled), ("/dev/null", of_a_file)):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, place), 12)
        added = _libc.syscall(_LANDLOCK_ADD, rules, 1, rule, 0)
        os.close(place)
        if added != 0:
            return 0
    restricted = _libc.syscall(_LANDLOCK_RESTRICT, rules, 0)
    os.close(rules)
    return version if restricted == 0 else 0


def _can_filter() -> bool:
    """Whether this kernel takes filters: it then complains of the address, not of the request."""
    if os.uname().machine not in _AUDIT:
        return False
    _control(_PR_SET_SECCOMP, 2)
    return ctypes.get_errno() == errno.EFAULT


def _install(program: list[Instruction]) -> None:
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    held = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(program), ctypes.addressof(held))
    done = _libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(2), header, 0, 0)
    if done != 0:
        raise Refused(f"seccomp: {os.strerror(ctypes.get_errno())}")


def main(report_fd: int, limits: str, program: str) -> None:
    """Confine this process and become the program; on failure report and leave."""
    os.set_inheritable(report_fd, False)  # so the reader sees its end when the program starts
    try:
        installed = confine(Limits(*json.loads(limits)))
        os.write(report_fd, json.dumps(installed).encode())
        flags = ["-I", "-S", "-B", "-X", "utf8"]
        os.execv(sys.executable, [sys.executable, *flags, program])
    except (Refused, OSError, ValueError) as error:
        os.write(report_fd, json.dumps({"error": str(error)}).encode())
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
