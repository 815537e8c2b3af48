"""Adding up the metrics of several workers."""

from filters.process.metrics import added_up

ONE = b"""# HELP a_total Things.
# TYPE a_total counter
a_total{model="x y"} 1.0
a_total{model="z"} 2
# TYPE h histogram
h_bucket{le="+Inf"} 3.0
h_sum 0.5
"""
TWO = b"""# HELP a_total Things.
# TYPE a_total counter
a_total{model="x y"} 10.0
# TYPE g gauge
g 1.0
not a sample
"""


def test_every_series_is_there_once_with_its_sum() -> None:
    assert added_up([ONE, TWO]).decode() == (
        "# HELP a_total Things.\n# TYPE a_total counter\n"
        'a_total{model="x y"} 11.0\na_total{model="z"} 2.0\n'
        '# TYPE h histogram\nh_bucket{le="+Inf"} 3.0\nh_sum 0.5\n'
        "# TYPE g gauge\ng 1.0\n"
    )


def test_no_workers_give_an_empty_page() -> None:
    assert added_up([]) == b""
