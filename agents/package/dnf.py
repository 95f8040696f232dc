"""Packages by dnf, or by yum where that is older, and rpm."""

import hashlib
import re

from commands import Changes, ask, must
from muster_plugin import ActionError

#: A package, with an architecture or without. Not a file, group, capability or pattern, which dnf takes as well.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,89}")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.+:~^-]{0,89}")
FIELDS = "%{EPOCHNUM}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\n"
#: What dnf and yum exit with when another one runs and they were told not to wait.
LOCKED = 200
UPDATES = 100


class Dnf:
    #: Scripts of Choria's users look for this word, also where yum is dnf.
    family = "yum"

    def __init__(self, provider, wait_seconds):
        self.provider = provider
        self._changes = Changes()
        self._wait = wait_seconds

    def check(self, name, version=None):
        if not NAME.fullmatch(name):
            raise ActionError("%r is not the name of an RPM package" % name, statuscode=4)
        if version is not None and not VERSION.fullmatch(version):
            raise ActionError("%r is not the version of an RPM package" % version, statuscode=4)

    def status(self, name, call):
        told = ask(["rpm", "-q", "--qf", FIELDS, "--", name], call)
        if told.exitcode != 0:
            return {"name": name, "ensure": "purged", "provider": self.provider}
        # Of a kernel there are several versions; the last one listed is the newest.
        epoch, version, release, arch = told.text.splitlines()[-1].split("\t")
        ensure = "%s-%s" % (version, release) if epoch == "0" else "%s:%s-%s" % (epoch, version, release)
        return {
            "name": name, "ensure": ensure, "provider": self.provider,
            "epoch": epoch, "version": version, "release": release, "arch": arch,
        }  # fmt: skip

    def install(self, name, version, call):
        if version is None:
            return self._change(["install", name], call)
        wanted = "%s-%s" % (name, version)
        installed = self._change(["install", wanted], call)
        # install never goes back to an older version.
        return installed if self._has(wanted, call) else self._change(["downgrade", wanted], call)

    def update(self, name, call):
        return self._change(["upgrade" if self.provider == "dnf" else "update", name], call)

    def uninstall(self, name, call):
        return self._change(["remove", name], call)

    #: RPM has no configuration that stays behind to be purged.
    purge = uninstall

    def count(self, call):
        listed = must(ask(["rpm", "-qa"], call))
        return {"output": str(len(listed.text.split())), "exitcode": listed.exitcode}

    def md5(self, call):
        listed = must(ask(["rpm", "-qa"], call))
        return {"output": hashlib.md5(listed.text.encode()).hexdigest(), "exitcode": listed.exitcode}

    def checkupdates(self, call):
        told = ask([self.provider, "-q", "check-update"], call)
        if told.exitcode not in (0, UPDATES):
            must(told)
        return {"output": told.output, "exitcode": told.exitcode, "outdated_packages": read_updates(told.text)}

    def clean(self, mode, call):
        return must(self._change(["clean", mode], call))

    def _has(self, package, call):
        return ask(["rpm", "-q", "--", package], call).exitcode == 0

    def _change(self, arguments, call):
        argv = [self.provider, "-y", "--setopt=exit_on_lock=True", *arguments]
        return self._changes.run(argv, call, self._wait, lambda outcome: outcome.exitcode == LOCKED)


def read_updates(text):
    """Lines of package, version and repository, up to the packages that others make superfluous."""
    updates = []
    for line in text.splitlines():
        if line.startswith("Obsoleting Packages"):
            break
        parts = line.split()
        if len(parts) == 3:
            updates.append({"package": parts[0], "version": parts[1], "repo": parts[2]})
    return updates
