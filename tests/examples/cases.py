"""What examples stand among, of all packages, and what never runs."""

from . import diffusion_cases, facescore_cases, illustkit_cases, oppai_cases
from .case import Case, Make

VALUES: dict[str, dict[str, Make]] = {
    "illustkit": illustkit_cases.VALUES,
    "oppai": oppai_cases.VALUES,
    "facescore": facescore_cases.VALUES,
    "diffusion": diffusion_cases.VALUES,
}

CASES: dict[str, Case] = {
    **illustkit_cases.CASES,
    **oppai_cases.CASES,
    **facescore_cases.CASES,
    **diffusion_cases.CASES,
}

WITH_OWN_RESTORER = {"oppai:load_shipped", "oppai:load_restorer"}
"""Examples that load the package's own restorer; the others get a tiny one."""

WITH_OWN_DETECTOR = {"facescore:FaceDetector", "facescore:DetectorNetwork"}
"""Examples that build the detector's own network; the others get a small one."""

NOT_RUN: dict[str, str] = {
    "facescore:export_detector": "it takes 20 s; test_export.py exports small ones",
    "facescore:export_scorer": "it takes 10 s; test_export.py exports small ones",
}
"""Examples that no test runs, each with the reason."""
