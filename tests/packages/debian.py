"""A bare Debian system in a folder."""

import os
import shutil
import subprocess

# Debian's smallest set of packages, and what an ordinary server has besides: systemd, and adduser,
# which the package depends on.
INCLUDE = "adduser,ca-certificates,systemd"

# Files that change whenever a package is installed or a program runs.
VOLATILE = ("dev", "proc", "run", "sys", "tmp", "var/cache", "var/lib/dpkg", "var/log")
BACKUPS = ("etc/group-", "etc/gshadow-", "etc/passwd-", "etc/shadow-", "etc/subgid-", "etc/subuid-")


def bootstrap(folder):
    """Downloads the system that this machine runs, if the folder does not have it yet."""
    finished = folder / "finished"
    if finished.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = ["debootstrap", "--variant=minbase", f"--include={INCLUDE}", suite(), folder / "root"]
    print("    downloading a bare Debian system", flush=True)
    with (folder / "log").open("w") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
    finished.touch()


def suite():
    with open("/etc/os-release", encoding="utf-8") as release:
        values = dict(line.rstrip().split("=", 1) for line in release if "=" in line)
    return values["VERSION_CODENAME"].strip('"')


class Debian:
    """A copy of the downloaded system, without a service manager that runs."""

    def __init__(self, cache, root):
        self.root = root
        subprocess.run(["cp", "--archive", "--reflink=auto", cache / "root", root], check=True)
        mount = ["mount", "-t", "proc", "proc", root / "proc"]
        subprocess.run(mount, check=True)

    def unmount(self):
        subprocess.run(["umount", self.root / "proc"], check=True)

    def path(self, *parts):
        return self.root.joinpath(*parts)

    def run(self, *command, user=None):
        """Runs a command in the system and returns what it printed. Fails if the command fails."""
        userspec = [f"--userspec={user}:{user}"] if user else []
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBIAN_FRONTEND": "noninteractive",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            ["chroot", *userspec, self.root, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}")
        return done.stdout

    def install(self, package):
        shutil.copy2(package, self.path("tmp", package.name))
        self.run("dpkg", "--install", f"/tmp/{package.name}")

    def user(self, name):
        return int(self.run("id", "--user", name))

    def files(self):
        found = set()
        for folder, names, files in os.walk(self.root):
            inside = os.path.relpath(folder, self.root)
            if inside in VOLATILE:
                names.clear()
                continue
            found.update(os.path.normpath(os.path.join(inside, name)) for name in files + names)
        return found - set(VOLATILE) - set(BACKUPS)
