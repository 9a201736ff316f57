"""Modules of packages that no longer import as a whole, beside the transformers of today."""

import importlib.util
import sys
import types


def without_init(*names):
    """Makes packages known by name alone: their modules import, their own __init__ does not run."""
    for name in names:
        package = types.ModuleType(name)
        package.__path__ = list(importlib.util.find_spec(name).submodule_search_locations)
        sys.modules[name] = package
