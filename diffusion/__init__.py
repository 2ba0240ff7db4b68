"""Learns one illustrator's face icons, and measures how new its pictures are."""

from illustkit._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "diffuser": ["Diffuser", "load_diffuser"],
        "editing": ["inpaint_picture", "interpolate_pictures"],
        "evaluation": ["evaluate_pictures", "nwi", "validity_table"],
        "experiment": ["run_experiment"],
        "icon_folder": ["sample_folder"],
        "inception": ["InceptionV3", "load_inception"],
        "metrics": ["fid", "kid", "mae"],
        "neighbours": ["find_neighbours", "plot_neighbours"],
        "samplers": ["ddim", "ddpm"],
        "dpm_solver": ["dpm_solver_pp"],
        "sampling": ["sample"],
        "schedules": ["make_schedule"],
        "state_dict": ["load_state_dict", "state_dict"],
        "training": ["train"],
        "unet": ["UNet"],
        "watermark": ["add_watermark"],
    },
)
