"""LightGBM's rankers, above all LambdaMART, trained on ltr's data and stopped by ltr's measures (extra ``gbdt``)."""

from __future__ import annotations

import math
import numbers
import os
from typing import Any

import numpy as np

from ltr.data.features.feature_data import FeatureData
from ltr.errors import ConfigError, DataError, LtrError, MissingExtra
from ltr.experiments.cells.outside import OutsideRanker
from ltr.integrations.flat import FlatLists
from ltr.integrations.monitor import DevMonitor
from ltr.io.files import existing, replacing
from ltr.io.names import suggestion

#: objectives over lists, which take whole grades, and over single documents, which take any label
RANKING = ("lambdarank", "rank_xendcg")
REGRESSION = ("regression", "regression_l1", "huber")

#: grades that LightGBM knows gains of when none are given, and the longest list that lambdarank takes
GRADES, LONGEST = 31, 10_000

#: our settings that LightGBM knows under the same name
SAME: tuple[str, ...] = (
    "num_leaves",
    "learning_rate",
    "min_data_in_leaf",
    "feature_fraction",
    "bagging_fraction",
    "lambda_l2",
    "max_bin",
    "objective",
    "lambdarank_truncation_level",
    "num_threads",
)


class LambdaMART(OutsideRanker):
    """Boosted regression trees for ranking, by LightGBM: the baseline on features that losses must beat.

    Trees are added until the monitored measure on dev, computed by ltr's own code, has not risen for ``early_stopping``
    rounds; the best round is kept. The same data, settings and seed give the same trees, with any number of threads.

    Args:
        n_estimators: trees at most.
        num_leaves: of each tree.
        learning_rate: share of each tree's answer that is added.
        min_data_in_leaf: documents.
        feature_fraction: share of the features that each tree sees, in (0, 1].
        bagging_fraction: share of the documents that each tree sees, in (0, 1].
        lambda_l2: penalty on the values of leaves.
        max_bin: values that a feature is rounded to.
        early_stopping: rounds without progress on dev; 0 trains all trees.
        objective: ``"lambdarank"`` (LambdaMART), ``"rank_xendcg"``, or of single documents ``"regression"`` (squared
            error), ``"regression_l1"``, ``"huber"``, for labels that are no grades.
        label_gain: what each grade is worth, from grade 0 (default: 2^grade - 1).
        lambdarank_truncation_level: pairs count with the better-placed document in so many first ranks.
        num_threads: of LightGBM.

    Raises:
        ConfigError: a setting out of range, an unknown objective.
        DataError: grades that are not whole or have no gain, a list longer than lambdarank takes.
        MissingExtra: LightGBM is not installed.

    Source: C. Burges, From RankNet to LambdaRank to LambdaMART, MSR-TR-2010-82; G. Ke et al., LightGBM, NeurIPS 2017;
    S. Bruch, An Alternative Cross Entropy Loss for Learning-to-Rank, WWW 2021 (rank_xendcg).

    >>> LambdaMART(num_leaves=15).settings(seed=3)["objective"]
    'lambdarank'
    """

    def __init__(
        self,
        n_estimators: int = 500,
        num_leaves: int = 31,
        learning_rate: float = 0.1,
        min_data_in_leaf: int = 20,
        feature_fraction: float = 1.0,
        bagging_fraction: float = 1.0,
        lambda_l2: float = 0.0,
        max_bin: int = 255,
        early_stopping: int = 50,
        objective: str = "lambdarank",
        label_gain: list[float] | None = None,
        lambdarank_truncation_level: int = 30,
        num_threads: int = 1,
    ):
        if objective not in RANKING + REGRESSION:
            raise ConfigError(
                f"LambdaMART: objective must be one of {', '.join(RANKING + REGRESSION)}, got {objective!r}; "
                f"{suggestion(str(objective), RANKING + REGRESSION)}"
            )
        if label_gain is not None and (not label_gain or not all(_real(g) and g >= 0 for g in label_gain)):
            raise ConfigError(f"LambdaMART: label_gain must be gains from grade 0 up, at least 0, got {label_gain!r}")
        self.n_estimators = _within("n_estimators", n_estimators, 1, whole=True)
        self.num_leaves = _within("num_leaves", num_leaves, 2, whole=True)
        self.learning_rate = _within("learning_rate", learning_rate, 0, open=True)
        self.min_data_in_leaf = _within("min_data_in_leaf", min_data_in_leaf, 0, whole=True)
        self.feature_fraction = _within("feature_fraction", feature_fraction, 0, 1, open=True)
        self.bagging_fraction = _within("bagging_fraction", bagging_fraction, 0, 1, open=True)
        self.lambda_l2 = _within("lambda_l2", lambda_l2, 0)
        self.max_bin = _within("max_bin", max_bin, 2, whole=True)
        self.early_stopping = _within("early_stopping", early_stopping, 0, whole=True)
        self.objective = objective
        self.label_gain = None if label_gain is None else [float(g) for g in label_gain]
        self.lambdarank_truncation_level = _within(
            "lambdarank_truncation_level", lambdarank_truncation_level, 1, whole=True
        )
        self.num_threads = _within("num_threads", num_threads, 1, whole=True)
        self.booster: Any = None
        self._course: list[dict[str, float]] = []
        self._value = math.nan

    def settings(self, seed: int) -> dict[str, Any]:
        """LightGBM's parameters."""
        given = {name: getattr(self, name) for name in SAME}
        given |= {"seed": seed, "deterministic": True, "force_row_wise": True, "verbosity": -1, "metric": "None"}
        given["bagging_freq"] = int(self.bagging_fraction < 1)
        if self.early_stopping:
            given["early_stopping_round"] = self.early_stopping
        if self.label_gain is not None:
            given["label_gain"] = self.label_gain
        return given

    def fit(self, data: FeatureData, monitor: str = "ndcg@10", seed: int = 0) -> None:
        """Train on ``data.whole("train")``; choose the number of trees on ``data.whole("dev")``.

        Args:
            data: a data module of feature lists, set up for fitting.
            monitor: the measure on dev.
            seed: of the shares of features and documents.
        """
        lightgbm = imported()
        train = FlatLists.of("LambdaMART", data, "train")
        self._check(train)
        settings = self.settings(seed)
        fitted = lightgbm.Dataset(
            train.features, train.labels, weight=train.weights, group=self._groups(train), params=settings
        )
        watched: dict[str, Any] = {}
        monitored = self._monitored(data, monitor)
        if monitored is not None:
            dev, measure = monitored
            # no labels: LightGBM does not measure, and would refuse grades that have no gain
            lists = fitted.create_valid(dev.features, np.zeros_like(dev.labels), group=self._groups(dev))
            watched = {"valid_sets": [lists], "valid_names": ["dev"], "feval": _feval(measure)}
        self.booster = lightgbm.train(settings, fitted, num_boost_round=self.n_estimators, **watched)
        self._course = measure.course() if monitored else []
        self._value = measure.values[self.rounds - 1] if monitored else math.nan
        if monitored and self.early_stopping and math.isnan(self._value):
            self.booster = None
            raise ConfigError(
                f"LambdaMART: dev/{monitor} was never a number, so no round could be chosen; monitor another measure, or "
                "lower min_data_in_leaf if there are few documents"
            )

    def _monitored(self, data: FeatureData, monitor: str) -> tuple[FlatLists, DevMonitor] | None:
        """The dev part and its measure; None where there is no dev part."""
        if data.dev is not None:
            dev = FlatLists.of("LambdaMART", data, "dev")
            return dev, DevMonitor(data, dev, monitor)
        if self.early_stopping:
            raise ConfigError(
                "LambdaMART: early_stopping needs dev lists to measure on, and the data have none; name data.dev, or set "
                "early_stopping=0 to train all trees"
            )
        return None

    @property
    def rounds(self) -> int:
        """Trees of the chosen model."""
        booster = self._fitted()
        return booster.best_iteration if booster.best_iteration > 0 else booster.num_trees()

    @property
    def best_value(self) -> float:
        """The monitored measure of the chosen model; NaN where nothing was monitored (a loaded model)."""
        self._fitted()
        return self._value

    @property
    def course(self) -> list[dict[str, float]]:
        """The monitored measure after each tree."""
        return self._course

    def predict(self, data: FeatureData, part: str) -> np.ndarray:
        """[documents] float64 scores of a part of the data, in its order.

        Raises:
            ConfigError: before ``fit`` or ``load``.
            DataError: another number of features than the model was trained with.
        """
        booster, features = self._fitted(), data.whole(part).features.numpy()
        if features.shape[1] != booster.num_feature():
            raise DataError(
                f"LambdaMART: the model was trained with {booster.num_feature()} features, got {features.shape[1]} in "
                f"{part}; use the data that it was trained on"
            )
        if not len(features):
            return np.zeros(0)
        return booster.predict(features, num_iteration=self.rounds, num_threads=self.num_threads)

    def importances(self, kind: str = "gain") -> np.ndarray:
        """[features] what each feature brought: ``"gain"`` in the objective, or the number of splits (``"split"``)."""
        if kind not in ("gain", "split"):
            raise ConfigError(f"LambdaMART: importances are of kind 'gain' or 'split', got {kind!r}")
        return self._fitted().feature_importance(kind, iteration=self.rounds).astype(np.float64)

    def save(self, path: str | os.PathLike) -> None:
        """Write the chosen model as LightGBM's text (which other programs read as well)."""
        text = self._fitted().model_to_string(num_iteration=self.rounds)
        with replacing(path) as file:
            file.write(text)

    @classmethod
    def load(cls, path: str | os.PathLike) -> LambdaMART:
        """A model that ``save`` wrote, with its settings.

        Raises:
            DataError: naming the file, when it holds no ranker or regressor of LightGBM.
        """
        lightgbm = imported()
        text = existing(path, "model").read_text(encoding="utf-8", errors="replace")
        try:
            if not text.startswith("tree\n"):  # LightGBM would print its complaint past every logger
                raise DataError(f"it starts with {text[:20]!r}")
            booster = lightgbm.Booster(model_str=text)
            known = booster.params
            settings = {name: known[name] for name in (*SAME, "label_gain") if name in known}
            counts = {"n_estimators": known["num_iterations"], "early_stopping": max(0, known["early_stopping_round"])}
            made = cls(**settings, **counts)
        except (LtrError, lightgbm.basic.LightGBMError, KeyError) as error:
            raise DataError(f"{path}: not a LambdaMART that ltr saved: {error}") from error
        made.booster = booster
        return made

    def _fitted(self) -> Any:
        if self.booster is None:
            raise ConfigError("LambdaMART: there is no model yet; call fit, or LambdaMART.load(path)")
        return self.booster

    def _groups(self, lists: FlatLists) -> np.ndarray | None:
        return lists.sizes if self.objective in RANKING else None

    def _check(self, train: FlatLists) -> None:
        """Refuse what LightGBM refuses with a riddle, or takes and rounds down."""
        if self.objective not in RANKING:
            return
        labels, advice = train.labels, "set objective='regression' for labels that are no grades"
        train.refuse(labels != np.floor(labels), f"{self.objective} needs whole grades", advice)
        train.refuse(labels < 0, f"{self.objective} needs grades from 0 up", advice)
        gains = GRADES if self.label_gain is None else len(self.label_gain)
        train.refuse(
            labels >= gains, f"grades must be below {gains}, the number of gains", "give label_gain one for each grade"
        )
        if self.objective == "lambdarank" and train.sizes.max() > LONGEST:
            query = int(train.sizes.argmax())
            raise DataError(
                f"LambdaMART: lambdarank takes lists of at most {LONGEST:,} documents, got {train.sizes.max():,} for query "
                f"{train.batch.query_ids[query]}; cut the list, or set objective='rank_xendcg'"
            )


def imported() -> Any:
    """The package lightgbm.

    Raises:
        MissingExtra: it is not installed.
        ConfigError: it is, and the OpenMP library that it needs from the system is not.
    """
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra("lightgbm", "gbdt", "to train and use LambdaMART") from None
    except OSError as error:
        raise ConfigError(
            f"LambdaMART: lightgbm is installed but does not load: {error}; it needs OpenMP from the system (Debian: "
            "apt-get install libgomp1, macOS: brew install libomp)"
        ) from error
    return lightgbm


def _feval(measure: DevMonitor) -> Any:
    """The measure in the form in which LightGBM asks for it."""

    def measured(predictions: np.ndarray, _: Any) -> list[tuple[str, float, bool]]:
        value = measure.ordered(measure(predictions))
        return [(str(measure.measure), value, measure.measure.larger_is_better)]

    return measured


def _real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _within(name: str, value: Any, low: float, high: float = math.inf, whole: bool = False, open: bool = False) -> Any:
    """``value``, when it is a number from ``low`` (above it, when ``open``) to ``high``; else a ConfigError."""
    fits = _real(value) and (not whole or isinstance(value, numbers.Integral))
    if not fits or not low <= value <= high or (open and value == low):
        bound = f"{'above' if open else 'at least'} {low:g}" + (f" and at most {high:g}" if high < math.inf else "")
        raise ConfigError(f"LambdaMART: {name} must be a {'whole ' * whole}number, {bound}, got {value!r}")
    return value
