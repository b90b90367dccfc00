#!/usr/bin/env python3
"""Every dependency is under a licence that docs/DESIGN.md, section 10, allows; prints each that is not and fails."""
import json, re, subprocess, sys

ALLOWED = {"MIT", "MIT-0", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-1-Clause", "ISC", "Zlib", "CC0-1.0",
           "Unicode-3.0", "Unlicense", "0BSD", "BSL-1.0"}


def allowed(expression):
    """Whether an SPDX expression can be met with allowed licences: some alternative of OR has only allowed parts."""
    alternatives = re.split(r"\s+OR\s+|/", expression.replace("(", " ").replace(")", " "))
    return any(all(part.split(" WITH ")[0].strip() in ALLOWED for part in alternative.split(" AND "))
               for alternative in alternatives)


metadata = json.loads(subprocess.run(["cargo", "metadata", "--locked", "--format-version", "1"],
                                     capture_output=True, text=True, check=True).stdout)
bad = [f"{p['name']} {p['version']}: {p['license']}" for p in metadata["packages"] if not allowed(p["license"] or "")]
print("\n".join(bad) or f"{len(metadata['packages'])} packages, all under allowed licences")
sys.exit(bool(bad))
