"""The page of engines: how fast each runs on this machine in each precision, against PyTorch eager in fp32."""

from inferlab.report.optimization import optimization_tables
from inferlab.report.source import Report
from inferlab.report.text import Fragment, paragraph

STUDY = "engines"
NOT_SELECTED = (
    "The study was not measured: this run does not select it. Have run.studies in params.yaml select engines, "
    "run.targets and run.optimizations what it covers, and run.models gemm, resnet-50 and bert-base."
)


def engine_tables(report: Report) -> Fragment:
    """For each machine and model every engine in every precision; speed-ups are against cpu-eager in fp32."""
    frames = [report.of_set("optimization", found) for found in report.sets]
    if not any((frame["study"] == STUDY).any() for frame in frames):
        return Fragment(paragraph(NOT_SELECTED))
    return optimization_tables(report, STUDY)
