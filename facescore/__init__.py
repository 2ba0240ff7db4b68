"""Finds faces in illustrations, learns one person's taste, ranks folders."""

from illustkit._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "boxes": ["Face"],
        "crops": ["crop_face", "crop_faces"],
        "detector.cascade": ["Cascade"],
        "detector.evaluation": ["evaluate_detector"],
        "detector.prediction": ["detect_faces", "detect_folder", "load_detector"],
        "detector.training": ["train_detector"],
        "labels": ["from_coco", "read_labels", "to_coco", "write_labels"],
        "ranking.rank": ["rank_folder"],
        "scorer.data": ["read_ratings"],
        "scorer.evaluation": [
            "evaluate_scorer",
            "evaluate_stability",
            "plot_distributions",
        ],
        "scorer.model": ["load_scorer"],
        "scorer.prediction": ["score"],
        "scorer.training": ["train_scorer"],
    },
)
