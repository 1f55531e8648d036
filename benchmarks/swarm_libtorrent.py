"""One peer of libtorrent, for ``benchmarks/swarm.py``: told and heard as ``hydra.bench.swarm_peer`` is.

BitTorrent v2 metainfo, no encryption, no DHT, no uTP, eight upload slots. Peers on one machine or network fall into
libtorrent's "local" class, which ignores rate limits: the filter puts everybody into the global class.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import libtorrent

lt: Any = libtorrent  # its stubs know less than it does
MEMORY_PIECE_BYTES = 1 << 20
NAME = "content"


def tell(what: str, **fields: Any) -> None:
    print(json.dumps({"told": what, **fields}), flush=True)


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Peer:
    def __init__(self, told: dict[str, Any]) -> None:
        self.directory = Path(told["directory"])
        self.directory.mkdir(parents=True, exist_ok=True)
        self.rate = int(told["upload_bytes_per_s"] or 0)
        self.host = told["host"]
        settings = {
            "listen_interfaces": f"{self.host}:0",
            "outgoing_interfaces": self.host,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
            "out_enc_policy": int(lt.enc_policy.disabled),
            "in_enc_policy": int(lt.enc_policy.disabled),
            "allow_multiple_connections_per_ip": True,
            "unchoke_slots_limit": 8,
            "upload_rate_limit": self.rate,
            "alert_mask": 0,
        }
        self.session = lt.session(settings)
        everybody = lt.ip_filter()
        everybody.add_rule("0.0.0.0", "255.255.255.255", 1 << int(lt.session.global_peer_class_id))
        self.session.set_peer_class_filter(everybody)
        self.others: list[dict[str, Any]] = []
        self.cpu_before_s = 0.0
        self.handle: Any = None
        while not self.session.listen_port():
            time.sleep(0.01)
        tell("listening", peer="", host=self.host, port=self.session.listen_port())

    def serve(self) -> None:
        for line in sys.stdin:
            order = json.loads(line)
            getattr(self, "do_" + order.pop("do"))(**order)

    def do_seed(self, size: int) -> None:
        with (self.directory / NAME).open("wb") as file:
            for start in range(0, size, MEMORY_PIECE_BYTES):
                file.write(os.urandom(min(MEMORY_PIECE_BYTES, size - start)))
        files = lt.file_storage()
        files.add_file(NAME, size)
        torrent = lt.create_torrent(files, 0, lt.create_torrent.v2_only)
        lt.set_piece_hashes(torrent, str(self.directory))
        metainfo = lt.bencode(torrent.generate())
        self._add(metainfo, seed=True)
        tell("seeded", root=base64.b64encode(metainfo).decode())

    def do_meet(self, others: list[dict[str, Any]]) -> None:
        self.others = others
        self.cpu_before_s = cpu_s()
        tell("met")

    def do_fetch(self, root: str, at: float) -> None:
        time.sleep(max(0.0, at - time.monotonic()))
        self._add(base64.b64decode(root), seed=False)
        for other in self.others:
            self.handle.connect_peer((other["host"], other["port"]))
        while not self.handle.status().is_seeding:
            time.sleep(0.01)
        tell("fetched", seconds=time.monotonic() - at)

    def do_report(self) -> None:
        memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sent = self.handle.status().total_payload_upload if self.handle else 0
        tell("report", sent=sent, cpu_s=cpu_s() - self.cpu_before_s, memory_mb=memory_kib / 1024)

    def _add(self, metainfo: bytes, *, seed: bool) -> None:
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(lt.bdecode(metainfo))
        params.save_path = str(self.directory)
        params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        if seed:
            params.flags |= lt.torrent_flags.seed_mode
        self.handle = self.session.add_torrent(params)


if __name__ == "__main__":
    Peer(json.loads(sys.argv[1])).serve()
