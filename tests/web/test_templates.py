"""House rules of pages: every context is documented and used, and no template steps around the content security
policy."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from jinja2 import meta

import app.main
from app.paths import shipped
from app.web.templating import ALWAYS_THERE, PageContext, environment

assert app.main, "imported so that every page's context is known"
TEMPLATES = sorted(path.relative_to(shipped("templates")).as_posix() for path in shipped("templates").rglob("*.html"))


def every_context(base: type[PageContext] = PageContext) -> Iterator[type[PageContext]]:
    for context in base.__subclasses__():
        yield context
        yield from every_context(context)


CONTEXTS = sorted(every_context(), key=lambda context: context.__name__)


def family_of(template: str) -> set[str]:
    """The template with all that it extends and includes: what is rendered with its context."""
    source = Path(shipped("templates"), template).read_text(encoding="utf-8")
    used = re.findall(r'{%-?\s*(?:extends|include)\s+"([^"]+)"', source)
    return {template}.union(*(family_of(name) for name in used))


def variables_of(template: str) -> set[str]:
    found: set[str] = set()
    own: set[str] = set()
    for name in family_of(template):
        source = Path(shipped("templates"), name).read_text(encoding="utf-8")
        found |= meta.find_undeclared_variables(environment().parse(source))
        # Names that a template sets, loops over or imports are its own; Jinja counts them where its blocks and its
        # includes read them.
        own |= set(re.findall(r"{%-?\s*(?:set|for)\s+(\w+)", source))
        for macros in re.findall(r'{%-?\s*from\s+"[^"]+"\s+import\s+([^%]+?)\s*-?%}', source):
            own |= {name.split(" as ")[-1].strip() for name in macros.removesuffix(" with context").split(",")}
    return found - own - set(environment().globals) - set(ALWAYS_THERE)


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.__name__)
def test_a_context_has_exactly_the_fields_that_its_template_uses(context: type[PageContext]) -> None:
    assert is_dataclass(context)
    assert variables_of(context.template) == {field.name for field in fields(context)}


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.__name__)
def test_every_field_of_a_context_is_documented(context: type[PageContext]) -> None:
    documented = re.findall(r"^ *([\w, ]+): ", context.__doc__ or "", re.MULTILINE)
    names = {name.strip() for group in documented for name in group.split(",")}
    assert is_dataclass(context)
    assert {field.name for field in fields(context)} <= names


@pytest.mark.parametrize("template", TEMPLATES)
def test_no_template_needs_inline_styles_or_scripts(template: str) -> None:
    source = Path(shipped("templates"), template).read_text(encoding="utf-8")
    assert re.findall(r"\sstyle=|<style|\son[a-z]+=|javascript:|\|\s*safe\b|autoescape", source) == []
    assert re.findall(r"<script(?![^>]*\ssrc=)", source) == []


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_post_form_carries_the_form_token(template: str) -> None:
    source = Path(shipped("templates"), template).read_text(encoding="utf-8")
    forms = re.findall(r"<form[^>]*method=\"post\".*?</form>", source, re.DOTALL)
    assert [form for form in forms if "form_token_field()" not in form] == []
