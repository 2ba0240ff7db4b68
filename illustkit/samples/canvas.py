"""The sheet that is drawn on: anti-aliased fills, strokes and clipping."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import ArrayLike

from illustkit.samples.colours import Colour
from illustkit.samples.curves import ellipse, normals

# Points reach OpenCV as fixed-point integers with this many fractional bits.
SHIFT = 4


@dataclass(frozen=True)
class Brush:
    """Says how a hand draws lines, and how it models a form that it has filled.

    Args:
        outline: Factor on the width of outlines; 0 draws none.
        stroke: Factor on the width of open lines.
        soft: Standard deviation of the blur of shading, in fractions of the form.
        light: Direction (x, y) that light comes from; its length is the contrast.
    """

    outline: float = 1.0
    stroke: float = 1.0
    soft: float = 0.0
    light: tuple[float, float] = (0.0, 0.0)

    def model(self, pixels: np.ndarray) -> None:
        """Blur and light the pixels of a form in place, as a rounded body."""
        height, width = pixels.shape[:2]
        least = min(height, width)
        if self.soft and least >= 12:
            # Two means are nearly a Gaussian, and cost the same at any width.
            side = 2 * round(1.2 * self.soft * least) + 1
            for _ in range(2):
                cv2.blur(pixels, (side, side), dst=pixels)
        if any(self.light) and least >= 24:
            v, u = np.mgrid[-1:1:9j, -1:1:9j]
            lit = u * self.light[0] + v * self.light[1]
            # Shade stays warm: red falls less than green and blue.
            lit = np.clip(lit, -0.4, 0.2)[..., None] * (0.75, 1.05, 0.95)
            table = np.clip(128 * (1 + lit), 0, 255).astype(np.uint8)
            shade = cv2.resize(table, (width, height), interpolation=cv2.INTER_LINEAR)
            cv2.multiply(pixels, shade, dst=pixels, scale=1 / 128)


CEL = Brush()


class Canvas:
    """Draws on a sheet, in the units of a frame.

    Points and widths are in units of the frame, y down; `placed` returns the same
    sheet with another frame. The sheet is finer than the picture; `picture` scales it
    down.

    Args:
        pixels: Sheet, uint8 `(h, w, 3)`, drawn into.
        matrix: Affine map `(2, 3)` from the frame to pixels of the sheet.
        finest: Least width of a line, in pixels of the sheet.
        brush: How lines and shading are drawn. Defaults to flat cel.
        warp: Moves points of the frame that `turned` was called on, before `outer`
            maps them to the sheet; `matrix` then maps to that frame.
        outer: Affine map `(2, 3)` from that frame to pixels; `None` without a warp.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        matrix: ArrayLike,
        *,
        finest: float = 1.2,
        brush: Brush = CEL,
        warp: Callable[[np.ndarray], np.ndarray] | None = None,
        outer: np.ndarray | None = None,
    ) -> None:
        self.pixels = pixels
        self.matrix = np.asarray(matrix, float)
        self.unit = float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))
        if outer is not None:
            self.unit *= float(np.sqrt(abs(np.linalg.det(outer[:, :2]))))
        self.finest = finest
        self.brush = brush
        self.warp = warp
        self.outer = outer

    def _like(self, pixels, matrix, outer):
        return Canvas(
            pixels,
            matrix,
            finest=self.finest,
            brush=self.brush,
            warp=self.warp,
            outer=outer,
        )

    def flat(self) -> "Canvas":
        """Return the same sheet for features, which light does not model."""
        part = self._like(self.pixels, self.matrix, self.outer)
        part.brush = replace(self.brush, soft=0.0, light=(0.0, 0.0))
        return part

    def turned(self, warp: Callable[[np.ndarray], np.ndarray]) -> "Canvas":
        """Return the same sheet; `warp` moves all points of this frame that is drawn.

        Args:
            warp: Maps points `(..., 2)` of the frame to points of the frame.
        """
        return Canvas(
            self.pixels,
            [[1, 0, 0], [0, 1, 0]],
            finest=self.finest,
            brush=self.brush,
            warp=warp,
            outer=self.matrix,
        )

    @classmethod
    def blank(cls, size: tuple[int, int], brush: Brush = CEL) -> "Canvas":
        """Return a white sheet for a picture of (width, height); frame in pixels."""
        width, height = size
        fineness = 2 if max(size) > 256 else 3 if max(size) > 128 else 4
        pixels = np.full((height * fineness, width * fineness, 3), 255, np.uint8)
        matrix = [[fineness, 0, 0], [0, fineness, 0]]
        return cls(pixels, matrix, finest=0.6 * fineness, brush=brush)

    def picture(self, size: tuple[int, int]) -> np.ndarray:
        """Scale the sheet down to (width, height)."""
        return cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)

    def placed(
        self,
        x: float = 0.0,
        y: float = 0.0,
        *,
        scale: float = 1.0,
        angle: float = 0.0,
        flip: bool = False,
        tall: float = 1.0,
    ) -> "Canvas":
        """Return the same sheet with its frame moved, scaled, turned and mirrored.

        `tall` scales y once more.
        """
        c, s = np.cos(np.radians(angle)) * scale, np.sin(np.radians(angle)) * scale
        turn = np.array([[c, -s], [s, c]])
        if flip:
            turn[:, 0] *= -1
        turn[:, 1] *= tall
        linear = self.matrix[:, :2]
        offset = linear @ (x, y) + self.matrix[:, 2]
        matrix = np.column_stack([linear @ turn, offset])
        return self._like(self.pixels, matrix, self.outer)

    def to_sheet(self, points: ArrayLike) -> np.ndarray:
        """Convert points of the frame to pixels of the sheet."""
        moved = np.asarray(points, float) @ self.matrix[:, :2].T + self.matrix[:, 2]
        if self.warp is None or self.outer is None:
            return moved
        return self.warp(moved) @ self.outer[:, :2].T + self.outer[:, 2]

    def _fixed(self, sheet_points):
        # OpenCV puts whole numbers at the middle of a pixel.
        return np.rint((sheet_points - 0.5) * (1 << SHIFT)).astype(np.int32)

    def fill(self, points: ArrayLike, colour: Colour) -> None:
        """Fill a closed outline."""
        fixed = self._fixed(self.to_sheet(points))
        cv2.fillPoly(self.pixels, [fixed], colour, cv2.LINE_AA, SHIFT)

    def fill_all(self, outlines: ArrayLike, colour: Colour) -> None:
        """Fill outlines `(k, n, 2)` that do not overlap, each of n points."""
        fixed = self._fixed(self.to_sheet(outlines))
        cv2.fillPoly(self.pixels, list(fixed), colour, cv2.LINE_AA, SHIFT)

    def _width(self, width, factor):
        return max(width * factor * self.unit, self.finest * min(1.0, factor))

    def outline(
        self,
        points: ArrayLike,
        colour: Colour,
        width: float = 0.03,
        *,
        sharp: bool = False,
    ) -> None:
        """Draw a line around a closed outline, heavier where it faces down.

        Args:
            points: Outline `(n, 2)`.
            colour: RGB.
            width: Mean width, in units.
            sharp: Whether the outline has needle-like tips, as hair has.
        """
        if self.brush.outline == 0:
            return
        sheet = self.to_sheet(points)
        normal = normals(sheet, closed=True)
        width = self._width(width, self.brush.outline)
        # The sense of the outline does not matter: only how steep the line is.
        weight = 0.72 + 0.5 * np.abs(normal[:, 1:])
        half = normal * weight * (width / 2)
        ring = [self._fixed(sheet + half), self._fixed(sheet - half)]
        cv2.fillPoly(self.pixels, ring, colour, cv2.LINE_AA, SHIFT)
        if sharp:  # there the ring crosses itself and leaves a hole: go over it
            core, thin = [self._fixed(sheet)], max(1, round(0.5 * width))
            cv2.polylines(self.pixels, core, True, colour, thin, cv2.LINE_AA, SHIFT)

    def shape(
        self, points: ArrayLike, colour: Colour, line: Colour, width: float = 0.03
    ) -> None:
        """Fill an outline, and draw a line around it."""
        self.fill(points, colour)
        self.outline(points, line, width)

    def stroke(
        self,
        points: ArrayLike,
        colour: Colour,
        width: float = 0.03,
        *,
        ends: tuple[float, float] = (0.25, 0.25),
        swell: float = 0.0,
    ) -> None:
        """Draw an open line that thins out at its ends, as a pen does.

        Args:
            points: Polyline `(n, 2)`.
            colour: RGB.
            width: Width at its middle, in units.
            ends: Fraction of the width at the first and the last point.
            swell: Place (0 to 1) of the widest point; 0 keeps it in the middle.
        """
        sheet = self.to_sheet(points)
        along = np.linspace(0, 1, len(sheet))
        profile = np.interp(along, [0, swell or 0.5, 1], [ends[0], 1, ends[1]])
        profile = 1 - (1 - profile) ** 2
        half = normals(sheet) * (
            profile[:, None] * (self._width(width, self.brush.stroke) / 2)
        )
        ribbon = np.concatenate([sheet + half, (sheet - half)[::-1]])
        cv2.fillPoly(self.pixels, [self._fixed(ribbon)], colour, cv2.LINE_AA, SHIFT)

    def dot(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fill a circle."""
        count = 12 if radius * self.unit < 6 else 24 if radius * self.unit < 40 else 72
        self.fill(ellipse(x, y, radius, count=count), colour)

    def _window(self, sheet_points):
        """Part of the sheet the points span: its corner and the pixels."""
        height, width = self.pixels.shape[:2]
        left, top = np.floor(sheet_points.min(axis=0)).astype(int) - 1
        right, bottom = np.ceil(sheet_points.max(axis=0)).astype(int) + 2
        left, top = max(left, 0), max(top, 0)
        right, bottom = min(right, width), min(bottom, height)
        if right <= left or bottom <= top:
            return None
        return (left, top), self.pixels[top:bottom, left:right]

    @contextlib.contextmanager
    def inside(self, points: ArrayLike) -> Iterator["Canvas"]:
        """Give a canvas with the same frame; only what it draws inside `points` stays.

        Example:
        >>> with canvas.inside(face) as clipped:
        ...     clipped.fill(shadow, (230, 180, 170))
        """
        sheet = self.to_sheet(points)
        window = self._window(sheet)
        if window is None:  # out of the picture: draw on a scrap
            scrap = np.zeros((1, 1, 3), np.uint8)
            yield self._like(scrap, self.matrix, self.outer)
            return
        corner, region = window
        matrix, outer = self.matrix.copy(), self.outer
        if outer is None:
            matrix[:, 2] -= corner
        else:
            outer = outer - np.column_stack([np.zeros((2, 2)), corner])
        part = self._like(region.copy(), matrix, outer)
        yield part
        self.brush.model(part.pixels)
        mask = np.zeros(region.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self._fixed(sheet - corner)], 255, cv2.LINE_8, SHIFT)
        cv2.copyTo(part.pixels, mask, region)

    def wash(self, stops: Sequence[tuple[float, Colour]]) -> None:
        """Cover the whole sheet with a vertical gradient.

        Args:
            stops: Pairs of (y in the frame, colour), y rising.
        """
        if len(stops) == 1:
            height, width = self.pixels.shape[:2]
            cv2.rectangle(self.pixels, (0, 0), (width, height), stops[0][1], cv2.FILLED)
            return
        heights = self.to_sheet([(0.0, y) for y, _ in stops])[:, 1]
        rows = np.arange(len(self.pixels))
        colours = np.array([colour for _, colour in stops], float)
        ramp = np.stack(
            [np.interp(rows, heights, channel) for channel in colours.T], axis=1
        )
        self.pixels[:, :1] = np.rint(ramp).astype(np.uint8)[:, None]
        done, width = 1, self.pixels.shape[1]
        while done < width:  # by doubling, which is far faster than broadcasting
            more = min(done, width - done)
            self.pixels[:, done : done + more] = self.pixels[:, :more]
            done += more

    def graded(self, points: ArrayLike, stops: Sequence[tuple[float, Colour]]) -> None:
        """Fill a closed outline with a vertical gradient: see `wash`."""
        with self.inside(points) as part:
            part.wash(stops)

    def shadow(self, points: ArrayLike, strength: float = 0.25) -> None:
        """Darken the inside of an outline, blue a little less than red and green."""
        sheet = self.to_sheet(points)
        window = self._window(sheet)
        if window is None:
            return
        corner, region = window
        mask = np.zeros(region.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self._fixed(sheet - corner)], 255, cv2.LINE_8, SHIFT)
        kept = 1 - strength * np.array((0.9, 1.0, 0.62))
        table = np.rint(np.arange(256)[:, None] * kept).astype(np.uint8)[:, None]
        cv2.copyTo(cv2.LUT(region, table), mask, region)

    def glow(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: Colour,
        strength: float = 0.6,
    ) -> None:
        """Draw a soft ellipse of colour that fades to nothing at its rim."""
        rim = self.to_sheet(ellipse(x, y, rx, ry, count=24))
        window = self._window(rim)
        if window is None:
            return
        corner, region = window
        linear, start = self.matrix[:, :2], self.matrix[:, 2]
        if self.outer is not None:  # the warp is nearly affine over a small ellipse
            middle, across, down = self.to_sheet([(x, y), (x + 0.1, y), (x, y + 0.1)])
            linear = np.stack([across - middle, down - middle], axis=1) / 0.1
            start = middle - linear @ (x, y)
        inverse = np.linalg.inv(linear)
        origin = inverse @ (np.asarray(corner) + 0.5 - start)
        height, width = region.shape[:2]
        columns = np.arange(width, dtype=np.float32)
        rows = np.arange(height, dtype=np.float32)[:, None]
        u = (origin[0] - x + inverse[0, 0] * columns + inverse[0, 1] * rows) / rx
        v = (origin[1] - y + inverse[1, 0] * columns + inverse[1, 1] * rows) / ry
        weight = np.clip(1 - u * u - v * v, 0, 1)[..., None] * np.float32(strength)
        ground = region.astype(np.float32)
        ground += (np.asarray(colour, np.float32) - ground) * weight
        region[:] = np.rint(ground).astype(np.uint8)
