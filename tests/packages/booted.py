"""A Debian system whose systemd runs, in namespaces of its own, without a container engine."""

import os
import subprocess
import time

START_LIMIT = 60

# What a container engine prepares before it starts an init system. The kernel's settings are
# read-only, so that this system does not change those of the machine.
PREPARE = r"""
set -e
root=$1
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
touch "$root/dev/console"
mount --bind "$2" "$root/dev/console"
# Not chroot, in which the service could not have a user namespace of its own.
cd "$root"
pivot_root . mnt
exec /usr/bin/env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    sh -c 'umount --lazy /mnt
        exec /lib/systemd/systemd --log-target=console systemd.unit=multi-user.target'
"""


class CannotBoot(Exception):
    """This machine does not let systemd start here."""


class Booted:
    """Boots the system in a folder. Ends it and everything in it at the end of the block."""

    def __init__(self, root, folder):
        self._console = folder / "console"
        self._console.touch()
        namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--cgroup", "--uts", "--ipc"]
        command = ["unshare", *namespaces, "sh", "-c", PREPARE, "boot", root, self._console]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def __enter__(self):
        try:
            self._wait_for_boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    def run(self, *command):
        """Runs a command in the booted system and returns its output. Fails if the command fails."""
        done = self._execute(*command)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout}\n{self._journal()}")
        return done.stdout

    def _execute(self, *command):
        enter = ["nsenter", "--target", str(self._init()), "--mount", "--pid", "--ipc", "--uts"]
        return subprocess.run(
            [*enter, *command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _init(self):
        """The process that is number 1 inside."""
        children = f"/proc/{self._process.pid}/task/{self._process.pid}/children"
        with open(children, encoding="ascii") as listed:
            found = listed.read().split()
        if not found:
            raise CannotBoot("the namespaces could not be made")
        return int(found[0])

    def _wait_for_boot(self):
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                reason = self._process.stderr.read().decode(errors="replace").strip()
                raise CannotBoot(reason or self._console.read_text(errors="replace")[-500:])
            try:
                state = self._execute("systemctl", "is-system-running").stdout.strip()
            except (CannotBoot, OSError):
                state = ""
            # Degraded: units of the bare system that need hardware or a network have failed.
            if state in ("running", "degraded"):
                return
            time.sleep(0.2)
        raise CannotBoot("systemd did not finish booting")

    def _journal(self):
        lines = ["journalctl", "--no-pager", "--lines=40", "--unit=aqueduct"]
        return self._execute(*lines).stdout


def listen_on(root, port):
    """Lets the service listen on a port that is free on this machine, whose network it shares."""
    folder = root / "etc/systemd/system/aqueduct.service.d"
    os.makedirs(folder)
    setting = f"AQUEDUCT_LISTEN=127.0.0.1:{port}"
    (folder / "test.conf").write_text(f"[Service]\nEnvironment={setting}\n")
