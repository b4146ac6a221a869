"""How many processes of the machine run or want to."""

import os

from inferlab.measure.telemetry.base import TELEMETRY, Reading, TelemetrySource


@TELEMETRY.register("load-average")
class LoadAverage(TelemetrySource):
    """The kernel's mean over the last minute, which is longer than a block: it tells of the machine, not of the row."""

    columns = ("load_average_1m",)

    def begin(self, server_pid: int) -> None:
        pass

    def end(self, server_pid: int) -> Reading:
        return {"load_average_1m": os.getloadavg()[0]}
