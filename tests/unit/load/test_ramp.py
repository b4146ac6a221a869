import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from inferlab.load.arrivals import ConstantArrivals
from inferlab.load.ramp import RampArrivals

RATES = st.floats(0.5, 500)
SECONDS = st.floats(0.1, 10)


def integral(ramp: RampArrivals, until_s: float) -> float:
    """Of the rate from 0 to a moment, by quadrature."""

    def rate_per_s(moment_s: float) -> float:
        share = min(1.0, max(0.0, (moment_s - ramp.hold_s) / ramp.ramp_s))
        return ramp.from_per_s + share * (ramp.to_per_s - ramp.from_per_s)

    corners = [corner for corner in (ramp.hold_s, ramp.hold_s + ramp.ramp_s) if 0 < corner < until_s]
    return float(quad(rate_per_s, 0.0, until_s, points=corners or None)[0])


@given(RATES, RATES, SECONDS, st.floats(0, 3), SECONDS)
def test_the_nth_request_is_due_when_the_integral_of_the_rate_is_n(
    from_per_s: float, to_per_s: float, ramp_s: float, hold_s: float, duration_s: float
) -> None:
    ramp = RampArrivals(from_per_s, to_per_s, ramp_s, hold_s)
    moments = ramp.schedule(duration_s, seed=0)
    assert (np.diff(moments) > 0).all()
    assert moments[0] == 0
    assert moments[-1] < duration_s
    assert abs(len(moments) - integral(ramp, duration_s)) <= 1 + 1e-6
    for number in {len(moments) // 3, len(moments) // 2, len(moments) - 1}:
        assert integral(ramp, float(moments[number])) == pytest.approx(number, abs=1e-5)


def test_a_ramp_between_equal_rates_is_constant() -> None:
    moments = RampArrivals(50.0, 50.0, 2.0).schedule(4.0, seed=0)
    np.testing.assert_allclose(moments, ConstantArrivals(50.0).schedule(4.0, seed=0), atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"from_per_s": 0.0}, "from_per_s"),
        ({"to_per_s": float("inf")}, "to_per_s"),
        ({"ramp_s": 0.0}, "ramp_s"),
        ({"hold_s": -1.0}, "hold_s"),
    ],
)
def test_a_ramp_that_makes_no_sense_is_refused(changes: dict[str, float], name: str) -> None:
    values = {"from_per_s": 1.0, "to_per_s": 2.0, "ramp_s": 1.0, "hold_s": 0.0}
    with pytest.raises(ValueError, match=name):
        RampArrivals(**{**values, **changes})
