"""The agent `package`: installs, updates, removes and counts packages, by the package manager that the machine has."""

import threading

from apt import Apt
from commands import is_there, must
from dnf import Dnf
from muster_plugin import ActionError, Agent

agent = Agent("package", version="1.0.0")

#: Each with the program that tells that it is there; the first one counts.
KNOWN = {"apt": "apt-get", "dnf": "dnf", "yum": "yum"}
#: Not supported; named so that nobody has to guess.
OTHERS = ("zypper", "apk", "pacman")
ABSENT = ("absent", "purged")


class Manager:
    """The package manager of this machine, found when it is first asked for."""

    def __init__(self):
        self._found = None
        # Calls come side by side, and all changes have to wait for one another.
        self._lock = threading.Lock()

    def get(self):
        with self._lock:
            if self._found is None:
                self._found = self._find()
            return self._found

    def of(self, family, program):
        """The package manager if it is of this family, for actions that only one has."""
        manager = self.get()
        if manager.family != family:
            raise ActionError("%s is not what this machine uses, it has %s" % (program, manager.provider))
        return manager

    def _find(self):
        wanted = agent.config.get("plugin.package.provider", "auto")
        wait_seconds = agent.config.get("plugin.package.lock_wait", 60_000) / 1000
        if wanted in ("auto", "puppet"):
            wanted = next((name for name, program in KNOWN.items() if is_there(program)), None)
        if wanted is None:
            other = next(filter(is_there, OTHERS), None)
            has = "%s, which is not supported" % other if other else "no package manager that is known"
            raise ActionError("this machine has %s; apt, dnf and yum are" % has)
        return Apt(wait_seconds) if wanted == "apt" else Dnf(wanted, wait_seconds)


manager = Manager()


def change(data, call, perform, refuse):
    """A change of one package and what it is afterwards; `refuse(status)` tells why there is nothing to do."""
    packages, name = manager.get(), data["package"]
    packages.check(name, data.get("version"))
    before = packages.status(name, call)
    reason = refuse(before)
    if reason is not None:
        raise ActionError("%s %s" % (name, reason), data=before)
    outcome = perform(packages, name)
    after = packages.status(name, call)
    must(outcome, after)
    return {**after, "output": outcome.output}


def when_absent(status):
    return "is not installed" if status["ensure"] in ABSENT else None


@agent.action
def install(data, call):
    version = data.get("version")

    def when_there(status):
        return "is already installed" if version is None and status["ensure"] not in ABSENT else None

    reply = change(data, call, lambda packages, name: packages.install(name, version, call), when_there)
    if reply["ensure"] in ABSENT:
        raise ActionError("%s was taken for the name of something else, no package is called so" % data["package"], data=reply)
    return reply


@agent.action
def update(data, call):
    return change(data, call, lambda packages, name: packages.update(name, call), when_absent)


@agent.action
def uninstall(data, call):
    return change(data, call, lambda packages, name: packages.uninstall(name, call), when_absent)


@agent.action
def purge(data, call):
    def when_purged(status):
        return "is not installed" if status["ensure"] == "purged" else None

    return change(data, call, lambda packages, name: packages.purge(name, call), when_purged)


@agent.action
def status(data, call):
    manager.get().check(data["package"])
    return manager.get().status(data["package"], call)


@agent.action
def count(data, call):
    return manager.get().count(call)


@agent.action
def md5(data, call):
    return manager.get().md5(call)


@agent.action
def checkupdates(data, call):
    packages = manager.get()
    return {**packages.checkupdates(call), "package_manager": packages.family}


@agent.action
def apt_checkupdates(data, call):
    return manager.of("apt", "apt").checkupdates(call)


@agent.action
def yum_checkupdates(data, call):
    return manager.of("yum", "yum").checkupdates(call)


@agent.action
def apt_update(data, call):
    outcome = manager.of("apt", "apt").refresh(call)
    return {"output": outcome.output, "exitcode": outcome.exitcode}


@agent.action
def yum_clean(data, call):
    packages = manager.of("yum", "yum")
    outcome = packages.clean(data.get("mode") or agent.config.get("plugin.package.yum_clean_mode", "all"), call)
    return {"output": outcome.output, "exitcode": outcome.exitcode}


agent.run()
