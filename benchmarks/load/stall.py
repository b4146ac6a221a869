"""No coordinated omission: a server that stands still once for one second in 20 s, at 200 requests/s."""

from __future__ import annotations

import argparse

from servers import inferlab_load, served


def main() -> None:
    """Print what `inferlab load` reports, in an open loop and, for contrast, in a closed one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, nargs=2, default=[1, 0], help="of the server and of the load generator")
    options = parser.parse_args()
    server, client = options.cores
    for name, arguments in {
        "open loop, 200/s": ("--scenario", "open", "--rate", "200"),
        "closed loop, 1 client": ("--clients", "1"),
    }.items():
        with served("stall", server) as url:
            found = inferlab_load(url, client, *arguments, "--duration", "20", "--warmup", "1")
        shown = "  ".join(f"{q} {found[f'latency_{q}_s'] * 1e3:8.3f} ms" for q in ("p50", "p95", "p99", "max"))
        print(f"{name:22s} {found['requests_ok']:7,d} requests  {shown}  {found['outcome']}")


if __name__ == "__main__":
    main()
