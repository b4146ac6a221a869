"""Mutated and random requests against the server: no 5xx, no crash, memory flat.

Valid requests of every path are cut, doubled, spliced and sprinkled with other bytes, in bodies and headers. For
requests made from the OpenAPI document use schemathesis (see README.md).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections import Counter

import aiohttp
import numpy as np
from endpoint import serving, tree_pss_mib

from inferlab.serve.openinference import encode_request

PATHS = (
    "/v2/models/noop/infer",
    "/v2/models/noop/versions/1/infer",
    "/predict/noop",
    "/invocations",
    "/v2/models/nope/infer",
    "/v2/models/noop/config",
    "/v2/repository/index",
    "/v2/health/ready",
    "/metrics",
    "/%00",
    "/v2/models/%ff/infer",
    "/predict/../predict/noop",
)
TYPES = (
    "application/json",
    "application/octet-stream",
    "text/plain",
    "image/png",
    "multipart/form-data; boundary=x",
    "application/vnd.sagemaker-triton.binary+json;json-header-size=40",
    "application/xml",
    ";;;",
)
WORDS = (
    b"null",
    b"NaN",
    b"-1",
    b"1e999",
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b"\xff\xfe",
    b"\x00",
    b"9" * 40,
    b"inputs",
    b"shape",
)


def valid(generator: random.Random) -> tuple[str, bytes, dict[str, str]]:
    """A request that the server answers with 200."""
    items = generator.choice((1, 1, 1, 3, 8))
    ids = np.full((items, 128), generator.randrange(30000), np.int64)
    if generator.random() < 0.3:
        return "/predict/noop", json.dumps({"input_ids": ids[0].tolist()}).encode(), {"Content-Type": TYPES[0]}
    body, headers = encode_request(
        {"input_ids": ids}, binary=generator.random() < 0.6, binary_outputs=generator.random() < 0.5, id="fuzz"
    )
    return generator.choice(PATHS[:2]), body, headers


def mutated(generator: random.Random) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, path, body and headers."""
    path, body, headers = valid(generator)
    method = "POST"
    for _ in range(generator.choice((0, 1, 1, 2, 4))):
        kind = generator.randrange(9)
        at = generator.randrange(len(body) + 1)
        if kind == 0:
            body = body[:at]
        elif kind == 1:
            body = body[:at] + generator.choice(WORDS) + body[at:]
        elif kind == 2:
            body = body[:at] + generator.randbytes(generator.randrange(20)) + body[at + generator.randrange(20) :]
        elif kind == 3:
            body = body + body
        elif kind == 4:
            body = generator.randbytes(generator.randrange(300))
        elif kind == 5:
            path = generator.choice(PATHS)
        elif kind == 6:
            headers = {**headers, "Content-Type": generator.choice(TYPES)}
        elif kind == 7:
            length = generator.choice(("-1", "abc", "0", "5", "99999999999999", str(at)))
            headers = {**headers, "Inference-Header-Content-Length": length}
        else:
            name = generator.choice(("Content-Encoding", "Request-Timeout-Ms", "Authorization", "Accept"))
            headers = {**headers, name: generator.choice(("gzip", "deflate", "0", "-3", "1e9", "x" * 50))}
    if generator.random() < 0.03:
        method = generator.choice(("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"))
    return method, path, body, headers


async def fuzz(port: int, count: int, seed: int) -> Counter[int]:
    """Send them over eight connections; returns how often each status came."""
    statuses: Counter[int] = Counter()
    left = iter(range(count))

    async def call(session: aiohttp.ClientSession) -> None:
        for number in left:
            method, path, body, headers = mutated(random.Random((seed << 32) + number))
            url = f"http://127.0.0.1:{port}{path}"
            async with session.request(method, url, data=body, headers=headers) as response:
                content = await response.read()
                statuses[response.status] += 1
                if response.status >= 500 and response.status not in (503, 504):
                    raise SystemExit(f"request {number} of seed {seed}: {method} {path}: {response.status} {content!r}")
                if b"Traceback" in content:
                    raise SystemExit(f"request {number} of seed {seed}: a traceback in the answer")

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(call(session))
    return statuses


def main() -> None:
    """Print the statuses and the memory before, in the middle and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--core", type=int, default=0)
    options = parser.parse_args()
    with serving([f"noop=noop,original,cpu-eager,cores={options.core}"], options.core) as (process, port):
        memory_mib: list[float] = []
        statuses: Counter[int] = Counter()
        for part in range(10):
            statuses += asyncio.run(fuzz(port, options.count // 10, options.seed * 100 + part))
            memory_mib.append(tree_pss_mib(process.pid))
            print(f"{sum(statuses.values())} requests, {memory_mib[-1]:.1f} MiB", flush=True)
        assert process.poll() is None
    print(f"answers by status: {dict(sorted(statuses.items()))}")
    print(f"memory PSS: {memory_mib[0]:.1f} MiB after a tenth, {memory_mib[-1]:.1f} MiB at the end")


if __name__ == "__main__":
    main()
