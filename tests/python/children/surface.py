"""Prints, as JSON, what the interpreter's graphbit offers: each public name with its parameters.

Run by an interpreter that has GraphBit 0.6.8 and by ours. A name is ``Class``, ``Class.member`` or
``function``; parameters are ``[name, kind, default]``, the default as Python prints it, and null where
the object has no signature. Operators count as members: what a class defines itself, ``__add__`` say.
"""

import inspect
import json
import types

import graphbit

# What every class has, whoever made it.
ORDINARY = {*dir(object), "__module__", "__weakref__", "__dict__"}


def parameters(thing):
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return None
    return [
        [each.name, each.kind.name, None if each.default is each.empty else repr(each.default)]
        for each in signature.parameters.values()
        if each.name not in ("self", "cls")
    ]


def members(cls):
    for name, raw in vars(cls).items():
        if name in ORDINARY or (name.startswith("_") and not name.startswith("__")):
            continue
        member = getattr(cls, name)
        static = isinstance(raw, (staticmethod, classmethod, types.BuiltinFunctionType))
        kind = "static method" if static else "method" if callable(member) else "property"
        yield f"{cls.__name__}.{name}", kind, parameters(member) if callable(member) else None


def main():
    found = {}
    for name in sorted({*graphbit.__all__, *dir(graphbit)}):
        thing = getattr(graphbit, name)
        if isinstance(thing, types.ModuleType) or (name not in graphbit.__all__ and name[0] == "_"):
            continue
        is_class = isinstance(thing, type)
        kind = "class" if is_class else "function" if callable(thing) else "value"
        found[name] = {"kind": kind, "parameters": parameters(thing) if callable(thing) else None}
        for member, kind, taken in members(thing) if is_class else ():
            found[member] = {"kind": kind, "parameters": taken}
    print(json.dumps({"version": graphbit.version(), "names": found}))


main()
