#!/usr/bin/env python3
"""Relative links in the Markdown files lead somewhere; prints each that does not and fails."""
import pathlib, re, subprocess, sys

names = subprocess.run(["git", "ls-files", "*.md"], capture_output=True, text=True, check=True).stdout.split("\n")
broken = []
for name in filter(None, names):
    page = pathlib.Path(name)
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path = target.split("#")[0]
        if path and not re.match(r"[a-z]+:", target) and not (page.parent / path).exists():
            broken.append(f"{name}: {target}")
print("\n".join(broken) or "all relative links lead somewhere")
sys.exit(bool(broken))
