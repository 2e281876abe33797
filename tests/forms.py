"""Forms as a browser sees them: tests fill in and send what the page really holds, hidden fields included."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, Protocol
from urllib.parse import urljoin

from starlette.testclient import TestClient


class Answer(Protocol):
    """A response of the test client, whichever of its two HTTP libraries it uses."""

    @property
    def text(self) -> str: ...
    @property
    def url(self) -> Any: ...
    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Any: ...


UNTICKED = ("checkbox", "radio")


@dataclass
class FoundForm:
    """action: where it is sent; method: `get` or `post`; values: what it sends untouched."""

    action: str
    method: str
    values: dict[str, Any] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[FoundForm] = []
        self._select: str | None = None
        self._textarea: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "form":
            self.forms.append(FoundForm(values.get("action") or "", (values.get("method") or "get").lower()))
        elif tag in ("input", "select", "textarea", "option") and self.forms:
            self._field(tag, values)

    def _field(self, tag: str, values: dict[str, str | None]) -> None:
        form = self.forms[-1]
        name = values.get("name")
        if tag == "option":
            if self._select and ("selected" in values or self._select not in form.values):
                form.values[self._select] = values.get("value") or ""
            return
        if name is None:
            return
        form.names.add(name)
        if tag == "select":
            self._select = name
        elif tag == "textarea":
            self._textarea = name
            form.values[name] = ""
        elif values.get("type") not in UNTICKED or "checked" in values:
            form.values[name] = values.get("value") or ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.forms[-1].values[self._textarea] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = None
        elif tag == "textarea":
            self._textarea = None


def forms_of(response: Answer) -> list[FoundForm]:
    parser = _Forms()
    parser.feed(response.text)
    return parser.forms


def form_of(response: Answer, action: str | None = None) -> FoundForm:
    """The form with that action, or the only one that posts; an AssertionError says which forms there are."""
    forms = forms_of(response)
    found = [form for form in forms if (form.method == "post" if action is None else form.action == action)]
    assert len(found) == 1, f"{len(found)} such forms among {[(form.method, form.action) for form in forms]}"
    return found[0]


def form_token_of(response: Answer) -> str:
    return str(next(form.values["form_token"] for form in forms_of(response) if "form_token" in form.values))


def submit(client: TestClient, response: Answer, action: str | None = None, **fields: Any) -> Answer:
    """Sends a form of the page with these fields changed, as a browser would. A field that the form lacks is a defect
    of the test."""
    form = form_of(response, action)
    unknown = set(fields) - form.names
    assert not unknown, f"the form has no field {sorted(unknown)}, but {sorted(form.names)}"
    address = urljoin(str(response.url), form.action)
    values = form.values | fields
    if form.method == "get":
        return client.get(address, params=values)
    return client.post(address, data=values)
