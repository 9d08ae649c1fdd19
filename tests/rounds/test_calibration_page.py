"""What a reward round's page says of its calibration, from result.json alone."""

from django.utils import translation

from feedbackhub.rounds.calibration_page import calibration_differences, calibration_slices


def share(value: float, n: int = 40) -> dict:
    return {"value": value, "lower": value - 0.1, "upper": value + 0.1, "n": n}


def part(**about) -> dict:
    return {**about, "model": share(0.7), "longer": share(0.6)}


def calibration(**differences) -> dict:
    return {
        "accuracy": share(0.7),
        "baselines": {name: {"accuracy": share(0.6), "difference": found} for name, found in differences.items()},
        "slices": [
            {"by": "category", "parts": [part(name="qa"), part(name="")]},
            {"by": "margin", "parts": [part(low=0.333, high=0.333), part(low=0.5, high=1.0)]},
            {"by": "length_difference", "parts": [part(name="chosen_shorter"), part(name="alike")]},
        ],
    }


BETTER = {"value": 0.1, "lower": 0.021, "upper": 0.18, "n": 40}


def test_slices_are_named_and_counted():
    whole, *slices = calibration_slices(calibration(longer=BETTER))
    assert [one["name"] for one in whole["parts"]] == ["All pairs"]
    assert whole["judges"] == ["This model", "The longer wins"], "no baseline that could not be fitted"
    assert [[one["name"] for one in found["parts"]] for found in slices] == [
        ["qa", "Others"], ["0.33", "0.50 to 1.00"], ["shorter", "about as long"]
    ]  # fmt: skip
    assert slices[0]["parts"][0]["n"] == 40
    assert slices[0]["chart"]["series"][1]["values"][0]["value"] == 0.6
    with translation.override("de"):
        assert calibration_slices(calibration(longer=BETTER))[2]["parts"][0]["name"] == "0,33"


def test_a_difference_is_said_with_what_chance_allows():
    worse = {"value": -0.1, "lower": -0.18, "upper": -0.021, "n": 40}
    even = {"value": 0.0, "lower": -0.1, "upper": 0.1, "n": 40}
    said = calibration_differences(calibration(longer=BETTER, tfidf=worse))
    assert said == [
        "Better than “the longer wins” by 10.0 points (95 %: 2.1 to 18.0).",
        "Worse than words and length: −10.0 points (95 %: −18.0 to −2.1).",
    ]
    assert calibration_differences(calibration(longer=even))[0].startswith("No clear difference")


def test_a_calibration_of_earlier_days_has_no_slices():
    earlier = {"temperature": 1.0, "pairs": 4, "longer_accuracy": 0.5, "accuracy_by_length": {}, "reliability": []}
    assert calibration_slices(earlier) == calibration_slices(None) == []
    assert calibration_differences(earlier) == calibration_differences(None) == []
