"""The public names; `__init__.py` loads each when it is first asked for."""

from .crowds import Crowd as Crowd
from .crowds import draw_crowd as draw_crowd
from .hands import HANDS as HANDS
from .illustrator import FACE_ICON_ATTRIBUTES as FACE_ICON_ATTRIBUTES
from .illustrator import Character as Character
from .illustrator import describe_face_icon as describe_face_icon
from .illustrator import draw_background as draw_background
from .illustrator import draw_character as draw_character
from .illustrator import draw_face_icon as draw_face_icon
from .illustrator import draw_head as draw_head
from .parts import PARTS as PARTS
from .parts import draw_lines as draw_lines
from .parts import draw_parts as draw_parts
