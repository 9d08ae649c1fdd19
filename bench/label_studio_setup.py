"""Run by Label Studio's own Python: its database, accounts, a project with tasks. TASKS RATERS FILE

Writes {project, tokens} as JSON into FILE. Its own code, for it has no command that makes several accounts.
"""

import json
import os
import sys
from pathlib import Path

import label_studio

sys.path.insert(0, str(Path(label_studio.__file__).parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "core.settings.label_studio"
import django  # noqa: E402

django.setup()
from django.core.management import call_command  # noqa: E402

CONFIG = """<View><Text name="question" value="$question"/><Text name="a" value="$a"/><Text name="b" value="$b"/>
<Choices name="better" toName="question"><Choice value="A"/><Choice value="B"/><Choice value="tie"/></Choices></View>"""
ANSWER = "model says a sentence. " * 17

if __name__ == "__main__":
    tasks, raters, file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    call_command("migrate", verbosity=0)
    from organizations.models import Organization
    from projects.models import Project
    from rest_framework.authtoken.models import Token
    from tasks.models import Task
    from users.models import User

    users = [User.objects.create_user(f"r{n}@example.com", "a-password-of-r") for n in range(raters)]
    organization = Organization.create_organization(created_by=users[0], title="bench", legacy_api_tokens_enabled=True)
    for user in users:
        if user != users[0]:
            organization.add_user(user)
        user.active_organization = organization
        user.save()
    given = {"title": "bench", "label_config": CONFIG, "maximum_annotations": 1, "created_by": users[0]}
    project = Project.objects.create(**given, organization=organization)
    rows = (
        Task(project=project, data={"question": f"Question {n}?", "a": ANSWER, "b": ANSWER}, overlap=1, inner_id=n + 1)
        for n in range(tasks)
    )
    Task.objects.bulk_create(rows, batch_size=2000)
    tokens = [Token.objects.get_or_create(user=user)[0].key for user in users]
    file.write_text(json.dumps({"project": project.pk, "tokens": tokens}))
