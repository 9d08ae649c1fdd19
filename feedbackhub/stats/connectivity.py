"""Which models can be rated: Bradley–Terry ratings are finite only where everybody both won and lost, directly or not.

Take a graph with an edge from i to j when i has won a vote against j; a tie is an edge both ways. The maximum of the
likelihood is finite exactly inside a strongly connected component (Ford, 1957, "Solution of a ranking problem from
binary comparisons"). The largest component is rated. A component needs two models to be rated, for a model alone is
compared with nobody. Of components of one size, the one with more votes inside is taken, then the one with the lowest
model index.

What is said of the others, the first that is true:

- `unconnected`: the model has no votes.
- `only_wins`: it won every vote it had. Nothing bounds its rating from above.
- `only_losses`: it lost every vote it had. Nothing bounds its rating from below.
- `unconnected`: no chain of votes, in any direction, leads from it to a rated model.
- `separated`: votes lead to the rated models, but all in one direction: it, or the group that it is in, is only above
  or only below them; how far cannot be said.
"""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from feedbackhub.stats.tallies import Tallies

OK = "ok"
ONLY_WINS = "only_wins"
ONLY_LOSSES = "only_losses"
SEPARATED = "separated"
UNCONNECTED = "unconnected"


def rated_component(tallies: Tallies) -> np.ndarray:
    """Ascending indices of the models that can be rated together; empty when no two models can."""
    if tallies.models == 0:
        return np.empty(0, dtype=np.int64)
    edges = csr_array(tallies.wins + tallies.ties)
    count, label = connected_components(edges, directed=True, connection="strong")
    size = np.bincount(label, minlength=count)
    same = label[:, None] == label[None, :]
    votes = np.bincount(label, (tallies.games * same).sum(axis=1), count)
    first = np.full(count, tallies.models)
    np.minimum.at(first, label, np.arange(tallies.models))
    best = min(range(count), key=lambda component: (-size[component], -votes[component], first[component]))
    return np.flatnonzero(label == best) if size[best] >= 2 else np.empty(0, dtype=np.int64)


def statuses(tallies: Tallies, rated: np.ndarray) -> list[str]:
    """A status word for each model (see above); `rated` is what `rated_component` returned."""
    if tallies.models == 0:
        return []
    wins, losses, ties = tallies.wins.sum(axis=1), tallies.wins.sum(axis=0), tallies.ties.sum(axis=1)
    _, island = connected_components(csr_array(tallies.games), directed=False)
    words = []
    inside = set(rated.tolist())
    for model in range(tallies.models):
        if model in inside:
            words.append(OK)
        elif wins[model] + losses[model] + ties[model] == 0:
            words.append(UNCONNECTED)
        elif losses[model] + ties[model] == 0:
            words.append(ONLY_WINS)
        elif wins[model] + ties[model] == 0:
            words.append(ONLY_LOSSES)
        elif rated.size and island[model] != island[rated[0]]:
            words.append(UNCONNECTED)
        else:
            words.append(SEPARATED)
    return words


def islands(tallies: Tallies) -> int:
    """How many groups of models with votes there are that no vote connects."""
    played = np.flatnonzero(tallies.games.sum(axis=1))
    return int(connected_components(csr_array(tallies.games[np.ix_(played, played)]), directed=False)[0])
