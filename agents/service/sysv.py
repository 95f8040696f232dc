"""Services with an init script, as the Linux Standard Base describes them."""

import os

from commands import last_line, run
from muster_plugin import ActionError

#: What `status` exits with. 1 and 2: it died and left a file behind; 3: it does not run; from 4 on it is not known.
RUNS = 0
STOPPED = (1, 2, 3)


class SysV:
    def __init__(self, folder):
        self._folder = folder

    def status(self, name, call):
        exitcode, _ = run([self._script(name), "status"], call)
        return "running" if exitcode == RUNS else "stopped" if exitcode in STOPPED else "unknown"

    def change(self, name, verb, call):
        """What went wrong, or None."""
        exitcode, said = run([self._script(name), verb], call)
        return None if exitcode == 0 else "its init script ended with %d: %s" % (exitcode, last_line(said))

    def _script(self, name):
        path = os.path.join(self._folder, name)
        if not (os.path.isfile(path) and os.access(path, os.X_OK)):
            raise ActionError("there is no service %s on this machine" % name)
        return path
