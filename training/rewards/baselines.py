"""What needs no model: preferences told from length, or from words and length. A reward model must beat both."""

from collections.abc import Sequence

import numpy as np

from ..data import Pair

ROWS = 50_000  # training pairs that the linear baseline is fitted on, at most: spread evenly over all


def longer(pairs: Sequence[Pair]) -> list[float]:
    """How far "the longer wins" prefers the chosen answer, in characters; [pairs]."""
    return [float(pair.characters[0] - pair.characters[1]) for pair in pairs]


def tfidf(train: Sequence[Pair], validation: Sequence[Pair]) -> list[float] | None:
    """How far a linear model of words and length prefers the chosen answers of `validation`; [pairs].

    Logistic regression without an intercept on the difference of the two answers' TF-IDF vectors (scikit-learn's
    defaults: words of two letters and more, smoothed idf, L2 norm) and the logarithm of their lengths' ratio, with an
    L2 penalty of C = 1. Fitted on `train` alone. None where it has nothing to go by: no two words in all of it.
    """
    from scipy.sparse import hstack, vstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    train = train[:: -(-len(train) // ROWS)]
    words = TfidfVectorizer()
    try:
        words.fit([text for pair in train for text in pair.texts])
    except ValueError:  # an empty vocabulary
        return None

    def differences(pairs: Sequence[Pair]):
        chosen, rejected = (words.transform([pair.texts[side] for pair in pairs]) for side in (0, 1))
        lengths = np.array([pair.characters for pair in pairs], dtype=float) + 1
        return hstack([chosen - rejected, np.log(lengths[:, :1] / lengths[:, 1:])]).tocsr()

    made = differences(train)
    # Each pair from both sides, since a classifier wants two classes; so the penalty is halved.
    sides = np.repeat([1, -1], len(train))
    linear = LogisticRegression(C=0.5, fit_intercept=False, max_iter=1000).fit(vstack([made, -made]), sides)
    return linear.decision_function(differences(validation)).tolist()
