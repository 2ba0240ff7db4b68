"""Restores mosaicked or whited-out regions of all-ages illustrations."""

from illustkit._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "censoring.censor": ["add_light", "add_mosaic"],
        "censoring.masks": ["irregular_mask"],
        "data.annotations": ["export_coco", "export_yolo", "import_annotations"],
        "data.archive": ["pack", "unpack"],
        "data.crops": ["expand_box"],
        "data.dataset": ["load_metadata", "save_metadata"],
        "data.metadata": ["check_metadata", "fetch_metadata"],
        "detection.find_censored": ["find_censored"],
        "evaluation.evaluate": ["evaluate"],
        "evaluation.plots": ["plot_results"],
        "inference.export": ["export_restorer"],
        "inference.restore": ["restore"],
        "layers": ["PConv2D"],
        "models.mosaic_unet": ["MosaicUNet"],
        "models.pconv_unet": ["PConvUNet"],
        "models.restorers": ["load_restorer"],
        "pixiv.client": ["login", "set_login_attribute"],
        "pixiv.download": ["download_all"],
        "training": ["train", "train_mosaic"],
    },
)
