# SPDX-License-Identifier: Apache-2.0
"""The part of the dependency audit that needs cargo and its registry only: sources, checksums, licences, yanked versions.

Reads the same rules as cargo-deny, from .deny.toml. Exit code 1 with one line for each fault.
"""

import json
import re
import subprocess
import sys
import tomllib


def licence_allowed(expression: str, allowed: set[str]) -> bool:
    """Is an SPDX expression (or its old form with `/`) satisfied by allowed licences alone?"""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    python, skip = [], False
    for word in words:
        if skip:  # the exception behind WITH is part of the licence before it
            skip = False
            continue
        if word in "()":
            python.append(word)
        elif word.upper() in ("OR", "AND"):
            python.append(word.lower())
        elif word == "WITH":
            skip = True
        else:
            python.append(str(word in allowed))
    return bool(eval(" ".join(python), {"__builtins__": {}}))  # only True, False, and, or and brackets


def locked_sources(rules: dict) -> list[str]:
    """Faults in Cargo.lock: every package from an allowed registry, with its checksum."""
    with open("Cargo.lock", "rb") as file:
        packages = tomllib.load(file)["package"]
    allowed = {"registry+" + registry for registry in rules["sources"]["allow-registry"]}
    faults = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        if "source" not in package:
            continue  # a member of the workspace
        if package["source"] not in allowed:
            faults.append(f"{name}: comes from {package['source']}")
        elif "checksum" not in package:
            faults.append(f"{name}: has no checksum")
    print(f"{len(packages)} locked packages")
    return faults


def licences(rules: dict) -> list[str]:
    """Packages whose licence is not allowed."""
    command = ["cargo", "metadata", "--locked", "--format-version=1"]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    allowed = set(rules["licenses"]["allow"])
    return [
        f"{package['name']} {package['version']}: licence {package['license']!r} is not allowed in .deny.toml"
        for package in metadata["packages"]
        if package["source"] and not licence_allowed(package["license"] or "none", allowed)
    ]


def yanked() -> list[str]:
    """Locked versions that the registry took back: resolving anew goes down from them."""
    fresh = subprocess.run(["cargo", "update", "--dry-run"], capture_output=True, text=True)
    if fresh.returncode != 0:
        print("the registry's index cannot be read: yanked versions are NOT checked in this run")
        return []
    lines = [line.strip() for line in fresh.stderr.splitlines()]
    newer = [line for line in lines if line.startswith("Updating") and " -> " in line]
    print(f"{len(newer)} locked packages have a newer compatible version")
    return [f"{line} (the locked version was yanked)" for line in lines if line.startswith("Downgrading")]


def main() -> int:
    with open(".deny.toml", "rb") as file:
        rules = tomllib.load(file)
    faults = locked_sources(rules) + licences(rules) + yanked()
    for fault in faults:
        print("fault:", fault)
    state = "FAILED" if faults else "ok"
    print(f"audit: {state} for sources, checksums, licences and yanked versions")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
