"""Packages by apt-get and dpkg."""

import hashlib
import re

from commands import Changes, ask, must
from muster_plugin import ActionError

#: A Debian package, with an architecture or without.
NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{1,88}(:[a-z0-9-]{1,20})?")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+:~-]{0,89}")
PRESENT = ("installed", "triggers-awaited", "triggers-pending")
UPGRADE = re.compile(r"^Inst (\S+) \[[^\]]+\] \((\S+) (.+?)\)", re.MULTILINE)
#: A changed configuration file of the administrator's stays as it is.
UNATTENDED = ["-q", "-y", "-o", "DPkg::Options::=--force-confdef", "-o", "DPkg::Options::=--force-confold"]


class Apt:
    provider = "apt"
    family = "apt"

    def __init__(self, wait_seconds):
        self._changes = Changes()
        self._wait = wait_seconds

    def check(self, name, version=None):
        if not NAME.fullmatch(name):
            raise ActionError("%r is not the name of a Debian package" % name, statuscode=4)
        if version is not None and not VERSION.fullmatch(version):
            raise ActionError("%r is not the version of a Debian package" % version, statuscode=4)

    def status(self, name, call):
        fields = "${db:Status-Status}\t${Version}\t${Architecture}\n"
        told = ask(["dpkg-query", "--show", "--showformat", fields, "--", name], call)
        if told.exitcode != 0:
            return {"name": name, "ensure": "purged", "provider": self.provider}
        state, version, arch = told.text.splitlines()[0].split("\t")
        if state not in PRESENT:
            ensure = "purged" if state == "not-installed" else "absent"
            return {"name": name, "ensure": ensure, "provider": self.provider}
        epoch, rest = version.split(":", 1) if ":" in version else ("0", version)
        upstream, revision = rest.rsplit("-", 1) if "-" in rest else (rest, "")
        return {
            "name": name, "ensure": version, "provider": self.provider,
            "epoch": epoch, "version": upstream, "release": revision, "arch": arch,
        }  # fmt: skip

    def install(self, name, version, call):
        self._must_know(name, call)
        if version is None:
            return self._change(["install", *UNATTENDED, "--", name], call)
        return self._change(["install", *UNATTENDED, "--allow-downgrades", "--", "%s=%s" % (name, version)], call)

    def update(self, name, call):
        return self._change(["install", *UNATTENDED, "--only-upgrade", "--", name], call)

    def uninstall(self, name, call):
        return self._change(["remove", *UNATTENDED, "--", name], call)

    def purge(self, name, call):
        return self._change(["purge", *UNATTENDED, "--", name], call)

    def count(self, call):
        listed = must(ask(["dpkg", "--list"], call))
        return {"output": str(len(installed_lines(listed.text))), "exitcode": listed.exitcode}

    def md5(self, call):
        listed = must(ask(["dpkg", "--list"], call))
        digest = hashlib.md5("\n".join(installed_lines(listed.text)).encode()).hexdigest()
        return {"output": digest, "exitcode": listed.exitcode}

    def checkupdates(self, call):
        told = must(ask(["apt-get", "-q", "--simulate", "dist-upgrade"], call))
        outdated = [{"package": name, "version": version, "repo": repo} for name, version, repo in UPGRADE.findall(told.text)]
        return {"output": told.output, "exitcode": told.exitcode, "outdated_packages": outdated}

    def refresh(self, call):
        # Otherwise apt-get calls it a success when a repository could not be reached.
        return must(self._change(["update", "-q", "-o", "APT::Update::Error-Mode=any"], call))

    def _change(self, arguments, call):
        return self._changes.run(["apt-get", *arguments], call, self._wait, lambda outcome: "Could not get lock" in outcome.text)

    def _must_know(self, name, call):
        """apt-get takes a name that it does not know as a pattern, and one that ends in a minus as a wish to remove."""
        told = ask(["apt-cache", "policy", "--", name], call)
        if not {name + ":", name.split(":")[0] + ":"} & set(told.text.splitlines()):
            raise ActionError("apt knows no package %s; apt_update may be due" % name)


def installed_lines(listing):
    return [line for line in listing.splitlines() if line.startswith("ii")]
