"""How much load one core makes: `inferlab load` on one core against a bare ASGI function on another."""

from __future__ import annotations

import argparse

from servers import inferlab_load, served

CASES = {
    "closed loop, 8 clients": ("--clients", "8", "--ceiling"),
    "open loop, 1,000/s": ("--scenario", "open", "--rate", "1000"),
    "open loop, 5,000/s": ("--scenario", "open", "--rate", "5000"),
    "open loop, 1,000/s, poisson": ("--scenario", "open", "--rate", "1000", "--arrivals", "poisson"),
    "open loop, 5,000/s, poisson": ("--scenario", "open", "--rate", "5000", "--arrivals", "poisson"),
}


def main() -> None:
    """Print throughput, schedule lag and CPU of the client in every case, a line a round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", type=float, default=10.0)
    parser.add_argument("--cores", type=int, nargs=2, default=[1, 0], help="of the server and of the load generator")
    options = parser.parse_args()
    server, client = options.cores
    with served("bare", server) as url:
        for _ in range(options.rounds):
            for name, arguments in CASES.items():
                found = inferlab_load(url, client, *arguments, "--duration", str(options.duration))
                ceiling_per_s = found["ceiling_per_s"]
                print(
                    f"{name:28s} {found['throughput_per_s']:9,.0f} requests/s  p99 of the lag "
                    f"{found['schedule_lag_p99_s'] * 1e3:7.3f} ms  client {found['client_cpu_percent']:5.1f} % of its "
                    f"core  {found['outcome']}" + (f"  ceiling {ceiling_per_s:,.0f}" if ceiling_per_s else ""),
                    flush=True,
                )


if __name__ == "__main__":
    main()
