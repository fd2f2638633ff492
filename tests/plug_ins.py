#!/usr/bin/env python3
"""Finds what a static program has of libc that loads plug-ins: plug_ins.py PROGRAM...

Users and hosts are looked up by libraries that glibc opens as the program runs, which a static one cannot, or has of another
version. What the sources call is layering.py's to see; this sees what libraries brought along."""

import re
import subprocess
import sys

# The functions that every lookup of names goes through. dlopen alone is no sign: libfuse and OpenSSL have calls of it that
# nobody makes.
PLUG_INS = re.compile(r"\b[tTW] (__nss_\w*(?:lookup|database)\w*|getaddrinfo|get(?:pw|gr)(?:nam|uid|gid|ent)(?:_r)?|"
                      r"gethostby\w+|getgrouplist|initgroups)$",
                      re.M)


def main(programs):
    if not programs:
        print(__doc__, file=sys.stderr)
        return 2
    code = 0
    for program in programs:
        symbols = subprocess.run(["nm", program], check=True, capture_output=True, text=True).stdout
        if not re.search(r"\bT main$", symbols, re.M):
            print(f"{program}: has no symbols to tell", file=sys.stderr)
            code = 1
        for name in PLUG_INS.findall(symbols):
            print(f"{program}: has {name}, which loads plug-ins", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
