"""2,000 odd inputs (`tests/fuzz.py`); `make fuzz` tries 100,000."""

import fuzz


def test_odd_inputs_give_a_right_answer_or_one_line():
    counts, faults = fuzz.run(2_000)
    assert not faults, "\n\n".join(faults)
    for case in fuzz.CASES:  # each was tried, and is not all refusals
        assert counts[case.__name__, "right"] > 2, case.__name__
        assert counts[case.__name__, "right"] + counts[case.__name__, "refused"] > 60


def test_a_function_that_answers_wrongly_or_at_length_is_seen(monkeypatch):
    monkeypatch.setattr(fuzz, "CASES", (fuzz.inception,))
    monkeypatch.setattr(
        fuzz.metrics, "inception_score", lambda logits, splits: fuzz.metrics.MetricResult.of("x", 0.5, 1)
    )
    counts, faults = fuzz.run(30)
    assert counts["inception", "RAW"] > 20 and "is not between 1 and k" in faults[0]
