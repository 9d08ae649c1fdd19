"""The inside of the sandbox; a script that sandbox.py starts as `python -I` with no environment. Standard library only.

Three processes: this one, which leaves our namespaces; the first process of the new ones, which builds a root of its
own out of read-only system folders and an empty one in memory, and whose end ends all others; and the program's. What
that may do is bounded before it begins: rlimits, no new privileges, a seccomp filter. As root each program has a user
id of its own; else a user namespace, in which it is who started it, without any right beyond.
"""

import ctypes
import json
import os
import platform
import random
import resource
import signal
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
DETACH = 2
SET_PDEATHSIG, SET_DUMPABLE, SET_SECCOMP, SET_NO_NEW_PRIVS = 1, 4, 22, 38
NOBODY = 65534
SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")

# Numbers of system calls: unistd_64.h, and asm-generic/unistd.h for aarch64. Refused: what no answer to an exercise
# needs and what attacks on a kernel begin with.
CALLS = {
    "x86_64": {
        "audit": 0xC000003E,
        "pivot_root": 155,
        "clone": 56,
        "clone3": 435,
        "refused": {
            "socket": 41,
            "ptrace": 101,
            "mount": 165,
            "umount2": 166,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "unshare": 272,
            "perf_event_open": 298,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "bpf": 321,
            "userfaultfd": 323,
            "io_uring_setup": 425,
        },
    },
    "aarch64": {
        "audit": 0xC00000B7,
        "pivot_root": 41,
        "clone": 220,
        "clone3": 435,
        "refused": {
            "socket": 198,
            "ptrace": 117,
            "mount": 40,
            "umount2": 39,
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
            "unshare": 97,
            "perf_event_open": 241,
            "setns": 268,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "bpf": 280,
            "userfaultfd": 282,
            "io_uring_setup": 425,
        },
    },
}

# In the program's own process. A SystemExit before its end is a failure like any other.
RUNNER = """
import json, os, sys
given = json.loads(sys.stdin.buffer.read())
null = os.open("/dev/null", os.O_RDONLY)
os.dup2(null, 0)
os.close(null)
me = os.getpid()
def told(text):
    if os.getpid() == me:  # a fork of it comes here as well
        os.write(given["report"], text.encode("utf-8", "replace")[:1000])
    os._exit(0)
try:
    exec(compile(given["program"], "answer.py", "exec"), {})
except BaseException as error:
    told(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
told(given["token"])
"""


def checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source, target, kind, flags: int, options: str = "") -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    checked(libc.mount(*texts, flags, options.encode()), f"mount {target}")


def main() -> None:
    given = json.loads(sys.stdin.buffer.read())
    report = given["report"]
    libc.prctl(SET_PDEATHSIG, signal.SIGKILL)
    try:
        if platform.machine() not in CALLS:
            raise OSError(f"it knows {', '.join(CALLS)}, and this is {platform.machine()}")
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        apart()
        first = os.fork()
    except OSError as error:
        ended(report, f"{error.strerror or error}")
    if first:
        os.close(report)
        os.waitpid(first, 0)
        os._exit(0)
    try:
        root_made(given)
        nobody()
        libc.prctl(SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(SET_DUMPABLE, 0)
        filter_made = seccomp_filter()
        os.write(report, b"started\n")
        program = os.fork()
    except OSError as error:
        ended(report, f"{error.strerror or error}")
    if program == 0:
        try:
            program_begin(given, filter_made)
        except OSError as error:
            ended(report, f"{error.strerror or error}")
    os.close(report)
    while os.wait()[0] != program:
        pass
    os._exit(0)  # the end of a namespace's first process is the end of all


def ended(report: int, why: str) -> None:
    os.write(report, why.encode())
    os._exit(1)


def apart() -> None:
    """Leave our namespaces; as root directly, else through a user namespace."""
    flags = NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET
    user, group = os.getuid(), os.getgid()
    if user == 0:
        checked(libc.unshare(flags), "unshare")
        return
    checked(libc.unshare(flags | NEWUSER), "unshare (unprivileged user namespaces may be switched off)")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def root_made(given: dict) -> None:
    """A root of read-only system folders, three devices and an empty /tmp; nothing else of the machine is in reach."""
    root = given["root"]
    mount(None, "/", None, REC | PRIVATE)
    mount("tmpfs", root, "tmpfs", NOSUID | NODEV, "size=1m,nr_inodes=4k,mode=755")
    os.umask(0o022)
    for folder in dict.fromkeys([*SYSTEM, *map(os.path.realpath, given["folders"])]):
        there = root + folder
        if os.path.islink(folder):
            os.symlink(os.readlink(folder), there)
        elif os.path.isdir(folder) and not os.path.isdir(there):
            os.makedirs(there)
            mount(folder, there, None, BIND | REC)
            # a mount that another user namespace has made keeps what it forbids
            kept = os.statvfs(folder).f_flag & (NOSUID | NODEV | NOEXEC | 1024 | 2048)
            mount(None, there, None, REMOUNT | BIND | RDONLY | NOSUID | NODEV | kept)
    for file in (*DEVICES, "/etc/ld.so.cache"):
        if os.path.exists(file):
            os.makedirs(os.path.dirname(root + file), exist_ok=True)
            os.close(os.open(root + file, os.O_CREAT | os.O_WRONLY))
            mount(file, root + file, None, BIND)
    os.mkdir(root + "/tmp")
    mount("tmpfs", root + "/tmp", "tmpfs", NOSUID | NODEV | NOEXEC, f"size={given['disk']},nr_inodes=1k,mode=1777")
    mount(None, root, None, REMOUNT | BIND | RDONLY | NOSUID | NODEV)
    os.chdir(root)
    checked(libc.syscall(CALLS[platform.machine()]["pivot_root"], b".", b"."), "pivot_root")
    checked(libc.umount2(b".", DETACH), "umount")
    os.chdir("/tmp")


def nobody() -> None:
    """As root: a user id that nothing else has, so that its processes can be counted."""
    if os.getuid() != 0:
        return
    os.setgroups([])
    user = random.SystemRandom().randrange(1_500_000_000, 2_000_000_000)
    try:
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:  # in a container that knows few numbers
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def program_begin(given: dict, filter_made) -> None:
    """Become the program, within its limits."""
    seconds = int(given["seconds"]) + 1
    for name, soft in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, given["memory"]),
        (resource.RLIMIT_FSIZE, given["disk"]),
        (resource.RLIMIT_NPROC, given["processes"]),
        (resource.RLIMIT_NOFILE, given["files"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        resource.setrlimit(name, (soft, soft))
    memory = os.memfd_create("program")
    os.write(memory, json.dumps({name: given[name] for name in ("program", "token", "report")}).encode())
    os.lseek(memory, 0, os.SEEK_SET)
    os.dup2(memory, 0)
    os.close(memory)
    checked(libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    checked(libc.prctl(SET_SECCOMP, 2, ctypes.byref(filter_made[0]), 0, 0), "seccomp")
    os.execve(given["python"], [given["python"], "-I", "-c", RUNNER], {})


class Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def seccomp_filter() -> tuple:
    """(struct sock_fprog, its memory): EPERM for the calls refused and for clone into a user namespace, ENOSYS for
    clone3 (glibc then takes clone), an end for calls of another architecture."""
    calls = CALLS[platform.machine()]
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, errno, kill = 0x7FFF0000, 0x00050000, 0x80000000
    code = [(load, 0, 0, 4), (equal, 1, 0, calls["audit"]), (give, 0, 0, kill), (load, 0, 0, 0)]
    code += [(at_least, 0, 1, 0x40000000), (give, 0, 0, kill)]  # x32
    for number in calls["refused"].values():
        code += [(equal, 0, 1, number), (give, 0, 0, errno | 1)]
    code += [(equal, 0, 1, calls["clone3"]), (give, 0, 0, errno | 38)]
    code += [(equal, 0, 3, calls["clone"]), (load, 0, 0, 16), (any_bit, 0, 1, NEWUSER), (give, 0, 0, errno | 1)]
    code += [(give, 0, 0, allow)]
    packed = b"".join(struct.pack("=HBBI", *one) for one in code)
    memory = ctypes.create_string_buffer(packed, len(packed))
    return Program(len(code), ctypes.cast(memory, ctypes.c_void_p)), memory


if __name__ == "__main__":
    main()
