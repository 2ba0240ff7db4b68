"""The public names; `illustkit/__init__.py` loads each when it is first asked for."""

from . import errors as errors
from . import figures as figures
from . import files as files
from . import images as images
from . import runtime as runtime
from . import samples as samples
from . import tensors as tensors
from . import training as training
from . import web as web
from . import yolo as yolo
from .errors import UserError as UserError
from .figures import picture_grid as picture_grid
from .figures import save_figure as save_figure
from .figures import sheet as sheet
from .figures import side_by_side as side_by_side
from .images import ImageError as ImageError
from .images import list_images as list_images
from .images import picture_size as picture_size
from .images import read_image as read_image
from .images import write_image as write_image
from .runtime import choose_backend as choose_backend
from .runtime import describe_devices as describe_devices
from .runtime import get_strategy as get_strategy
from .samples import draw_character as draw_character
from .samples import draw_face_icon as draw_face_icon

__version__: str
