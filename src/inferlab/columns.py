"""Columns of the tables that serve-and-measure writes, with their dtypes; units in the names."""

REQUEST_COLUMNS: dict[str, str] = {
    # one row a request; times in seconds since the block's start, durations in seconds
    "study": "category",
    "configuration": "category",
    "scenario": "category",
    "machine_id": "category",
    "round": "int16",
    "attempt": "int16",
    "warmup": "bool",  # not measured: warm-up, or load kept up until the last measured request is done
    "scheduled_s": "float32",
    "sent_s": "float32",
    "first_byte_s": "float32",
    "done_s": "float32",
    "status": "category",  # ok, timeout, rejected, error
    "http_status": "int16",  # 0 on the direct path and where no answer came
    "parse_s": "float32",
    "queue_s": "float32",
    "batch_s": "float32",
    "infer_s": "float32",
    "serialize_s": "float32",
    "batch_size": "int16",
    "cached": "bool",  # answered from the server's response cache
}

BLOCK_COLUMNS: dict[str, str] = {
    # one row a block: one configuration under one scenario in one round; the round is the statistical unit
    "study": "str",
    "configuration": "str",
    "model": "str",
    "optimization": "str",
    "target": "str",
    "path": "str",
    "batching": "str",
    "cache_share": "float64",
    "twin": "bool",
    "scenario": "str",
    "machine_id": "str",
    "environment_id": "str",
    "provenance": "str",
    "profile": "str",
    "round": "int64",
    "attempt": "int64",
    "order": "int64",
    "started_unix_s": "float64",
    "duration_s": "float64",
    "warmup_s": "float64",
    "requests_ok": "int64",
    "requests_error": "int64",
    "requests_timeout": "int64",
    "requests_rejected": "int64",
    "offered_rate_per_s": "float64",
    "throughput_per_s": "float64",
    "latency_mean_s": "float64",
    "latency_std_s": "float64",
    "latency_p50_s": "float64",
    "latency_p90_s": "float64",
    "latency_p95_s": "float64",
    "latency_p99_s": "float64",
    "latency_max_s": "float64",
    "batch_size_mean": "float64",
    "cache_hit_share": "float64",
    "cores_granted": "int64",
    "cpu_s": "float64",
    "cores_used": "float64",
    "cpu_utilization_percent": "float64",
    "cpu_s_per_request": "float64",
    "memory_rss_mib": "float64",
    "memory_peak_rss_mib": "float64",
    "memory_pss_mib": "float64",  # the peak
    "memory_utilization_percent": "float64",
    "energy_j": "float64",  # of the CPU packages, all that runs on them
    "energy_j_per_request": "float64",
    "accelerator_utilization_percent": "float64",
    "accelerator_memory_mib": "float64",  # the peak
    "accelerator_latency_p50_s": "float64",
    "accelerator_power_w": "float64",
    "accelerator_energy_j": "float64",
    "accelerator_energy_j_per_request": "float64",
    "accelerator_clock_mhz": "float64",
    "accelerator_throttled_by_heat_percent": "float64",
    "accelerator_throttled_by_power_percent": "float64",
    "client_cpu_percent": "float64",
    "schedule_lag_p99_s": "float64",
    "machine_cpu_other_percent": "float64",
    "cpu_steal_percent": "float64",
    "throttle_events": "float64",
    "load_average_1m": "float64",
    "telemetry_absent": "str",  # JSON: column -> why it is not available
    "outcome": "str",
    "reason": "str",
    "advice": "str",
}


TRIAL_COLUMNS: dict[str, str] = {
    # one row a trial: one candidate for a tuned configuration, searched for its highest rate once, before the rounds
    "study": "str",
    "configuration": "str",
    "model": "str",
    "scenario": "str",
    "machine_id": "str",
    "environment_id": "str",
    "provenance": "str",
    "profile": "str",
    "trial": "int64",  # in the order in which they were tried; 0 is the default
    "batch_limit": "int64",
    "threads": "int64",
    "replicas": "int64",
    "candidates": "int64",  # that there are on the machine
    "cores_granted": "int64",
    "started_unix_s": "float64",
    "duration_s": "float64",  # of starting, warming up and searching
    "capacity_per_s": "float64",
    "rate_per_s": "float64",  # the highest that kept the limit, 0 where none did
    "latency_p99_s": "float64",  # under that rate
    "outcome": "str",
    "reason": "str",
    "chosen": "bool",
}
