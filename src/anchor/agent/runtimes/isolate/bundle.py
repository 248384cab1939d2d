"""A script or several ES modules made ready for V8: found, rewritten, and every import matched with an export."""

import posixpath
import re
from typing import Any, Final

import msgspec

from anchor.agent.runtimes.isolate.modules import EVERYTHING, Import, Module, ModuleFault, read
from anchor.agent.runtimes.isolate.places import Places, Shift, Text

ENTRY: Final = "main.js"
"""What the entry is called where a module imports it or a message has to tell it from the others."""
_WORDS: Final = re.compile(r"\b(?:import|export)\b")
_BROKEN: Final = "SyntaxError: Unexpected token"
_SCRIPT: Final = "task.js"
_SCRIPT_HEAD: Final = "async()=>{"
_ENDINGS: Final = (".js", ".mjs", ".json", "/index.js")

# Where a name comes from: a module and its variable, or None for the module's whole namespace.
_Binding = tuple[str, str | None]


class Bundle:
    """A task's sources. `code` has the JavaScript function of each by its URL; `plan` says how modules hang together,
    None for a script without any."""

    def __init__(self, texts: list[Text], code: dict[str, str], plan: dict[str, Any] | None = None) -> None:
        self.places = Places(texts)
        self.texts = texts
        self.code = code
        self.plan = plan
        self.broken: dict[str, ModuleFault] = {}
        """Sources that hold what is certainly no JavaScript; V8 may say it better."""


def prepare(source: str, modules: dict[str, str]) -> Bundle:
    """The sources of a task ready to run. Raises ModuleFault."""
    alone = not modules
    if not _WORDS.search(source):
        return _script(source, alone=alone)
    entry = read(Text(ENTRY, source, alone=alone))
    if not (entry.is_module or entry.is_dynamic):
        bundle = _script(source, alone=alone)
        if entry.broken_at is not None:
            bundle.broken[_SCRIPT] = entry.fault(_BROKEN, entry.broken_at)
        return bundle
    return _Linker(entry, modules).link()


def _script(source: str, *, alone: bool) -> Bundle:
    text = Text(ENTRY, source, alone=alone)
    text.url = _SCRIPT
    text.shift = Shift(len(_SCRIPT_HEAD) + 1)
    # A first line for the shell is a comment to node too.
    body = "//" + source[2:] if source.startswith("#!") else source
    return Bundle([text], {text.url: f"{_SCRIPT_HEAD}{body}\n}}"})


class _Linker:
    def __init__(self, entry: Module, modules: dict[str, str]) -> None:
        self._sources = modules
        self._modules: dict[str, Module] = {ENTRY: entry}

    def link(self) -> Bundle:
        waiting = [ENTRY]
        while waiting:
            path = waiting.pop()
            module = self._modules[path]
            for specifier, offset in module.requests.items():
                waiting += self._open(self._found(path, specifier, offset))
            if module.is_dynamic:
                # What it will import is known when it runs: any of them.
                for other in self._sources:
                    waiting += self._open(other)
        for path, module in self._modules.items():
            for imported in module.imports:
                self._need(path, imported)
            for imported in module.indirect.values():
                self._need(path, imported)
        bundle = Bundle(
            [module.text for module in self._modules.values()],
            {module.text.url: module.code for module in self._modules.values()},
            self._plan(),
        )
        for module in self._modules.values():
            if module.broken_at is not None:
                bundle.broken[module.text.url] = module.fault(_BROKEN, module.broken_at)
        return bundle

    def _open(self, path: str) -> list[str]:
        if path in self._modules:
            return []
        source = self._sources[path]
        text = Text(path, source, alone=False)
        if path.endswith(".json"):
            self._modules[path] = _json(text)
        else:
            module = read(text)
            if not module.is_module:
                # Without import and export it is a module all the same, run for what it does.
                module = read(Text(path, f"{source}\nexport {{}};", alone=False))
            self._modules[path] = module
        return [path]

    def _path(self, importer: str, specifier: str) -> str | None:
        if specifier.startswith(("./", "../")):
            path = posixpath.normpath(posixpath.join("/", posixpath.dirname(importer), specifier))[1:]
        else:
            path = specifier.removeprefix("/")
        return path if path == ENTRY or path in self._sources else None

    def _found(self, importer: str, specifier: str, offset: int) -> str:
        path = self._path(importer, specifier)
        if path is not None:
            return path
        near = next((end for end in _ENDINGS if self._path(importer, specifier + end)), "")
        hint = f"; did you mean '{specifier}{near}'?" if near else ""
        raise self._modules[importer].fault(f"Error: Cannot find module '{specifier}'{hint}", offset)

    def _target(self, path: str, request: int) -> str:
        found = self._path(path, list(self._modules[path].requests)[request])
        assert found is not None
        return found

    def _need(self, path: str, imported: Import) -> None:
        if imported.name == EVERYTHING:
            return
        found = self._resolve(self._target(path, imported.request), imported.name, set())
        if found:
            return
        specifier = list(self._modules[path].requests)[imported.request]
        why = (
            f"'{specifier}' does not provide an export named '{imported.name}'"
            if found is None
            else f"'{specifier}' provides conflicting exports named '{imported.name}'"
        )
        raise self._modules[path].fault(f"SyntaxError: The requested module {why}", imported.offset)

    def _resolve(self, path: str, name: str, seen: set[tuple[str, str]]) -> _Binding | tuple[()] | None:
        """Where an exported name comes from; () where that is ambiguous, None where it is not exported (ECMA-262,
        ResolveExport)."""
        if (path, name) in seen:
            return None
        seen.add((path, name))
        module = self._modules[path]
        if name in module.local:
            return path, name
        if (imported := module.indirect.get(name)) is not None:
            target = self._target(path, imported.request)
            return (target, None) if imported.name == EVERYTHING else self._resolve(target, imported.name, seen)
        if name == "default":
            return None
        found: _Binding | tuple[()] | None = None
        for star in module.stars:
            one = self._resolve(self._target(path, star.request), name, seen)
            if one == ():
                return one
            if one is not None and found is not None and one != found:
                return ()
            found = found or one
        return found

    def _exported(self, path: str, seen: set[str]) -> set[str]:
        if path in seen:
            return set()
        seen.add(path)
        module = self._modules[path]
        names = {*module.local, *module.indirect}
        for star in module.stars:
            names |= self._exported(self._target(path, star.request), seen) - {"default"}
        return names

    def _plan(self) -> dict[str, Any]:
        numbers = {path: number for number, path in enumerate(self._modules)}
        modules = []
        for path, module in self._modules.items():
            exports = []
            for name in sorted(self._exported(path, set())):
                found = self._resolve(path, name, set())
                if found:
                    exports.append([name, numbers[found[0]], found[1]])
            requests = [numbers[self._target(path, number)] for number in range(len(module.requests))]
            modules.append(
                {
                    "path": path,
                    "isModule": module.is_module,
                    "requests": requests,
                    "exports": exports,
                    "anonymous": bool(module.default_name),
                }
            )
        return {"modules": modules}


def _json(text: Text) -> Module:
    try:
        msgspec.json.decode(text.source)
    except msgspec.DecodeError as error:
        raise ModuleFault(f"SyntaxError: The module is not JSON: {error}", text, 0) from None
    quoted = msgspec.json.encode(text.source).decode()
    code = f'async function*(){{"use strict";yield[{{"default":()=>value}}];const value=JSON.parse({quoted});\n}}'
    text.shift = Shift(len(code))
    return Module(text, is_module=True, local={"default": "value"}, code=code)
