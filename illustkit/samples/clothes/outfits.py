"""What a character wears: the pieces, their colours and patterns."""

from dataclasses import dataclass

import numpy as np

from illustkit.samples.colours import CLOTH, Tones, pick, tones

GARMENTS = (
    "sailor",
    "blazer",
    "shirt",
    "hoodie",
    "kimono",
    "dress",
    "sweater",
    "overalls",
    "cardigan",
    "tee",
)

_PALE = ("white", "cream", "sky", "pink", "mint", "lavender", "beige", "yellow")
_DEEP = ("navy", "blue", "red", "wine", "green", "purple", "charcoal", "brown")
_ANY = tuple(CLOTH)


@dataclass(frozen=True)
class Outfit:
    """Describes the clothes of a character; see `GARMENTS` for `garment`."""

    garment: str
    colour: str
    cloth: Tones
    trim: Tones
    accent: Tones
    under: Tones
    ribbon: Tones
    pattern: str
    sleeves: str
    cuffs: bool
    neckwear: str
    bottom: str
    bottom_tones: Tones
    bottom_pattern: str
    socks: str
    sock_tones: Tones
    shoe_tones: Tones
    motif: str


def choose_outfit(rng: np.random.Generator) -> Outfit:
    """Choose a random `Outfit` whose colours go together."""
    garment = pick(rng, GARMENTS)
    pale, deep, vivid = pick(rng, _PALE), pick(rng, _DEEP), pick(rng, _ANY)
    simple = ("plain", "stripes", "dots", "checks")
    all_over: tuple[str, ...] = (
        "plain",
        "stripes",
        "pinstripes",
        "checks",
        "plaid",
        "dots",
        "flowers",
    )
    all_over += ("stars", "hearts", "diamonds")
    colour, pattern, sleeves, neckwear = vivid, pick(rng, all_over), "long", "none"
    bottom = pick(rng, ("pleated", "flared", "trousers", "shorts"))
    bottom_pattern = pick(rng, ("plain", "plain", "checks", "plaid"))
    cuffs = bool(rng.random() < 0.5)
    trim = deep
    accent = pick(rng, _PALE if colour in _DEEP else _DEEP + ("pink", "orange"))
    if accent == colour:
        accent = "white" if colour != "white" else "blue"
    if garment == "sailor":
        colour, pattern, cuffs = (
            pick(rng, ("white", "white", "cream", pale, deep)),
            "plain",
            True,
        )
        sleeves = pick(rng, ("long", "short"))
        neckwear = pick(rng, ("scarf", "bow"))
        bottom, bottom_pattern = "pleated", pick(rng, ("plain", "plaid"))
        if colour in _DEEP:
            trim = pick(rng, ("white", "cream"))
    elif garment == "blazer":
        colour, pattern = (
            pick(rng, (*_DEEP, "beige", "grey")),
            pick(rng, ("plain", "pinstripes")),
        )
        neckwear = pick(rng, ("tie", "bow"))
        bottom = pick(rng, ("pleated", "trousers"))
        bottom_pattern = pick(rng, ("plaid", "plaid", "plain"))
    elif garment == "shirt":
        sleeves = pick(rng, ("long", "short"))
        neckwear = pick(rng, ("tie", "bow", "none"))
    elif garment == "hoodie":
        sleeves, pattern = "loose", pick(rng, ("print", "print", *simple))
    elif garment == "kimono":
        sleeves, bottom = "wide", "robe"
        pattern = pick(rng, ("flowers", "checks", "diamonds", "stripes", "dots"))
    elif garment == "dress":
        sleeves = pick(rng, ("puff", "long", "short"))
        bottom, neckwear = "dress", pick(rng, ("bow", "none"))
    elif garment == "sweater":
        sleeves, pattern = (
            "loose",
            pick(rng, ("plain", "stripes", "diamonds", "checks")),
        )
    elif garment == "overalls":
        sleeves, bottom = pick(rng, ("long", "short")), "trousers"
        bottom_pattern, trim = (
            "plain",
            pick(rng, ("blue", "navy", "brown", "red", "green")),
        )
        pattern = pick(rng, ("stripes", "plain", "dots", "checks"))
    elif garment == "cardigan":
        sleeves, neckwear = "loose", pick(rng, ("bow", "none", "tie"))
        pattern = pick(rng, ("plain", "diamonds", "dots"))
    elif garment == "tee":
        sleeves, pattern = "short", pick(rng, ("print", "print", "stripes", "stars"))
    bottom_colour = (
        trim if garment == "overalls" else pick(rng, (*_DEEP, "grey", "beige"))
    )
    if bottom in ("dress", "robe"):
        bottom_colour, bottom_pattern = colour, pattern
    return Outfit(
        garment=garment,
        colour=colour,
        cloth=tones(CLOTH[colour]),
        trim=tones(CLOTH[trim]),
        accent=tones(CLOTH[accent]),
        under=tones(CLOTH[pick(rng, ("white", "white", "cream", "sky"))]),
        ribbon=tones(
            CLOTH[pick(rng, ("red", "blue", "pink", "wine", "yellow", "green"))]
        ),
        pattern=pattern,
        sleeves=sleeves,
        cuffs=cuffs and garment not in ("tee", "kimono"),
        neckwear=neckwear,
        bottom=bottom,
        bottom_tones=tones(CLOTH[bottom_colour]),
        bottom_pattern=bottom_pattern,
        socks=pick(rng, ("tights", "knee socks", "high socks", "ankle socks")),
        sock_tones=tones(CLOTH[pick(rng, ("white", "charcoal", "navy"))]),
        shoe_tones=tones(CLOTH[pick(rng, ("brown", "charcoal", "red", "white"))]),
        motif=pick(rng, ("star", "heart", "cat", "flower")),
    )
