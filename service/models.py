"""The models in memory. Replacing one is an assignment: a request keeps the version that it started with."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from service.artifacts import choose_version, list_substitutes, load_classifier
from service.classifier import Classifier
from service.errors import ArtifactError, LiveDigitError, ModelUnavailable, NoVersion, UnknownModel
from service.settings import Settings, models_folder
from service.versions import list_versions

if TYPE_CHECKING:
    from service.metrics import Metrics

logger = logging.getLogger(__name__)


class VersionState(NamedTuple):
    """A version as the repository index lists it."""

    version: int
    is_ready: bool
    reason: str


class ModelStore:
    """Finds, loads, hands out and replaces the served model."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.model_name
        self.current: Classifier | None = None
        self.loaded: dict[int, Classifier] = {}
        """The served version and the highest others, by number."""
        self._folder: Path = models_folder(settings)
        self._wanted = settings.model_version
        self._keep = settings.loaded_versions
        self._metrics: Metrics | None = None
        self._refused: dict[int, str] = {}
        self._hindrance = ""
        """Why the last look found no version to serve, or not the one meant."""

    def report_to(self, metrics: Metrics) -> None:
        """Say there from now on which model answers, and how loading goes."""
        self._metrics = metrics
        if self.current is not None:
            metrics.set_model(None, self.current.manifest)

    def load(self, or_another: bool = False) -> None:
        """Load the version to serve and a few others; where there is no version at all, stay empty and say so.

        With `or_another`, where that version is missing or fails a check, the best substitute that passes every check
        does, unless the settings name the version.

        Raises `ArtifactError` where no version that may be served passes, `ModelNotFound` where the one to serve is
        missing.
        """
        try:
            version = choose_version(self._folder, self.name, self._wanted)
            self._serve(self._load_version(version))
        except NoVersion as error:
            if self._wanted:
                raise
            self._note_hindrance("serving without a model", error)
            return
        except LiveDigitError as error:
            if self._wanted or not or_another:
                raise
            self._note_hindrance("another version has to do", error)
            self._serve_substitute()
        self._load_others()

    def refresh(self) -> bool:
        """Look for another version to serve, and swap when it has passed every check; keep the old one if not.

        True where the served version changed. Called in a thread: requests go on meanwhile.
        """
        try:
            version = choose_version(self._folder, self.name, self._wanted)
        except LiveDigitError as error:
            self._note_hindrance("looking for a new version", error)
            return False
        self._hindrance = ""
        if self.current is not None and version == self.current.manifest.version:
            return False
        try:
            model = self.loaded.get(version) or self._load_version(version)
        except LiveDigitError as error:
            self._refuse(version, error)
            return False
        self._serve(model)
        self._forget_others()
        self._count_load(succeeded=True)
        return True

    def serving(self) -> Classifier:
        """Give the model that answers now. Raises `ModelUnavailable`."""
        if self.current is None:
            raise ModelUnavailable(
                f"no model {self.name!r} is loaded: publish one with `livedigit export`, then send SIGHUP or restart"
            )
        return self.current

    def version(self, number: str) -> Classifier:
        """Give a loaded version; an empty number is the served one. Raises `UnknownModel` or `ModelUnavailable`."""
        if not number:
            return self.serving()
        # As it is written in the folder's name: "01" is none.
        model = next((loaded for version, loaded in self.loaded.items() if str(version) == number), None)
        if model is None:
            raise UnknownModel(
                f"model {self.name!r} has no version {number[:20]!r} loaded; loaded: {sorted(self.loaded)}"
            )
        return model

    def index(self) -> list[VersionState]:
        """List every version on disk or in memory, and why one is not ready."""
        versions = sorted({*list_versions(self._folder / self.name), *self.loaded})
        return [VersionState(version, version in self.loaded, self._refused.get(version, "")) for version in versions]

    def _load_version(self, version: int) -> Classifier:
        model = load_classifier(self._folder / self.name / str(version))
        model.warm_up()
        return model

    def _load_others(self) -> None:
        for version in reversed(list_versions(self._folder / self.name)):
            if len(self.loaded) >= self._keep:
                return
            if version not in self.loaded and version not in self._refused:
                try:
                    self.loaded[version] = self._load_version(version)
                except LiveDigitError as error:
                    self._refuse(version, error)

    def _serve_substitute(self) -> None:
        for version in list_substitutes(self._folder, self.name):
            try:
                self._serve(self._load_version(version))
            except LiveDigitError as error:
                self._refuse(version, error)
            else:
                return
        raise ArtifactError(f"no version of {self.name!r} passes its checks: {self._refused}")

    def _serve(self, model: Classifier) -> None:
        before = self.current
        # A new dictionary, because other threads may be reading the old one.
        self.loaded = {**self.loaded, model.manifest.version: model}
        self.current = model
        self._refused.pop(model.manifest.version, None)
        if self._metrics is not None:
            self._metrics.set_model(before.manifest if before else None, model.manifest)
        logger.info("serving %s version %d", self.name, model.manifest.version)

    def _forget_others(self) -> None:
        served = self.serving().manifest.version
        others = sorted(self.loaded.keys() - {served}, reverse=True)[: self._keep - 1]
        self.loaded = {version: self.loaded[version] for version in (served, *others)}

    def _refuse(self, version: int, error: LiveDigitError) -> None:
        if self._refused.get(version) != str(error):
            logger.error("version %d is refused: %s", version, error)
            self._count_load(succeeded=False)
        self._refused[version] = str(error)

    def _note_hindrance(self, consequence: str, error: LiveDigitError) -> None:
        if self._hindrance != str(error):
            logger.warning("%s: %s", consequence, error)
        self._hindrance = str(error)

    def _count_load(self, succeeded: bool) -> None:
        if self._metrics is not None:
            self._metrics.count_load(succeeded)
