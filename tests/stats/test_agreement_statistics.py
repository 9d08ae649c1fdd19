"""Agreement: textbook data, published values, hand-worked cases, and what cannot be had."""

import numpy as np
import pytest

from feedbackhub.stats.agreement import agreement

NONE = None
TEXTBOOK = [  # Krippendorff (2011), "Computing Krippendorff's alpha-reliability", part C: four observers, twelve units
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
    [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
]
ROWS = [(unit, observer, label) for observer, labels in enumerate(TEXTBOOK) for unit, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("level", "alpha"), [("nominal", 0.743421), ("ordinal", 0.815388), ("interval", 0.849107), ("ratio", 0.797403)]
)
def test_krippendorff_textbook(level, alpha):
    assert agreement(ROWS, level=level)["krippendorff_alpha"].value == pytest.approx(alpha, abs=1e-6)


@pytest.mark.parametrize(
    ("level", "name", "value"),
    [
        ("nominal", "gwet_ac1", 0.7754440681),
        ("ordinal", "gwet_ac2", 0.8989397699),
        ("interval", "gwet_ac2", 0.9140007236),
    ],
)
def test_gwet_on_the_same_data_equals_irrcac(level, name, value):
    assert agreement(ROWS, level=level)[name].value == pytest.approx(value, abs=1e-9)


GRADES = [  # forty items by four raters, from 1 to 5, some missing
    ".2322.514.45.1325.53..22235.411..5225.52",
    ".1.2345132.54141344542244351.21.13424452",
    "11342441324.412155.35.1243.1513.242..44.",
    "11.435414144424.345..1142..24135353454.3",
]


@pytest.mark.parametrize(
    ("level", "alpha", "ac2"),
    [("ordinal", 0.7165977246706069, 0.6984204632), ("interval", 0.7210630353613001, 0.7521722754)],
)
def test_graded_judgments_equal_krippendorff_and_irrcac(level, alpha, ac2):
    """Expected: krippendorff 0.9.0; irrCAC 0.4.4 with ordinal and with quadratic weights."""
    grades = [(item, rater, int(g)) for rater, row in enumerate(GRADES) for item, g in enumerate(row) if g != "."]
    found = agreement(grades, level=level)
    assert found["krippendorff_alpha"].value == pytest.approx(alpha, abs=1e-9)
    assert found["gwet_ac2"].value == pytest.approx(ac2, abs=1e-9)
    for name in ("krippendorff_alpha", "gwet_ac2"):
        assert found[name].lower < found[name].value < found[name].upper


def test_percent_on_the_same_data():
    assert agreement(ROWS)["percent"].value == pytest.approx(0.818182, abs=1e-6)


def test_cohen_by_hand():
    # both yes 20, both no 15, first yes second no 5, the other way 10: 0.7 seen, 0.5 by chance
    cells = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    rows = [(item, rater, pair[rater]) for item, pair in enumerate(cells) for rater in (0, 1)]
    assert agreement(rows)["cohen_kappa"].value == pytest.approx(0.4)


def test_fleiss_worked_example():
    # Fleiss' kappa of the table in Wikipedia's "Fleiss' kappa" (10 items, 14 raters, 5 categories): 0.210
    table = "0 0 0 0 14/0 2 6 4 2/0 0 3 5 6/0 3 9 2 0/2 2 8 1 1/7 7 0 0 0/3 2 6 3 0/2 5 3 2 2/6 5 2 1 0/0 2 2 3 7"
    rows = []
    for item, counts in enumerate(table.split("/")):
        labels = [category for category, count in enumerate(counts.split()) for _ in range(int(count))]
        rows += [(item, rater, label) for rater, label in enumerate(labels)]
    assert agreement(rows)["fleiss_kappa"].value == pytest.approx(0.20993, abs=1e-5)


def rows_of(*items):
    """Items as strings of labels, one a rater in order; a dot is no answer."""
    return [
        (item, rater, label) for item, labels in enumerate(items) for rater, label in enumerate(labels) if label != "."
    ]


def test_fleiss_takes_the_items_with_the_usual_number_of_judgments():
    complete = rows_of("aab", "bbb", "aaa", "abb")
    more = rows_of("aab", "bbb", "aaa", "abb", "ab.", "a..", "a..", "a..", "a..", "a..")
    assert agreement(more)["fleiss_kappa"].value == pytest.approx(agreement(complete)["fleiss_kappa"].value)


def test_cohen_over_pairs_of_raters_weighs_the_items_that_they_share():
    # raters 0 and 1 share eight items with kappa ½, raters 1 and 2 four with kappa 1
    rows = rows_of("aa.", "aa.", "aa.", "ab.", "bb.", "bb.", "bb.", "ba.", ".aa", ".aa", ".bb", ".bb")
    assert agreement(rows)["cohen_kappa"].value == pytest.approx((8 * 0.5 + 4 * 1) / 12)


def test_skewed_labels_break_kappa_and_not_gwet():
    pairs = [("good", "good")] * 95 + [("good", "bad")] * 3 + [("bad", "good")] * 2
    result = agreement([(item, rater, pair[rater]) for item, pair in enumerate(pairs) for rater in (0, 1)])
    assert result["percent"].value == pytest.approx(0.95)
    assert result["cohen_kappa"].value < 0
    assert result["gwet_ac1"].value > 0.94


def test_intervals_hold_the_value_and_repeat():
    first, again, other = (agreement(ROWS, seed=seed) for seed in (7, 7, 8))
    for statistic in first.statistics:
        assert statistic.lower < statistic.value < statistic.upper
        assert statistic == again[statistic.name]
    assert other["krippendorff_alpha"].lower != first["krippendorff_alpha"].lower


def test_intervals_narrow_with_the_root_of_the_items():
    copies = [((unit, copy), observer, label) for unit, observer, label in ROWS for copy in range(16)]
    wide, narrow = agreement(ROWS)["percent"], agreement(copies)["percent"]
    assert narrow.value == pytest.approx(wide.value)
    assert (narrow.upper - narrow.lower) * 4 == pytest.approx(wide.upper - wide.lower, rel=0.2)


def test_labels_beyond_chance_only_by_luck_give_alpha_near_zero():
    labels = np.random.default_rng(0).integers(3, size=(2000, 3))
    result = agreement([(item, rater, int(label)) for (item, rater), label in np.ndenumerate(labels)])
    for name in ("krippendorff_alpha", "gwet_ac1", "cohen_kappa", "fleiss_kappa"):
        assert result[name].lower < 0 < result[name].upper
        assert abs(result[name].value) < 0.03


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "there are no judgments"),
        ([(1, "ann", "x"), (2, "bob", "y")], "no item was judged by two raters"),
    ],
)
def test_without_shared_items_all_are_undefined_in_words(rows, reason):
    for statistic in agreement(rows).statistics:
        assert (statistic.value, statistic.lower, statistic.upper) == (None, None, None)
        assert statistic.undefined_because == reason


def test_one_label_leaves_only_percent():
    result = agreement([(item, rater, "tie") for item in range(5) for rater in ("ann", "bob")])
    assert result["percent"].value == 1
    for name in ("krippendorff_alpha", "gwet_ac1", "cohen_kappa", "fleiss_kappa"):
        assert result[name].value is None
        assert "same label" in result[name].undefined_because


def test_a_possible_label_that_nobody_gave_makes_gwet_defined():
    rows = [(item, rater, "a") for item in range(5) for rater in ("ann", "bob")]
    assert agreement(rows, categories=["a", "b"])["gwet_ac1"].value == 1


def test_one_item_has_no_interval():
    percent = agreement([(1, "ann", "a"), (1, "bob", "b")])["percent"]
    assert (percent.value, percent.lower, percent.undefined_because) == (0, None, None)


def test_raters_and_counts():
    result = agreement([(1, "ann", "a"), (1, "bob", "a"), (1, "eve", "b"), (2, "ann", "b"), (2, "bob", None)])
    assert (result.items, result.judgments) == (2, 4)
    ann, *_ = result.raters
    assert (ann.rater, ann.judgments, ann.comparisons, ann.percent) == ("ann", 2, 2, 0.5)
    assert result.as_dict()["statistics"][0]["name"] == "percent"


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([(1, "ann", "a"), (1, "ann", "b")], {}, "rater 'ann' judged item 1 twice"),
        ([(1, "ann", "a")], {"categories": ["b"]}, "label 'a' is not among"),
        ([(1, "ann", "a")], {"level": "interval"}, "finite numbers"),
        ([(1, "ann", "a"), (1, "bob", 2)], {"level": "ordinal"}, "give categories"),
        ([], {"level": "cardinal"}, "none of nominal"),
    ],
)
def test_bad_input_is_named(rows, settings, message):
    with pytest.raises(ValueError, match=message):
        agreement(rows, **settings)


@pytest.mark.data
@pytest.mark.parametrize("name", ["multirater_pandalm.jsonl", "multirater_xsum_factuality.jsonl"])
def test_real_raters_equal_the_reference(name, lines, reference):
    rows = [(row["item_id"], rater, label) for row in lines(name) for rater, label in row["ratings"].items()]
    expected, result = reference[name], agreement(rows)
    assert result.items == len({item for item, _, label in rows if label is not None})
    assert result["krippendorff_alpha"].value == pytest.approx(expected["krippendorff_alpha_nominal"], abs=1e-9)
    assert result["fleiss_kappa"].value == pytest.approx(expected["fleiss_kappa_complete_items"], abs=1e-9)
    pairs = {key: value for key, value in expected.items() if key.startswith("cohen_kappa_")}
    assert len(pairs) == 3
    for key, value in pairs.items():
        two = [row for row in rows if row[1] in [rater for rater in expected["raters"] if rater in key]]
        assert agreement(two)["cohen_kappa"].value == pytest.approx(value, abs=1e-9)
    assert result["cohen_kappa"].value == pytest.approx(np.mean(list(pairs.values())), abs=1e-4)  # weighed by items
    in_order = {label: place for place, label in enumerate(expected["categories"])}
    two_labels = [(item, rater, in_order.get(label)) for item, rater, label in rows if label is not None]
    if len(in_order) == 2:  # with two labels every level is the nominal one
        for level in ("ordinal", "interval"):
            found = agreement(two_labels, level=level)
            assert found["krippendorff_alpha"].value == pytest.approx(expected["krippendorff_alpha_nominal"], abs=1e-9)
            assert found["gwet_ac2"].value == pytest.approx(result["gwet_ac1"].value, abs=1e-9)
