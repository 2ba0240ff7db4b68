"""Restores mosaicked or whited-out regions of all-ages illustrations."""

from illustkit._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "annotation_export": ["export_coco", "export_yolo"],
        "annotations": ["import_annotations"],
        "censor": ["add_light", "add_mosaic", "irregular_mask"],
        "censor_finding": ["find_censored"],
        "checking": ["check_metadata"],
        "dataset": ["load_metadata", "save_metadata"],
        "downloading": ["download_all"],
        "evaluation": ["evaluate"],
        "export": ["export_restorer"],
        "fetching": ["fetch_metadata"],
        "layers": ["PConv2D"],
        "mosaic_training": ["train_mosaic"],
        "mosaic_unet": ["MosaicUNet"],
        "packing": ["pack"],
        "patches": ["expand_box"],
        "pixiv": ["login", "set_login_attribute"],
        "plots": ["plot_results"],
        "restorer": ["load_restorer"],
        "restoring": ["restore"],
        "training": ["train"],
        "unet": ["PConvUNet"],
        "unpacking": ["unpack"],
    },
)
