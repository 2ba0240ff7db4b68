"""Draw landscapes and windows with white and black things that are no censors."""

import cv2
import numpy as np

SIZES = (360, 512), (512, 384), (600, 848), (640, 360), (256, 256), (800, 600)


def landscape(seed):
    """Draw a sky, hills, and clouds, snow, moons, houses, animals: uint8 RGB.

    Things are white or black in half of the pictures or nearly so, with an outline or
    without one, flat or shaded, sharp or soft.
    """
    rng = np.random.default_rng(seed)
    width, height = SIZES[seed % len(SIZES)]
    scene = _Scene(rng, 2 * width, 2 * height)
    scene.draw_sky()
    plans = scene.cloud, scene.mountain, scene.moon, scene.animal, scene.house
    for _ in range(rng.integers(0, 3)):
        scene.hill()
    for _ in range(rng.integers(1, 5)):
        plans[rng.choice(5, p=(0.45, 0.15, 0.1, 0.15, 0.15))]()
    for _ in range(rng.integers(0, 3)):
        scene.hill()
    for _ in range(rng.integers(0, 3)):
        plans[rng.choice(5, p=(0.5, 0, 0.1, 0.3, 0.1))]()
    picture = cv2.resize(scene.picture, (width, height), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 100))]
        picture = cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], 1)
    return picture


class _Scene:
    def __init__(self, rng, width, height):
        self.rng, self.width, self.height = rng, width, height
        self.is_night = rng.random() < 0.25
        self.outline = int(rng.integers(2, 9)) if rng.random() < 0.35 else 0
        white, black = int(rng.choice((255, 255, 252, 244))), int(rng.choice((0, 0, 6)))
        self.plain = (black if self.is_night and rng.random() < 0.5 else white,) * 3

    def colour(self, least=0, most=255):
        return tuple(int(v) for v in self.rng.integers(least, most, 3))

    def at(self, low=0.0, high=1.0):
        x = int(self.rng.integers(0, self.width))
        return x, int(self.height * self.rng.uniform(low, high))

    def paint(self, mask, colour, *, outline=True):
        """Fill a mask; a thing that is outlined has a dark line around it."""
        if outline and self.outline:
            square = np.ones((2 * self.outline + 1,) * 2, np.uint8)
            self.picture[cv2.dilate(mask, square) > 0] = self.colour(0, 70)
        blur = self.rng.uniform(2, 12) if self.rng.random() < 0.15 else 0
        x, y, width, height = cv2.boundingRect(mask)
        margin = int(3 * blur)
        left, top = max(0, x - margin), max(0, y - margin)
        inside = np.s_[top : y + height + margin, left : x + width + margin]
        share = mask[inside].astype(np.float32) / 255
        if blur:
            share = cv2.GaussianBlur(share, (0, 0), blur)
        paint = np.full((*share.shape, 3), colour, np.float32)
        if self.rng.random() < 0.3:  # shaded towards its lower edge
            shade = np.linspace(1, self.rng.uniform(0.7, 0.95), len(paint))
            shade[: int(len(shade) * self.rng.uniform(0, 0.7))] = 1
            paint *= shade[:, None, None]
        under = self.picture[inside]
        under[:] = np.rint(under + share[..., None] * (paint - under))

    def blank(self):
        return np.zeros((self.height, self.width), np.uint8)

    def draw_sky(self):
        most = 90 if self.is_night else 256
        top, bottom = (np.array(self.colour(0, most)) for _ in "tb")
        if not self.is_night and self.rng.random() < 0.6:
            top, bottom = np.array((80, 140, 230)), np.array((190, 220, 250))
        y = np.linspace(0, 1, self.height)[:, None, None]
        sky = (1 - y) * top + y * bottom
        self.picture = np.rint(sky.repeat(self.width, 1)).astype(np.uint8)
        for _ in range(self.rng.integers(0, 30)):  # stars, leaves or birds
            cv2.circle(self.picture, self.at(), int(self.rng.integers(1, 8)),
                       self.colour(), -1)  # fmt: skip

    def cloud(self):
        mask, (x, y) = self.blank(), self.at(0.05, 0.6)
        size = self.height * self.rng.uniform(0.03, 0.12)
        for _ in range(self.rng.integers(3, 9)):
            a, b = size * self.rng.uniform((0.5, 0.5), (1.8, 1.1))
            shift = size * self.rng.uniform((-2.5, -0.5), (2.5, 0.5))
            centre = int(x + shift[0]), int(y + shift[1])
            cv2.ellipse(mask, centre, (int(a) + 2, int(b) + 2), 0, 0, 360, 255, -1)
        if self.rng.random() < 0.4:
            mask[int(y + 0.4 * size) :] = 0
        self.paint(mask, self.plain)

    def mountain(self):
        x, y = self.at(0.2, 0.5)
        half, foot = int(self.width * self.rng.uniform(0.15, 0.4)), self.height
        peak = np.array([[x, y], [x - half, foot], [x + half, foot]])
        mask = self.blank()
        cv2.fillPoly(mask, [peak.astype(np.int32)], 255)
        self.paint(mask, self.colour(40, 190))
        snow = self.blank()
        line = y + int((foot - y) * self.rng.uniform(0.15, 0.5))
        snow[y:line] = mask[y:line]
        for k in range(x - half, x + half, 40):
            cv2.circle(snow, (k, line), int(self.rng.integers(8, 40)),
                       int(255 * self.rng.integers(0, 2)), -1)  # fmt: skip
        self.paint(cv2.min(snow, mask), self.plain, outline=False)

    def moon(self):
        mask = self.blank()
        radius = int(self.height * self.rng.uniform(0.04, 0.15))
        centre = self.at(0.1, 0.4)
        cv2.circle(mask, centre, radius, 255, -1)
        if self.rng.random() < 0.3:
            cv2.circle(mask, (centre[0] + radius // 2, centre[1]), radius, 0, -1)
        self.paint(mask, self.plain)

    def animal(self):
        mask, (x, y) = self.blank(), self.at(0.5, 0.9)
        size = self.height * self.rng.uniform(0.04, 0.15)
        a, b = int(1.3 * size), int(0.8 * size)
        cv2.ellipse(mask, (x, y), (a, b), 0, 0, 360, 255, -1)
        cv2.circle(mask, (x + a, y - b), int(0.55 * size), 255, -1)
        for k in (-0.8, -0.3, 0.3, 0.8):
            left = int(x + k * a)
            cv2.rectangle(mask, (left - 6, y), (left + 6, int(y + 1.6 * size)), 255, -1)
        self.paint(mask, self.plain)
        cv2.circle(self.picture, (x + a, y - b), 5, self.colour(0, 60), -1)

    def house(self):
        mask, (x, y) = self.blank(), self.at(0.5, 0.8)
        w, h = (int(self.height * self.rng.uniform(0.1, 0.35)) for _ in "wh")
        cv2.rectangle(mask, (x, y), (x + w, y + h), 255, -1)
        self.paint(mask, self.plain)
        roof = self.blank()
        corners = [[x - 20, y], [x + w + 20, y], [x + w // 2, y - h // 2]]
        cv2.fillPoly(roof, [np.array(corners, np.int32)], 255)
        self.paint(roof, self.colour())
        for _ in range(self.rng.integers(0, 4)):
            u, v = x + int(self.rng.integers(0, w)), y + int(self.rng.integers(0, h))
            corner = u + w // 6, v + h // 5
            cv2.rectangle(self.picture, (u, v), corner, self.colour(), -1)

    def hill(self):
        mask = self.blank()
        a, b = (int(n * self.rng.uniform(0.2, 0.7)) for n in (self.width, self.height))
        cv2.ellipse(mask, (self.at()[0], self.height), (a, b), 0, 0, 360, 255, -1)
        colour = self.plain if self.rng.random() < 0.15 else self.colour(30, 220)
        self.paint(mask, colour)
        for _ in range(self.rng.integers(0, 8)):  # bushes and flowers
            x, y = self.at(0.6, 1)
            radius = int(self.rng.integers(4, 40))
            cv2.circle(self.picture, (x, y), radius, self.colour(0, 220), -1)


def windows(picture, seed):
    """Draw white or black windows with a title, text and buttons over a picture."""
    rng = np.random.default_rng(seed)
    picture = np.ascontiguousarray(picture)
    height, width = picture.shape[:2]
    for _ in range(rng.integers(1, 3)):
        w, h = (int(n * rng.uniform(0.25, 0.8)) for n in (width, height))
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        is_dark = rng.random() < 0.35
        paper = int(rng.choice((0, 0, 12)) if is_dark else rng.choice((255, 255, 250)))
        cv2.rectangle(picture, (x, y), (x + w, y + h), (paper,) * 3, -1)
        bar = int(rng.integers(12, 36))
        grey = int(rng.integers(20, 90) if is_dark else rng.integers(150, 236))
        colour = (grey,) * 3 if rng.random() < 0.6 else rng.integers(0, 256, 3).tolist()
        cv2.rectangle(picture, (x, y), (x + w, y + bar), colour, -1)
        if rng.random() < 0.3:
            cv2.rectangle(picture, (x, y), (x + w, y + h), (120,) * 3, 1)
        ink = (210,) * 3 if is_dark else (40,) * 3
        if rng.random() < 0.7:
            write(picture, "window", (x + 6, y + bar - 5), ink)
        for k in range(rng.integers(0, 6)):
            write(picture, "a line of text" * 3, (x + 10, y + bar + 18 * (k + 1)), ink)
        if rng.random() < 0.3:
            corner = x + w - 60, y + h - 28
            cv2.rectangle(picture, corner, (x + w - 8, y + h - 8), (180,) * 3, -1)
    return picture


def write(picture, text, at, colour):
    cv2.putText(picture, text, at, 0, 0.4, colour, 1, cv2.LINE_AA)
