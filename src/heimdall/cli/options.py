"""Arguments and options that many commands share."""

from typing import Annotated

import typer

JobRef = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job, its first characters, or the job's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Url = Annotated[
    str | None,
    typer.Option("--url", help="Address of the service (HEIMDALL_URL, or http://127.0.0.1:8001).", show_default=False),
]
Values = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Config fields; see `heimdall trainers KIND`.")
]
Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Watch the job until it ends; the exit code says how it ended.")
]
DatasetName = Annotated[
    str | None, typer.Option("--dataset", help="Dataset to train on, by name or id; the same as dataset_id=NAME.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DataDir = Annotated[str | None, typer.Option(help="Folder of the database, artifacts and caches.", show_default=False)]
DatabaseUrl = Annotated[
    str | None, typer.Option(help="sqlite:///… or postgresql://…; SQLite in the data folder.", show_default=False)
]
Host = Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).", show_default=False)]
Port = Annotated[int | None, typer.Option(help="Port to listen on (8001).", show_default=False)]
Slots = Annotated[int | None, typer.Option(help="Jobs that run at once (1).", show_default=False)]
