"""What the documentation's site has besides `docs/`: the README as its start, and files that pages link to.

Pages link as they do in the repository, so that the same link works there and on the site. Here a link that leads
out of `docs/` becomes one to a page made of that file. One to nothing leads to no page, which `--strict` refuses.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files of the repository's root that are pages of the site."""
LINK = re.compile(r"(?<!!)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"^\s*(```|~~~)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A folder in the navigation stands for its pages, by name."""
    config.nav = [_spread(entry) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text()))
    files.append(File.generated(config, "decisions/index.md", content=_list_of_decisions()))
    texts = {name: (ROOT / name).read_text() for name in PAGES}
    texts |= {str(page.relative_to(ROOT)): page.read_text() for page in DOCS.rglob("*.md")}
    linked = {target for name, text in texts.items() for target in _targets(name, text)}
    for target in sorted(linked):
        if (ROOT / target).is_file() and _site_path(target).startswith("source/"):
            files.append(File.generated(config, _site_path(target), content=_source_page(target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    site_path = page.file.src_uri
    origin = next((name for name, path in PAGES.items() if path == site_path), f"docs/{site_path}")
    if site_path.startswith("source/"):
        return markdown

    def rewritten(match: re.Match[str]) -> str:
        target = _repository_path(origin, match[1])
        path = posixpath.relpath(_site_path(target), posixpath.dirname(site_path) or ".")
        return f"]({path}{match[2] or ''})"

    return "".join(line if code else LINK.sub(rewritten, line) for code, line in _lines(markdown))


def _spread(entry: object) -> object:
    match entry:
        case dict():
            return {title: _spread(value) for title, value in entry.items()}
        case list():
            return [_spread(value) for value in entry]
        case str() if entry.endswith("/"):
            pages = {path.name for path in (DOCS / entry).glob("*.md")} | {"index.md"}
            return [entry + name for name in sorted(pages, key=lambda name: (name != "index.md", name))]
    return entry


def _lines(markdown: str) -> list[tuple[bool, str]]:
    """Each line, and whether it belongs to a block of code."""
    lines, code = [], False
    for line in markdown.splitlines(keepends=True):
        fence = bool(FENCE.match(line))
        lines.append((code or fence, line))
        code ^= fence
    return lines


def _targets(origin: str, markdown: str) -> set[str]:
    return {
        _repository_path(origin, match[1])
        for code, line in _lines(markdown)
        if not code
        for match in LINK.finditer(line)
    }


def _repository_path(origin: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))


def _site_path(target: str) -> str:
    """Where the site has a file of the repository."""
    if target in PAGES:
        return PAGES[target]
    if target.startswith("docs/"):
        path = target.removeprefix("docs/")
        return f"{path}/index.md" if (ROOT / target).is_dir() else path
    return f"source/{target}.md"


def _source_page(target: str) -> str:
    language = {".avsc": "json", ".py": "python", ".yml": "yaml"}.get(Path(target).suffix, Path(target).suffix[1:])
    text = (ROOT / target).read_text()
    return f"---\nsearch:\n  exclude: true\n---\n# {target}\n\n~~~~~~{language}\n{text}\n~~~~~~\n"


def _list_of_decisions() -> str:
    titles = {page.name: page.read_text().splitlines()[0] for page in sorted((DOCS / "decisions").glob("0*.md"))}
    entries = [f"- [{title.removeprefix('# ')}]({name})" for name, title in titles.items()]
    return (
        "# Decisions\n\nWhat was chosen, what was rejected, and the measurement that decided it.\n\n"
        + "\n".join(entries)
    )
