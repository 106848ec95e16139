"""What the server tells of its models: in the words of TEI, of OpenAI and of Weaviate."""

from __future__ import annotations

from ltr import __version__
from ltr.serving.dialects.base import Json
from ltr.serving.problems import Problem
from ltr.serving.service import READERS, Service
from ltr.serving.work.models import Model

#: requests are let in by how long they would wait, not by their number
UNBOUNDED = 2**31 - 1


def info(service: Service) -> Json:
    """``/info`` of TEI, of the first model."""
    model = _first(service)
    limits, settings = service.limits, model.settings
    return {
        "model_id": model.name,
        "model_sha": None,
        "model_dtype": model.precision,
        "served_model_name": model.name,
        "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
        "max_concurrent_requests": UNBOUNDED,
        "max_input_length": settings.max_length,
        "max_batch_tokens": service.engine.slice_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": limits.documents,
        "auto_truncate": True,
        "tokenization_workers": READERS,
        "version": __version__,
        "sha": None,
        "docker_label": None,
    }


def meta(service: Service) -> Json:
    """``/meta`` of Weaviate's inference containers."""
    model = _first(service)
    return {"model": model.name, "max_length": model.settings.max_length, "precision": model.precision}


def models(service: Service) -> Json:
    """``/v1/models`` of OpenAI."""
    held = service.models.held.values()
    data = [
        {
            "id": m.name,
            "object": "model",
            "created": m.created,
            "owned_by": "ltr",
            "max_model_len": m.settings.max_length,
        }
        for m in held
    ]
    return {"object": "list", "data": data}


def _first(service: Service) -> Model:
    for model in service.models.held.values():
        return model
    raise Problem("unready", "the models are not loaded yet; try again in some seconds", retry_after=2)
