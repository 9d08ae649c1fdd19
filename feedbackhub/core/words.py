"""Words that data carry (roles, states, reasons), named here so that they are translated where they are shown.

Where they come from knows nothing of languages: the statistics, the training, codes in the database.
"""

from django.utils.translation import gettext_noop as said

ROLES = (said("rater"), said("admin"), said("stakeholder"))
TURNS = (said("system"), said("user"), said("assistant"))
SPLITS = (said("train"), said("validation"), said("test"))
ROWS = (said("prompts"), said("models"), said("outputs"), said("votes"), said("preferences"))
SOURCES = (said("rater"), said("simulated"), said("votes"), said("preferences"), said("adjudication"))
PHASES = (said("loading"), said("sampling"), said("training"), said("evaluating"), said("generating"), said("saving"))
PHASES_OF_AN_EXPORT = (said("merging"), said("converting"))
PHASES_OF_AN_ESTIMATE = (said("evaluations"), said("samples"), said("estimating"))
MEMORY = (said("weights"), said("optimiser"), said("logits"), said("activations"), said("program"))
STATES = (said("draft"), said("queued"), said("running"), said("stopping"))
OUTCOMES = (said("completed"), said("stopped"), said("interrupted"), said("failed"))
DIFFERENCES = (said("better"), said("worse"), said("no difference"), said("too few rows"))
STANDINGS = (said("only wins"), said("only losses"), said("separated"), said("unconnected"))
LEFT_OUT = (
    said("identical answers"),
    said("margin too small"),
    said("no majority"),
    said("no demonstration"),
    said("test split"),
)
NOT_MADE = (
    said("already exists"),
    said("outputs missing"),
    said("identical outputs"),
    said("no group for language"),
    said("limit reached"),
)
WITHOUT_A_VALUE = (
    said("there are no judgments"),
    said("no three models have all been decided against each other"),
    said("not every pair of models is decided"),
    said("there are no decided pairs"),
    said("work began less than 3 hours ago"),
    said("fewer than 20 judgments came lately"),
    said("no item was judged by two raters"),
    said("every judgment has the same label, so agreement by chance cannot be told from real agreement"),
    said("the items with equally many judgments all have the same label"),
    said("wherever two raters judged the same items, both gave one and the same label throughout"),
    said("no two models have both won and lost against each other, directly or through others"),
    said("the length difference is the same in every vote, so its effect cannot be estimated"),
    said("length follows from which models were compared, so its effect cannot be told from theirs"),
    said("length alone settles votes that the models leave open, so its effect has no bound"),
)
