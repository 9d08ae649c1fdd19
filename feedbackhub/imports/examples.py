"""A line of each kind, as the page and the documents show it."""

from django.utils.translation import gettext_lazy as _

EXAMPLES: dict[str, str] = {
    "prompts": '{"prompt": "Why is the sky blue?", "references": ["Air scatters blue light most."], '
    '"category": "science", "split": "test", "id": "q-17"}',
    "outputs": '{"prompt": "Why is the sky blue?", "outputs": [{"model": "small", "text": "It is the sea."}, '
    '{"model": "large", "text": "Air scatters blue light most."}]}',
    "votes": '{"model_a": "small", "model_b": "large", "winner": "model_b", "judge": "ann", "question_id": "q-17", '
    '"timestamp": "2024-05-01T09:30:00Z", "id": 0}',
    "preferences": '{"prompt": "Why is the sky blue?", "chosen": "Air scatters blue light most.", '
    '"rejected": "It is the sea.", "chosen_model": "large", "rejected_model": "small", "source": "survey"}',
}
WHAT_FOR: dict[str, str] = {
    "prompts": _("What models shall answer."),
    "outputs": _("Answers of models, to be rated here; pictures and videos too: media."),
    "votes": _("Comparisons that were made elsewhere. They count on the leaderboard; with both texts they train too."),
    "preferences": _("Pairs of a better and a worse answer. They train; with both models named they count as votes."),
}
