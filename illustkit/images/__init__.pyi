"""The public names; `__init__.py` loads each when it is first asked for."""

from .cache import StoredPictures as StoredPictures
from .cache import file_stamps as file_stamps
from .cache import store_pictures as store_pictures
from .formats import EXTENSIONS as EXTENSIONS
from .formats import FORMATS as FORMATS
from .formats import MAX_PIXELS as MAX_PIXELS
from .formats import ImageError as ImageError
from .formats import check_image as check_image
from .listing import list_images as list_images
from .opening import picture_size as picture_size
from .read import Picture as Picture
from .read import read_image as read_image
from .read import read_picture as read_picture
from .scales import lab_to_uint8 as lab_to_uint8
from .scales import signed_to_caffe as signed_to_caffe
from .scales import signed_to_uint8 as signed_to_uint8
from .scales import signed_to_unit as signed_to_unit
from .scales import uint8_to_lab as uint8_to_lab
from .scales import uint8_to_signed as uint8_to_signed
from .scales import uint8_to_unit as uint8_to_unit
from .scales import unit_to_signed as unit_to_signed
from .scales import unit_to_uint8 as unit_to_uint8
from .write import write_image as write_image
from .write import write_picture as write_picture
