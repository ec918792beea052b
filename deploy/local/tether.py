"""Becomes another program that the kernel ends when the process that started it dies, by whatever death.

    python -I -S tether.py SIGNAL PARENT UID:GID|- PROGRAM [ARGUMENT...]

PROGRAM is a full path; SIGNAL is what the program gets when PARENT (a pid) ends. Only root may name another account. Run by path, without
site packages: it costs 15 ms and leaves no process of its own. The kernel watches the *thread* that started the child,
so a child must be started from a thread that lives as long as the child may.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    signal, parent, account, *command = sys.argv[1:]
    if account != "-":
        uid, gid = account.split(":")
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    # After the change of account, which would clear it.
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != int(parent):
        sys.exit("the parent ended before the child was tied to it")
    # By its full path: this account may not be able to read Python's library any more.
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
