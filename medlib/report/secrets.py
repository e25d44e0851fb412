"""Secret parameters: they come from the environment, reach the kernel through it, and are written nowhere.

A parameter is secret if a part of its name (parts are parted by `_`) is one of `PARTS`, or if its name holds one of `WORDS`. The
parameters cell declares it with an empty text; its value stands in the environment variable ``MEDLIB_SECRET_<NAME>``. Whatever
writes parameters down (`run.json`, the executed notebook, the page) holds the name of that variable in place of the value.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

from nbformat import NotebookNode

from medlib.errors import MedlibError

PARTS = {"key", "token", "pwd", "pin", "login", "auth"}
WORDS = ("password", "passwd", "passphrase", "secret", "credential", "apikey", "api_key")
#: A shorter secret could not be told from ordinary text when outputs are searched for it.
LEAST_LENGTH = 6
#: An address with a password in it, or with a key among its queries.
WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s@]*:[^/\s@]*@"
                           r"|[?&;](?:[a-z_-]*token|api[_-]?key|key|sig|signature|password|secret|[a-z-]*-signature)=[^&\s]", re.IGNORECASE)


class Secret(str):
    """The name of the environment variable that holds a secret; as text it is that name, never the value."""


def is_secret(name: str) -> bool:
    """Tell whether a parameter of this name is secret."""
    lowered = name.lower()
    return any(word in lowered for word in WORDS) or bool(PARTS & set(lowered.split("_")))


def refuse_secret(name: str, value: object) -> None:
    """Refuse a secret on the command line or in a parameter file, whatever it is called.

    Raises
    ------
    MedlibError
        The parameter is secret, or its value holds an address with a password or a key in it. The message never holds the value.
    """
    if is_secret(name):
        raise MedlibError(f"Parameter {name!r} is secret and is given neither with -p nor in a file; set the environment variable "
                          f"{name_variable(name)}.")
    if isinstance(value, str) and WITH_PASSWORD.search(value):
        raise MedlibError(f"Parameter {name!r} must not hold an address with a password or key in it; leave that out, and give it as a "
                          "secret parameter through the environment.")


def name_variable(name: str) -> str:
    """The environment variable that a secret parameter comes from."""
    return f"MEDLIB_SECRET_{name.upper()}"


def hide(parameters: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters with each secret one pointing to its environment variable, or empty where that is not set."""
    return {name: (Secret(name_variable(name)) if os.environ.get(name_variable(name)) else "") if is_secret(name) else value
            for name, value in parameters.items()}


def read_secrets(parameters: Mapping[str, object]) -> dict[str, str]:
    """Return what no file may hold, by name: the values of the secret parameters, and the workspace's key.

    Parameters
    ----------
    parameters : mapping of str to object
        As `hide` returns them, or as they stand in run.json.

    Raises
    ------
    MedlibError
        A secret is not in the environment any more, is too short to be searched for, or stands in another parameter.
    """
    values = {}
    for name in (name for name, value in parameters.items() if is_secret(name) and value):
        values[name] = os.environ.get(name_variable(name), "")
        if len(values[name]) < LEAST_LENGTH:
            raise MedlibError(f"{name_variable(name)} must hold the secret parameter {name!r}, at least {LEAST_LENGTH} characters; it "
                              f"{'is too short' if values[name] else 'is not set'}.")
    if key := os.environ.get("MEDLIB_KEY", "").strip():
        values["MEDLIB_KEY"] = key
    for name, value in parameters.items():
        if isinstance(value, str) and not is_secret(name) and any(secret in value for secret in values.values()):
            raise MedlibError(f"Parameter {name!r} holds the value of a secret; give it without.")
    return values


def mask(text: str, values: Mapping[str, str]) -> str:
    """Return the text with the name of each secret in place of its value."""
    for name, value in values.items():
        for form in {value, json.dumps(value)[1:-1], repr(value)[1:-1]}:
            text = text.replace(form, f"[secret {name}]")
    return text


def mask_outputs(notebook: NotebookNode, values: Mapping[str, str]) -> None:
    """Mask the secrets in a notebook's outputs, in place; called before each time that the notebook is stored."""
    if values:
        for cell in notebook.cells:
            cell.update({name: _mask_within(cell[name], values) for name in ("outputs", "source") if name in cell})


def _mask_within(part: object, values: Mapping[str, str]) -> object:
    if isinstance(part, str):
        return mask(part, values)
    if isinstance(part, dict):
        return type(part)({name: _mask_within(value, values) for name, value in part.items()})
    return [_mask_within(value, values) for value in part] if isinstance(part, list) else part


def register_translator() -> None:
    """Teach papermill to write, for a secret parameter, where its value is to be had instead of the value."""
    from papermill.translators import PythonTranslator, papermill_translators

    class SecretTranslator(PythonTranslator):
        """papermill's own translator, but for secrets."""

        @classmethod
        def translate(cls, val):
            return f"os.environ[{str(val)!r}]" if isinstance(val, Secret) else super().translate(val)

        @classmethod
        def codify(cls, parameters, comment="Parameters"):
            code = super().codify(parameters, comment)
            return f"import os\n{code}" if any(isinstance(value, Secret) for value in parameters.values()) else code

    papermill_translators.register("python", SecretTranslator)
    papermill_translators.register("python3", SecretTranslator)
