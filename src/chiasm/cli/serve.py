"""``chiasm serve``: a local model as a server of the OpenAI chat API."""

from __future__ import annotations

from typing import Annotated

import typer


def serve(
    model: Annotated[
        str, typer.Argument(help="zoo:NAME, a folder, an id on the Hugging Face hub, or python:FILE.py:NAME.")
    ],
    *,
    port: Annotated[int, typer.Option(help="Port to listen at.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen at; this machine alone by default.")] = "127.0.0.1",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …")] = None,
) -> None:
    """Serve a model that answers (a decoder, ViLT, BLIP) by the OpenAI chat API, with true log-probabilities.

    It asks for no key, and listens at this machine alone unless --host says otherwise.
    """
    from chiasm.models.hub import load
    from chiasm.serve.app import make_app

    app = make_app(load(model, **({} if device is None else {"device": device})), model)
    import uvicorn

    uvicorn.run(app, host=host, port=port, log_level="warning")
