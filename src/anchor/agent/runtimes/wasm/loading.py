"""From the bytes of a module to something that can be instantiated: what is accepted, how it is compiled and linked."""

import re
from typing import Final

import wasmtime

from anchor.agent.runtimes.wasm.calls import Signatures
from anchor.agent.runtimes.wasm.endings import Unrunnable, cause, invalid
from anchor.agent.runtimes.wasm.profiles import Profile
from anchor.agent.runtimes.wasm.virtual import VirtualMachine

WASI: Final = "wasi_snapshot_preview1"
_MAGIC: Final = b"\0asm\x01\0\0\0"
_COMPONENT: Final = b"\0asm\x0d\0\x01\0"
_UNKNOWN_IMPORT: Final = re.compile(r"unknown import: `(.+)::(.+)` has not been defined")


def configuration(profile: Profile) -> wasmtime.Config:
    """How modules of this profile are compiled."""
    config = wasmtime.Config()
    config.epoch_interruption = True
    config.parallel_compilation = False
    # Data segments are copied into place: an image of them in memory would count as a file against RLIMIT_FSIZE.
    config.memory_init_cow = False
    # Off: shared memory without threads is of no use, and garbage collected objects live beside the linear memory.
    config.wasm_threads = False
    config.wasm_gc = False
    if profile != "plain":
        config.consume_fuel = True
    if profile == "deterministic":
        config.cranelift_nan_canonicalization = True
        config.wasm_relaxed_simd_deterministic = True
    return config


class Loaded:
    """A compiled module with its imports resolved. `uses_wasi` says whether it imports anything at all, and `size` is
    the length of its WebAssembly in bytes."""

    def __init__(self, module: wasmtime.Module, linker: wasmtime.Linker, size: int) -> None:
        self.module = module
        self.size = size
        self.uses_wasi = bool(module.imports)
        self.signatures: Signatures = {}
        try:
            self.ready = linker.instantiate_pre(module)
        except wasmtime.WasmtimeError as error:
            raise _not_linked(error) from error


class Workshop:
    """One profile's engine, and what modules can import in it. `virtual` is the deterministic profile's machine."""

    def __init__(self, profile: Profile) -> None:
        self.engine = wasmtime.Engine(configuration(profile))
        self.linker = wasmtime.Linker(self.engine)
        self.linker.define_wasi()
        self.counts_fuel = profile != "plain"
        self.virtual: VirtualMachine | None = None
        if profile == "deterministic":
            self.virtual = VirtualMachine(self.engine, WASI)
            self.virtual.replace_in(self.linker)

    def load(self, module: bytes, code: bytes) -> Loaded:
        """The module, from the `code` that it was compiled to before if there is any that fits, else compiled now.
        Raises Unrunnable."""
        if code:
            try:
                return Loaded(wasmtime.Module.deserialize(self.engine, code), self.linker, len(module))
            except wasmtime.WasmtimeError:
                # Kept by another version, or for another processor: as good as not kept.
                pass
        return Loaded(_compiled(self.engine, module), self.linker, len(module))


def _compiled(engine: wasmtime.Engine, module: bytes) -> wasmtime.Module:
    """The module, compiled, with every import known to be one of WASI's. Raises Unrunnable."""
    if module[:8] == _COMPONENT:
        raise invalid(
            "The module is a WebAssembly component, and this runtime runs core modules.",
            "Build for wasm32-wasip1 (WASI preview 1).",
        )
    if module[:8] != _MAGIC:
        raise invalid("The module is not WebAssembly: it does not begin with 00 61 73 6d 01 00 00 00.")
    try:
        built = wasmtime.Module(engine, module)
    except wasmtime.WasmtimeError as error:
        raise _not_valid(error) from error
    for wanted in built.imports:
        if wanted.module == "wasi_unstable":
            raise invalid(
                "The module imports wasi_unstable, which came before WASI preview 1; this runtime does not offer it.",
                f"Rebuild it with a toolchain of 2020 or later, so that it imports {WASI}.",
            )
        if wanted.module != WASI:
            raise _not_offered(f"{wanted.module}.{wanted.name}")
    return built


def _not_offered(name: str) -> Unrunnable:
    return invalid(
        f"The module imports {name}, which this runtime does not offer.",
        f"Only the functions of {WASI} can be imported; link everything else into the module.",
    )


def _not_linked(error: wasmtime.WasmtimeError) -> Unrunnable:
    text = cause(str(error))
    unknown = _UNKNOWN_IMPORT.match(text)
    return _not_offered(f"{unknown[1]}.{unknown[2]}") if unknown else invalid(f"The module cannot be started: {text}.")


def _not_valid(error: wasmtime.WasmtimeError) -> Unrunnable:
    return invalid(f"The module is not valid WebAssembly: {cause(str(error))}.")
