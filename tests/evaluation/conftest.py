import pytest

from feedbackhub.catalog.models import ModelVersion
from feedbackhub.catalog.services import model_create


@pytest.fixture
def parent(project, weights):
    return model_create(project=project, name="tiny", kind="local", base=str(weights))


@pytest.fixture
def tuned(project, parent):
    """A child with an adapter, as a round makes one; what needs its weights is not asked of it here."""
    return ModelVersion.objects.create(
        project=project, name="tiny+dpo-r1", kind="local", base=parent.base, adapter="/nowhere/adapter", parent=parent
    )


@pytest.fixture
def adapted(project, parent, tmp_path):
    """A child whose adapter looks like one to whoever reads only its headers."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    names = [f"base_model.model.model.embed_tokens.lora_{side}.weight" for side in "AB"]
    entries = ",".join(
        f'"{name}":{{"dtype":"F32","shape":[1,1],"data_offsets":[{4 * n},{4 * n + 4}]}}' for n, name in enumerate(names)
    )
    header = f"{{{entries}}}".encode()
    (folder / "adapter_model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 1}')
    return ModelVersion.objects.create(
        project=project, name="tiny+dpo-r1", kind="local", base=parent.base, adapter=str(folder), parent=parent
    )
