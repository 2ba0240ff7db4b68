"""Learns one illustrator's face icons, and measures how new its pictures are."""

from illustkit._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "evaluation.inception": ["InceptionV3", "load_inception"],
        "evaluation.memorisation": ["find_neighbours", "plot_neighbours"],
        "evaluation.metrics": ["fid", "kid", "mae"],
        "evaluation.report": ["evaluate_pictures", "nwi", "validity_table"],
        "experiment": ["run_experiment"],
        "network.checkpoints": ["load_state_dict", "state_dict"],
        "network.model": ["Diffuser", "load_diffuser"],
        "network.unet": ["UNet"],
        "sampling.editing": ["inpaint_picture", "interpolate_pictures"],
        "sampling.generate": ["sample", "sample_folder"],
        "sampling.samplers": ["ddim", "ddpm", "dpm_solver_pp"],
        "schedules": ["make_schedule"],
        "training.train": ["train"],
        "watermark": ["add_watermark"],
    },
)
