"""How package managers are run: without a shell, without questions, and a change never ends half way."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time

from muster_plugin import ActionError

#: Characters of what a package manager tells that go into a reply: its end, where errors are.
MAX_OUTPUT = 256 * 1024
#: What of a plugin's environment a package manager is to see. Not TMPDIR: the user that apt drops to can't write there.
PASSED_ON = ("APT_CONFIG", "DPKG_ADMINDIR", "DPKG_ROOT", "http_proxy", "https_proxy", "no_proxy")
#: Maintainer scripts need these, and a plugin's PATH may lack them.
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def search_path():
    return "%s:%s" % (os.environ.get("PATH", ""), SYSTEM_FOLDERS)


def is_there(program):
    return shutil.which(program, path=search_path()) is not None


def environment():
    return {
        "PATH": search_path(),
        # What programs tell is parsed, so it has to be untranslated.
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "DEBIAN_PRIORITY": "critical",
        "HOME": pwd.getpwuid(os.getuid()).pw_dir,
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
    }


class Outcome:
    """How a command ended and what it said, as text."""

    def __init__(self, argv, exitcode, said, complained=b""):
        self.argv = argv
        self.exitcode = exitcode
        self.text = said.decode("utf-8", "replace")
        self._complaint = complained.decode("utf-8", "replace")

    @property
    def output(self):
        if len(self.text) <= MAX_OUTPUT:
            return self.text
        return "[%d characters left out]\n%s" % (len(self.text) - MAX_OUTPUT, self.text[-MAX_OUTPUT:])

    def reason(self):
        """The line that tells best why it failed."""
        lines = [line.strip() for line in (self._complaint or self.text).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith(("E:", "Error"))]
        return (errors or lines or ["it said nothing"])[-1]


def ask(argv, call):
    """Runs a command that changes nothing; it ends with the call."""
    try:
        ended = subprocess.run(
            argv, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=call.remaining()
        )  # fmt: skip
    except FileNotFoundError:
        raise ActionError("%s was not found on this machine" % argv[0]) from None
    except subprocess.TimeoutExpired:
        raise ActionError("%s did not end in time" % " ".join(argv)) from None
    return Outcome(argv, ended.returncode, ended.stdout, ended.stderr)


def must(outcome, data=None):
    """The outcome if the command succeeded. Raises ActionError with its reason otherwise."""
    if outcome.exitcode == 0:
        return outcome
    said = "%s failed with exit code %d: %s" % (" ".join(outcome.argv), outcome.exitcode, outcome.reason())
    raise ActionError(said, data={**(data or {}), "output": outcome.output, "exitcode": outcome.exitcode})


class Changes:
    """One change at a time, also when other programs change packages."""

    def __init__(self):
        self._lock = threading.Lock()
        self._running = None

    def run(self, argv, call, wait_seconds, is_locked):
        """Runs a command that changes packages; waits as long as told when others do, which `is_locked(outcome)` tells."""
        until = time.monotonic() + wait_seconds
        with self._turn(" ".join(argv), call, until):
            while True:
                outcome = to_the_end(argv)
                if not is_locked(outcome):
                    return outcome
                if time.monotonic() >= until:
                    raise ActionError("another program changes packages, waited for %d s: %s" % (wait_seconds, outcome.reason()))
                call.sleep(0.5)

    @contextlib.contextmanager
    def _turn(self, what, call, until):
        while not self._lock.acquire(timeout=0.1):
            call.check()
            if time.monotonic() >= until:
                raise ActionError("another change still runs: %s; try again later" % self._running)
        self._running = what
        try:
            call.check()
            yield
        finally:
            self._running = None
            self._lock.release()


def to_the_end(argv):
    """A package manager that is stopped in the middle leaves broken packages behind. So this one outlives its caller's
    patience, and, in a session of its own and with a file for its output, even this process."""
    with tempfile.TemporaryFile() as said:
        try:
            child = subprocess.Popen(
                argv, env=environment(), cwd="/", stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )
        except FileNotFoundError:
            raise ActionError("%s was not found on this machine" % argv[0]) from None
        exitcode = child.wait()
        said.seek(0)
        return Outcome(argv, exitcode, said.read())
