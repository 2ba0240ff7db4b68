"""Finds faces in illustrations, learns one person's taste, ranks folders."""

from illustkit._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "agreement_plots": ["plot_distributions"],
        "boxes": ["Face"],
        "cascade": ["Cascade"],
        "coco": ["from_coco", "to_coco"],
        "crops": ["crop_face", "crop_faces"],
        "detecting": ["detect_faces", "detect_folder", "load_detector"],
        "detector_evaluation": ["evaluate_detector"],
        "detector_training": ["train_detector"],
        "labels": ["read_labels", "write_labels"],
        "ratings": ["read_ratings"],
        "recommend": ["rank_folder"],
        "scorer": ["load_scorer"],
        "scorer_evaluation": ["evaluate_scorer", "evaluate_stability"],
        "scorer_training": ["train_scorer"],
        "scoring": ["score"],
    },
)
