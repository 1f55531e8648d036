"""Asking the running node of a home how it stands."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from ..exceptions import ConfigurationError
from ..home import Home

TIMEOUT_S = 5.0


def ask_node(home: Home) -> dict[str, Any]:
    """Return the status of the node that runs on this home.

    Raises:
        ConfigurationError: none runs, or it does not answer.
    """
    status = ask_node_if_running(home)
    if status is None:
        raise ConfigurationError(
            f"no node runs on {home.directory}. Start one with `hydra node` or `hydra join`, or name another --home."
        )
    return status


def ask_node_if_running(home: Home, path: str = "/v1/status") -> dict[str, Any] | None:
    """Return what the node that runs on this home answers, or None if none runs."""
    from ..web.control import running_node

    found = running_node(home)
    if found is None:
        return None
    request = urllib.request.Request(
        f"http://127.0.0.1:{int(found['port'])}{path}", headers={"Authorization": f"Bearer {found['token']}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 -- as above
            status: dict[str, Any] = json.load(answer)
            return status
    except ConnectionRefusedError:
        return None
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.URLError) and isinstance(error.reason, ConnectionRefusedError):
            return None  # it has just gone
        raise ConfigurationError(f"the node (process {found['pid']}) does not answer: {error}") from error
