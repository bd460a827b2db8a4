"""Checks, where Docker is not at hand, that the image's build finds every file it reads: there, not left out by
.dockerignore, and copied to its place before cargo runs.

Usage: context_check.py FOLDER_OF_THE_DOCKERFILE
"""

import os
import posixpath
import re
import sys

# What macros read while they are compiled, beside the source files themselves. The first kind is relative to the
# source file, the others to its package or to askama's folders.
BESIDE = re.compile(r'\binclude(?:_str|_bytes)?!\s*\(\s*"([^"]+)"')
PACKAGE = re.compile(r'\b(?:embed_migrations|include_dir)!\s*\(\s*"([^"]+)"|#\[folder\s*=\s*"([^"]+)"\]')
TEMPLATE = re.compile(r'#\[template\([^)]*path\s*=\s*"([^"]+)"|\{%-?\s*(?:extends|include|import)\s+"([^"]+)"')
# Enough of TOML for our own files, and so for a Python that has no reader of it.
LIST = r'(?m)^{}\s*=\s*\[([^\]]*)\]'
TARGET = re.compile(r'(?m)^path\s*=\s*"([^"]+)"')


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def strings_of(path, key):
    found = re.search(LIST.format(key), lines_of(path))
    return re.findall(r'"([^"]+)"', found.group(1)) if found else []


def below(folder, path):
    """The files of a folder, or the file itself, relative to the root."""
    if os.path.isfile(os.path.join(folder, path)):
        return {path}
    found = set()
    for here, folders, files in os.walk(os.path.join(folder, path)):
        folders[:] = [name for name in folders if name not in ("target", "__pycache__")]
        found |= {posixpath.relpath(os.path.join(here, name), folder) for name in files}
    return found


class Ignored:
    """.dockerignore: the last pattern that matches a path, or a folder above it, decides."""

    def __init__(self, text):
        lines = [line.strip() for line in text.splitlines()]
        self.patterns = [
            (line.startswith("!"), self.expression(line.lstrip("!").strip("/")))
            for line in lines
            if line and not line.startswith("#")
        ]

    @staticmethod
    def expression(pattern):
        parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        words = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
        return re.compile("".join(parts.get(word, re.escape(word)) for word in words))

    def __call__(self, path):
        pieces = path.split("/")
        tried = ["/".join(pieces[: n + 1]) for n in range(len(pieces))]
        ignored = False
        for keeps, pattern in self.patterns:
            if any(pattern.fullmatch(one) for one in tried):
                ignored = not keeps
        return ignored


def instructions(text):
    """Word and arguments of each instruction, without comments and the text of here-documents."""
    found, lines = [], iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        while line.rstrip().endswith("\\"):
            line = line.rstrip()[:-1] + next(lines, "")
        for end in re.findall(r"<<-?['\"]?(\w+)", line):
            while next(lines, end).strip() != end:
                pass
        word, _, rest = line.strip().partition(" ")
        found.append((word.upper(), rest.strip()))
    return found


def copied_before_cargo(text):
    """Pairs of source and target that the stage which runs cargo has copied by then; targets from its folder."""
    copies, folder = [], "/"
    for word, rest in instructions(text):
        if word == "FROM":
            copies, folder = [], "/"
        elif word == "WORKDIR":
            folder = posixpath.join(folder, rest)
        elif word in ("COPY", "ADD") and "--from=" not in rest and "<<" not in rest:
            *sources, target = [part for part in rest.split() if not part.startswith("--")]
            into = len(sources) > 1 or target.endswith("/") or target in (".", "./")
            copies += [(source, posixpath.join(folder, target), into) for source in sources]
        elif word == "RUN" and "cargo build" in rest:
            return copies, folder
    return None, folder


def landing(root, path, copies, folder):
    """Whether some copy puts this file where it lies in the repository."""
    wanted = posixpath.join(folder, path)
    for source, target, into in copies:
        source = posixpath.normpath(source.lstrip("/") or ".")
        if source in (".", path) or path.startswith(source + "/"):
            if os.path.isfile(os.path.join(root, source)):
                lands = posixpath.join(target, posixpath.basename(path)) if into else target
            else:
                lands = posixpath.join(target, posixpath.relpath(path, source))
            if posixpath.normpath(lands) == wanted:
                return True
    return False


def read_by_a_package(root, package):
    """Every file that cargo and the macros of one package read, relative to the root, with who names it."""
    manifest = posixpath.normpath(posixpath.join(package, "Cargo.toml"))
    needed = {manifest: "cargo"}
    named = TARGET.findall(lines_of(os.path.join(root, manifest)))
    sources = below(root, posixpath.normpath(posixpath.join(package, "src")))
    for name in [*named, "build.rs", "askama.toml"]:
        path = posixpath.normpath(posixpath.join(package, name))
        # What a manifest names must be there; the other two only where they are used.
        if name in named or os.path.exists(os.path.join(root, path)):
            needed[path] = manifest
    settings = os.path.join(root, package, "askama.toml")
    folders = strings_of(settings, "dirs") if os.path.exists(settings) else ["templates"]
    todo = sorted(sources)
    while todo:
        path = todo.pop()
        needed.setdefault(path, "cargo")
        if not path.endswith((".rs", ".html", ".txt")) or not os.path.isfile(os.path.join(root, path)):
            continue
        text = lines_of(os.path.join(root, path))
        wanted = [posixpath.join(posixpath.dirname(path), one) for one in BESIDE.findall(text)]
        wanted += [posixpath.join(package, one or other) for one, other in PACKAGE.findall(text)]
        for one, other in TEMPLATE.findall(text):
            places = [posixpath.normpath(posixpath.join(package, place, one or other)) for place in folders]
            wanted.append(next((place for place in places if os.path.exists(os.path.join(root, place))), places[0]))
        for one in map(posixpath.normpath, wanted):
            for file in below(root, one) or {one}:
                if file not in needed:
                    needed[file] = path
                    todo.append(file)
    return needed


def main(root):
    problems = []
    ignored = Ignored(lines_of(os.path.join(root, ".dockerignore")))
    text = lines_of(os.path.join(root, "Dockerfile"))
    for word, rest in instructions(text):
        if word in ("COPY", "ADD") and "--from=" not in rest and "<<" not in rest:
            for source in [part for part in rest.split() if not part.startswith("--")][:-1]:
                if not os.path.exists(os.path.join(root, source)):
                    problems.append(f"the Dockerfile copies {source}, which does not exist")
                elif source != "." and all(ignored(file) for file in below(root, posixpath.normpath(source))):
                    problems.append(f"the Dockerfile copies {source}, which .dockerignore leaves out")
    copies, folder = copied_before_cargo(text)
    if copies is None:
        problems.append("the Dockerfile never runs cargo build")
    needed = {"Cargo.lock": "cargo --locked"}
    for package in strings_of(os.path.join(root, "Cargo.toml"), "members"):
        needed |= read_by_a_package(root, package)
    for path, reader in sorted(needed.items()):
        if not os.path.exists(os.path.join(root, path)):
            problems.append(f"{path}, which {reader} needs, does not exist")
        elif ignored(path):
            problems.append(f"{path}, which {reader} needs, is left out by .dockerignore")
        elif copies is not None and not landing(root, path, copies, folder):
            problems.append(f"{path}, which {reader} needs, is not copied before cargo runs")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
