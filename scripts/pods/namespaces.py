"""Namespaces of this machine for one run: everything that is mounted, linked and started goes when it ends."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

MARK = "FATHOM_SCRATCH"
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]


def enter(name):
    """Runs this program again in namespaces of its own, and returns a folder for its files there. Ends with status 0, and
    says so, where the system does not allow it."""
    if os.environ.get(MARK):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return pathlib.Path(os.environ[MARK])
    for program in ("unshare", "nsenter", "setpriv", "ip"):
        if shutil.which(program) is None:
            print(f"{name}: skipped: there is no {program}; run scripts/install-packages.sh")
            sys.exit(0)
    trial = subprocess.run([*UNSHARE, "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    if trial.returncode != 0:
        print(f"{name}: skipped: needs to be root, with CAP_NET_ADMIN and CAP_SYS_ADMIN: {trial.stderr.strip()}")
        sys.exit(0)
    scratch = tempfile.mkdtemp(prefix="fathom-pods-")
    try:
        status = subprocess.run([*UNSHARE, sys.executable, *sys.argv], env={**os.environ, MARK: scratch}).returncode
    finally:
        # Out here nothing is mounted below it; were it otherwise, this would delete what is mounted.
        if not any(f" {scratch}/" in line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()):
            shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(status)
