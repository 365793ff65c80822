"""The public names as a page of the documentation: ``python -m docs.api_page`` prints it."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import is_dataclass
from functools import cached_property
from importlib import import_module
from types import FunctionType
from typing import Any

from nbnumba.experiment.noun import Noun, kinds_in_words

SECTIONS = {
    "Simulating": ("nbnumba", "simulate simulate_many rotation_series"),
    "Describing an experiment": (
        "nbnumba",
        "Experiment changed Beam Detector Panel Goniometer Scan Crystal FurtherLattice StructureFactors Background "
        "Material Sampling Noise Readout",
    ),
    "Images": (
        "nbnumba",
        "Image left_out.LeftOut response.chain.NoiseImage statistics.Statistics setup.geometry.Geometry",
    ),
    "Image files": ("nbnumba.formats", "sinks.sink frame.Frame frame.Description frame.PanelGeometry"),
    "Campaigns": (
        "nbnumba",
        "Campaign CampaignDataset campaign.dataset.Sample campaign.chunks.Chunk campaign.work.do_chunk "
        "campaign.work.Done",
    ),
    "Derivatives": (
        "nbnumba",
        "Differentiable gradients differentiation.target.Target differentiation.target.Normal",
    ),
    "Refinement": (
        "nbnumba",
        "refine refinement.outcome.Refinement refinement.outcome.Parameter refinement.search.Iteration "
        "refine_many refinement.joint_outcome.JointRefinement refinement.joint_outcome.OneOfMany "
        "refinement.joint.JointStep",
    ),
    "Without rendering": ("nbnumba", "predict hkl_map Predictions"),
    "Errors and warnings": ("nbnumba", "NbnumbaError UsageError InputFileError ResourceError NbnumbaWarning"),
    "Properties of simulators": ("nbnumba.testing.properties", ""),
    "Random experiments": ("nbnumba.testing.strategies", ""),
    "Comparing two programs": (
        "nbnumba.comparison.fuzz",
        "search difference program ourselves as_test Search Difference Tolerance",
    ),
}
"""What is public: a module and its names in the order of the page; without names, every function that it defines."""

_HEAD = """\
# API

What a Python program may import, made from the docstrings by `make docs`. Images are indexed `[slow, fast]`; a field
whose name ends in a unit is in that unit.
"""

_PROPERTIES = (property, cached_property)
_MEMBERS = (*_PROPERTIES, staticmethod, classmethod, FunctionType)


def names() -> dict[str, list[str]]:
    """Full names of all that is public, by section."""
    return {
        section: [f"{module}.{name}" for name in listed.split() or _functions(import_module(module))]
        for section, (module, listed) in SECTIONS.items()
    }


def _functions(module: Any) -> list[str]:
    """Those that the module defines, then those of its package that it lets be imported from it."""
    found = {name: value for name, value in vars(module).items() if inspect.isfunction(value) and name[0] != "_"}
    ours = [name for name, value in found.items() if value.__module__.startswith(module.__package__)]
    return sorted(ours, key=lambda name: found[name].__module__ != module.__name__)


def target(name: str) -> Any:
    """What a full name stands for: class, function, method or property."""
    module, *path = re.fullmatch(r"([a-z_.]+)\.(?:(\w+)\.)?(\w+)", name).groups()  # type: ignore[union-attr]
    found = import_module(module)
    for part in filter(None, path):
        found = inspect.getattr_static(found, part, None) or getattr(found, part)
    return getattr(found, "__func__", found)


def members(name: str) -> list[str]:
    """Full names of a class's public methods and properties, its own before those of its bases; of others none."""
    kinds = [kind for kind in getattr(target(name), "__mro__", ()) if kind.__module__.startswith("nbnumba")]
    found = dict.fromkeys(key for kind in kinds for key, value in vars(kind).items()
                          if key[0] != "_" and isinstance(value, _MEMBERS))  # fmt: skip
    return [f"{name}.{key}" for key in found]


def fields(kind: type) -> dict[str, tuple[str, str, str]]:
    """Of the fields of a class, its bases' first: annotation, default, and the docstring after it, as in its source."""
    body = ast.parse(inspect.getsource(kind)).body[0].body  # type: ignore[attr-defined]
    inherited = [fields(base) for base in kind.__bases__ if is_dataclass(base)]
    return dict(item for found in inherited for item in found.items()) | {
        node.target.id: (ast.unparse(node.annotation), _default(kind, node), _sentence(after))
        for node, after in zip(body, [*body[1:], None], strict=True)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _default(kind: type, node: ast.AnnAssign) -> str:
    """As one would write it: the value where the class has it, a new noun where one is made."""
    name = node.target.id  # type: ignore[union-attr]
    made = "" if node.value is None else re.sub(r"field\(default_factory=(\w+)\)", r"\1()", ast.unparse(node.value))
    return repr(getattr(kind, name)) if hasattr(kind, name) else made


def _sentence(node: ast.stmt | None) -> str:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return _plain(" ".join(node.value.value.split())) if is_text else ""  # type: ignore[union-attr]


def markdown() -> str:
    """The page, as a Markdown document."""
    contents, body = [], []
    for section, listed in names().items():
        headings = [_heading(name) for name in listed]
        links = ", ".join(f"[{heading.removeprefix('class ')}](#{_anchor(heading)})" for heading in headings)
        contents.append(f"- [{section}](#{_anchor(section)}): {links}\n")
        body.append(f"\n## {section}\n\nIn `{SECTIONS[section][0]}`:\n")
        body += [_entry(name, "###") + "".join(_entry(member, "####") for member in members(name)) for name in listed]
    return f"{_HEAD}\n{''.join(contents)}{''.join(body)}"


def _heading(name: str) -> str:
    short = ".".join(part for part in re.split(r"\.(?=\w+$|[A-Z])", name)[1:])
    return f"class {short}" if inspect.isclass(target(name)) else short


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _entry(name: str, level: str) -> str:
    thing = target(name)
    text = _plain(inspect.getdoc(thing) or "")
    prose, *sections = re.split(r"^(\w+)\n-{3,}\n", text, flags=re.MULTILINE)
    parts = [_usage(name, thing), prose.strip(), _table(thing) if is_dataclass(thing) else ""]
    for title, content in zip(sections[::2], sections[1::2], strict=True):
        parts.append(f"**{title}**\n\n{_section(title, content.strip())}")
    return f"\n{level} {_heading(name)}\n\n" + "\n\n".join(filter(None, parts)) + "\n"


def _plain(text: str) -> str:
    """Markdown for what reStructuredText has of its own in docstrings."""
    return re.sub(r":\w+:`~?([^`]+)`|``([^`]+)``", r"`\1\2`", text)


def _usage(name: str, thing: Any) -> str:
    """How a function is called, by names and defaults; their types are told below it."""
    if isinstance(thing, _PROPERTIES):
        return "*Property.*"
    if inspect.isclass(thing):
        return f"`{name}`"
    bare = [parameter.replace(annotation=inspect.Parameter.empty)
            for parameter in inspect.signature(thing).parameters.values()
            if parameter.name not in ("self", "cls")]  # fmt: skip
    return f"`{_heading(name)}{inspect.Signature(bare)}`"


def _section(title: str, content: str) -> str:
    if title == "Examples":
        return f"```python\n{content}\n\n```"
    if title in ("Notes", "See Also", "References"):
        return content
    items = re.findall(r"^(\S.*)((?:\n(?: .*)?)*)", content, flags=re.MULTILINE)
    return "\n".join(f"- {_item(title, head)}: {' '.join(text.split())}" for head, text in items)


def _item(title: str, head: str) -> str:
    if title in ("Returns", "Yields"):
        return head
    name, _, kind = head.partition(" : ")
    return f"`{name}`" + (f" ({kind})" if kind else "")


def _table(kind: Any) -> str:
    """The fields of a dataclass, each a row."""
    rows = [
        (
            f"`{name}`",
            kinds_in_words(kind, name) if issubclass(kind, Noun) else f"`{annotation}`",
            default and f"`{default}`",
            text,
        )
        for name, (annotation, default, text) in fields(kind).items()
    ]
    head = "| field | value | default | meaning |\n|---|---|---|---|\n"
    return (
        head + "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows)
        if rows
        else ""
    )


if __name__ == "__main__":
    print(markdown(), end="")
