#!/usr/bin/env python3
"""Fails when an #include, or a call, breaks the layering of the tree.

    layering.py ROOT          checks the tree at ROOT
    layering.py --self-test   shows that each rule can fail

    layerdb/base <- layerdb <- fs <- tools
    layerdb/base <- runtime       <- tools
    tests and bench may include anything; of the rest only unit tests
    (*_test.cc) may include tests/harness

One home for each foreign interface: RocksDB in layerdb/catalog.cc, OpenSSL in
layerdb/digest.cc, libfuse in fs/fuse_adapter* and fs/session*.cc, CLI11 in
tools/argument_parser.cc. Project headers are included from the root of the
repository, in quotes, and must exist.

Nobody calls what libc does by plug-ins: the programs are static, where it works,
fails or crashes as the host has it, and the linker's warnings are switched off.
"""

import os
import re
import sys
import tempfile

# Folder -> the prefixes its files may include. The longest folder that
# matches a file decides.
MAY_INCLUDE = {
    "layerdb/base": ["layerdb/base/"],
    "layerdb": ["layerdb/"],
    "fs": ["fs/", "layerdb/"],
    "runtime": ["runtime/", "layerdb/base/"],
    "tools": ["tools/", "fs/", "runtime/", "layerdb/"],
    "tests": ["tests/", "tools/", "fs/", "runtime/", "layerdb/"],
    "bench": ["bench/", "tests/", "tools/", "fs/", "runtime/", "layerdb/"],
}
HARNESS = "tests/harness/"

ROCKSDB = re.compile(r"rocksdb/")
ROCKSDB_HOME = re.compile(r"layerdb/catalog\.cc$")
OPENSSL = re.compile(r"openssl/")
OPENSSL_HOME = re.compile(r"layerdb/digest\.cc$")
XXHASH = re.compile(r"xxhash\.h$")
# In layerdb; the tree files hash names where they look them up.
XXHASH_HOME = re.compile(r"layerdb/(digest\.cc|tree_\w+\.(h|cc))$")
# libfuse's own headers; <linux/fuse.h> is the kernel's and free to use.
LIBFUSE = re.compile(r"(fuse3/|(fuse|fuse_lowlevel|fuse_common|fuse_opt|fuse_log|cuse_lowlevel)\.h$)")
LIBFUSE_HOME = re.compile(r"fs/(fuse_adapter\w*\.(cc|h)|session\w*\.cc)$")
CLI11 = re.compile(r"CLI/")
CLI11_HOME = re.compile(r"tools/argument_parser\.cc$")

# Not "getpwuid(3)", which is the manual's page.
PLUG_INS = re.compile(r"\b((?:get|set|end)(?:pw|gr|sp|net|proto|serv|host)(?:ent|nam|[ug]id|by\w+)(?:_r)?|"
                      r"getaddrinfo|getnameinfo|getgrouplist|initgroups|iconv_open|dlopen)\s*\((?!\d\))")
INCLUDE = re.compile(r'^\s*#\s*(?:include|include_next|import)\s*([<"])([^">]+)[">]', re.M)
SOURCES = (".cc", ".h", ".cpp", ".hpp", ".c", ".inc")


def folder_of(path):
    known = [f for f in MAY_INCLUDE if path.startswith(f + "/")]
    return max(known, key=len) if known else None


def problems_of(root, path, text):
    """Yields a message for each include of `path` that breaks a rule."""
    folder = folder_of(path)
    foreign_allowed = folder in ("tests", "bench")
    if not foreign_allowed and not path.endswith("_test.cc"):
        for call in PLUG_INS.findall(text):
            yield f"{path}: calls {call}, which a static program cannot"
    for quote, target in INCLUDE.findall(text):
        if ROCKSDB.match(target) and not foreign_allowed and not ROCKSDB_HOME.match(path):
            yield f"{path}: includes {target}; RocksDB belongs in layerdb/catalog.cc"
        if OPENSSL.match(target) and not foreign_allowed and not OPENSSL_HOME.match(path):
            yield f"{path}: includes {target}; OpenSSL belongs in layerdb/digest.cc"
        if XXHASH.match(target) and folder.startswith("layerdb") and not XXHASH_HOME.match(path):
            yield f"{path}: includes {target}; in layerdb xxHash belongs in digest.cc and tree_*"
        if LIBFUSE.match(target) and not foreign_allowed and not LIBFUSE_HOME.match(path):
            yield f"{path}: includes {target}; libfuse belongs in fs/fuse_adapter* and fs/session*.cc"
        if CLI11.match(target) and not CLI11_HOME.match(path):
            yield f"{path}: includes {target}; CLI11 belongs in tools/argument_parser.cc"
        ours = target.split("/")[0] in {f.split("/")[0] for f in MAY_INCLUDE}
        if quote == "<":
            if ours and os.path.exists(os.path.join(root, target)):
                yield f"{path}: includes <{target}>; the project's own headers go in quotes"
            continue
        if not os.path.isfile(os.path.join(root, target)) or ".." in target.split("/"):
            yield f'{path}: includes "{target}", which is no file seen from the root of the repository'
        elif target.startswith(HARNESS) and path.endswith("_test.cc"):
            pass
        elif not any(target.startswith(p) for p in MAY_INCLUDE[folder]):
            yield f'{path}: includes "{target}"; {folder} may include only {", ".join(MAY_INCLUDE[folder])}'


def check(root):
    """All problems of the tree, and the number of files read."""
    problems, files = [], 0
    for top in sorted({f.split("/")[0] for f in MAY_INCLUDE}):
        for directory, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if not name.endswith(SOURCES):
                    continue
                full = os.path.join(directory, name)
                path = os.path.relpath(full, root)
                with open(full, encoding="utf-8", errors="replace") as f:
                    text = f.read()
                files += 1
                problems.extend(problems_of(root, path, text))
    return problems, files


GOOD = {
    "layerdb/base/result.h": "#include <string>\n",
    "layerdb/catalog.cc": '#include <rocksdb/db.h>\n#include "layerdb/base/result.h"\n',
    "layerdb/digest.cc": "#include <openssl/evp.h>\n#include <xxhash.h>\n",
    "layerdb/index.h": '#include "layerdb/base/result.h"\n',
    "fs/inode.h": '#include "layerdb/index.h"\n#include <linux/fuse.h>\n',
    "fs/inode_test.cc": '#include "fs/inode.h"\n#include "tests/harness/tree.h"\n',
    "fs/fuse_adapter.cc": '#include <fuse_lowlevel.h>\n#include "fs/inode.h"\n',
    "fs/session.cc": "#include <fuse3/fuse_lowlevel.h>\n",
    "runtime/spec.h": '#include "layerdb/base/result.h"\n// not by getpwuid(3): getpwuid is a plug-in\n',
    "runtime/net.cc": "setsockopt(1); gethostname(a, 2);\n",
    "tools/argument_parser.cc": "#include <CLI/CLI.hpp>\n",
    "tools/main.cc": '#include "fs/inode.h"\n#include "runtime/spec.h"\n',
    "tests/harness/tree.h": '#include "fs/inode.h"\n',
    "bench/bench.cc": '#include "layerdb/index.h"\n#include <rocksdb/db.h>\n',
}
BAD = {
    "base on layerdb": ("layerdb/base/result.h", '#include "layerdb/index.h"\n'),
    "layerdb on fs": ("layerdb/index.h", '#include "fs/inode.h"\n'),
    "fs on tools": ("fs/inode.h", '#include "tools/main.cc"\n'),
    "fs on runtime": ("fs/inode.h", '  #  include "runtime/spec.h"\n'),
    "runtime on layerdb": ("runtime/spec.h", '#include "layerdb/index.h"\n'),
    "runtime on fs": ("runtime/spec.h", '#include "fs/inode.h"\n'),
    "fs on tests": ("fs/inode.h", '#include "tests/harness/tree.h"\n'),
    "tools on bench": ("tools/main.cc", '#include "bench/bench.cc"\n'),
    "rocksdb in a header": ("layerdb/index.h", "#include <rocksdb/db.h>\n"),
    "rocksdb beside the catalog": ("layerdb/second.cc", "#include <rocksdb/options.h>\n"),
    "rocksdb in fs": ("fs/merge.cc", "#include <rocksdb/db.h>\n"),
    "openssl elsewhere": ("layerdb/second.cc", "#include <openssl/sha.h>\n"),
    "xxhash elsewhere": ("layerdb/second.cc", "#include <xxhash.h>\n"),
    "rocksdb in base": ("layerdb/base/result.cc", '#include "rocksdb/db.h"\n'),
    "libfuse in the union": ("fs/union_fs.cc", "#include <fuse_lowlevel.h>\n"),
    "libfuse in the session's header": ("fs/session.h", "#include <fuse3/fuse.h>\n"),
    "libfuse in tools": ("tools/main.cc", "#include <fuse_opt.h>\n"),
    "CLI11 in another tool": ("tools/command.h", "#include <CLI/CLI.hpp>\n"),
    "a header beside the file": ("fs/merge.cc", '#include "inode.h"\n'),
    "a header by the parent": ("fs/merge.cc", '#include "fs/../runtime/spec.h"\n'),
    "a missing header": ("fs/merge.cc", '#include "fs/gone.h"\n'),
    "users by plug-ins": ("runtime/spec.cc", "auto* p = getpwuid(geteuid());\n"),
    "users by plug-ins, reentrant": ("tools/spec.cc", "getpwnam_r (name, &p, b, n, &f);\n"),
    "hosts by plug-ins": ("tools/run/net.cc", "if (getaddrinfo(a, b, c, d)) return;\n"),
    "libraries at run time": ("layerdb/spec.cc", 'dlopen("libisal.so.2", 1);\n'),
    "own header in angle brackets": ("runtime/spec.cc", "#include <layerdb/index.h>\n"),
}


def write(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as root:
        write(root, GOOD)
        problems, files = check(root)
        if problems or files != len(GOOD):
            failures.append(f"the good tree: {files} files, {problems}")
    for name, (path, text) in BAD.items():
        with tempfile.TemporaryDirectory() as root:
            write(root, GOOD)
            write(root, {path: text})
            if not check(root)[0]:
                failures.append(f"not noticed: {name}")
    for failure in failures:
        print(f"layering self-test: {failure}", file=sys.stderr)
    print(f"layering self-test: {len(BAD)} forbidden includes, {len(failures)} failures")
    return 1 if failures else 0


def main(args):
    if args == ["--self-test"]:
        return self_test()
    if len(args) != 1 or args[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    problems, files = check(args[0])
    if not files:
        problems = [f"no sources under {args[0]}: is it the root of the repository?"]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"layering: {files} files, {len(problems)} forbidden includes")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
