"""The model in memory. Replacing it is one assignment: a request keeps the version that it started with."""

from __future__ import annotations

import logging
from pathlib import Path

from service.artifacts import choose_version, load_classifier
from service.classifier import Classifier
from service.errors import ModelNotFound, ModelUnavailable
from service.settings import Settings, models_folder

logger = logging.getLogger(__name__)


class ModelStore:
    """Finds, loads and hands out the served model."""

    def __init__(self, settings: Settings) -> None:
        self._folder: Path = models_folder(settings)
        self._name = settings.model_name
        self._wanted = settings.model_version
        self.current: Classifier | None = None

    def load(self) -> None:
        """Load the version to serve; where there is none at all, stay empty and say so.

        Raises `ArtifactError` where the version fails a check, `ModelNotFound` where a given one is missing.
        """
        try:
            version = choose_version(self._folder, self._name, self._wanted)
        except ModelNotFound as error:
            if self._wanted:
                raise
            logger.warning("serving without a model: %s", error)
            return
        self.current = load_classifier(self._folder / self._name / str(version))
        self.current.warm_up()
        logger.info("serving %s version %d", self._name, version)

    def serving(self) -> Classifier:
        """Give the model that answers now. Raises `ModelUnavailable`."""
        if self.current is None:
            raise ModelUnavailable(
                f"no model {self._name!r} is loaded: publish one with `livedigit export`, then restart the server"
            )
        return self.current
