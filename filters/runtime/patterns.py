"""Regular expressions as Envoy reads them: RE2 on UTF-8, full match.

Header values are ISO-8859-1 text here (`filters.contract.headers`), one character per byte; `wire` and `text_of` go
between that and Unicode.
"""

from collections.abc import Callable

from filters.runtime.errors import ConfigError

FullMatch = Callable[[str], bool]


def wire(text: str) -> str:
    """Unicode text as the header value that carries it in UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("latin-1")


def text_of(value: str) -> str:
    """Inverse of `wire`; a value that is not UTF-8 stays as it is."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def compile_pattern(pattern: str, where: str) -> FullMatch:
    """`pattern` as a predicate on a whole header value. `where` names it in the ConfigError for a pattern that is not
    RE2."""
    # Here and not above: the library takes 3 MiB, and most configurations have no regular expression.
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        fullmatch = re2.compile(pattern, options=options).fullmatch
    except re2.error as exc:
        raise ConfigError(f"{where}: {pattern!r} is not a regular expression (RE2)") from exc
    return lambda value: fullmatch(text_of(value)) is not None
