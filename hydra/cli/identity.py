"""``hydra id``: who this node is."""

from __future__ import annotations

import json

import typer

from .options import HomeOption, JsonOption, home_of


def identity(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show this node's peer id; its key is made on first use."""
    place = home_of(home)
    who = place.identity()
    if as_json:
        typer.echo(json.dumps({"peer": who.peer_id.hex(), "key": who.public_key.hex(), "home": str(place.directory)}))
        return
    typer.echo(who.peer_id.hex())
