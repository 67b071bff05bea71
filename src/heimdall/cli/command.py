"""A command that refuses the options an empty shell variable or a broken text leaves behind."""

from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperOption
from typing_extensions import override

NAMED = ("JOB", "DATASET")  # these say themselves what they cannot name
HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class Command(TyperCommand):
    def __init__(self, name: str | None, **settings: Any) -> None:
        settings["context_settings"] = HELP_NAMES | (settings.get("context_settings") or {})
        super().__init__(name, **settings)

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # a shell completes a line that is not whole yet
            return super().parse_args(ctx, args)
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        for param in self.params:
            for word in _words(given.get(str(param.name))):
                if isinstance(param, TyperOption) and not word.strip():
                    raise typer.BadParameter("it is empty; was a shell variable empty?", ctx, param)
        rest = super().parse_args(ctx, args)
        for param in self.params:
            if getattr(param, "metavar", None) not in NAMED:
                for word in _words(ctx.params.get(str(param.name))):
                    _check_is_text(word, param, ctx)
        return rest


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list | tuple):
        return []
    return [word for word in cast("list[Any]", value) if isinstance(word, str)]  # a path may be any bytes


def _check_is_text(word: str, param: Any, ctx: Any) -> None:
    """Raises: typer.BadParameter, naming the option."""
    try:
        word.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter(f"{word!r} is not text in UTF-8.", ctx, param) from None
